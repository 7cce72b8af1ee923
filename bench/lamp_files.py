"""Whether a check of LaMP's files needs the memory of a record, and of ids, and not of the file.

Files in the published format are written with long histories, one four times as large as
the other, and each is checked in a process of its own; `json.load` of the smaller one
stands beside it. Peaks are above what the process holds once everything is imported.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.report import CouldNotRunError, Figure, progress, run

# Ids and golds are kept: some hundred bytes a question, of a hundred kilobytes in the file.
MOST_GROWTH = 0.01
HISTORY = 200
TIMES = 4
_TEXT = "the handle of this kettle gets hot and the lid does not close well " * 6
# Runs in the measured process: `work` is what is measured, everything before it is imported.
_ARM = """
import json, sys, time
from pathlib import Path
from edgerig_controller.data import lamp
files = lamp.locate(Path(sys.argv[2]), "lamp-3", "user", "train")
def check():
    findings = lamp.check(files, "lamp-3")
    assert not findings.faults, findings.faults[0]
def load():
    json.loads(files.questions.read_bytes())
work = {"check": check, "load": load}[sys.argv[1]]
def resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
Path("/proc/self/clear_refs").write_text("5")
before, began = resident("VmRSS"), time.perf_counter()
work()
taken = time.perf_counter() - began
print(json.dumps({"duration_s": taken, "peak_bytes": resident("VmHWM") - before}))
"""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.lamp_files", description=__doc__)
    parser.add_argument("--mb", type=int, default=64, help="megabytes of the smaller file")
    return run("lamp_files", measure, parser)


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Write the files and measure.

    Raises:
        CouldNotRunError: a process failed, or the kernel does not let peaks be reset.
    """
    with tempfile.TemporaryDirectory(prefix="edgerig-lamp-") as scratch:
        small, large = (_write(Path(scratch) / name, times * arguments.mb * 10**6) for name, times in SIZES)
        checked, larger = _arm("check", small), _arm("check", large)
        loaded = _arm("load", small)
        small_bytes, large_bytes = (
            (folder / "train_questions.json").stat().st_size for folder in (small, large)
        )
    growth = (larger["peak_bytes"] - checked["peak_bytes"]) / (large_bytes - small_bytes)
    return [
        Figure("check_rate", large_bytes / 1e6 / larger["duration_s"], "MB/s"),
        Figure("check_peak_small", checked["peak_bytes"] / 1e6, "MB"),
        Figure("check_peak_large", larger["peak_bytes"] / 1e6, "MB"),
        Figure("json_load_peak_small", loaded["peak_bytes"] / 1e6, "MB"),
        Figure(
            "check_peak_growth",
            growth,
            "bytes per byte of the file",
            goal=f"at most {MOST_GROWTH}",
            holds=growth <= MOST_GROWTH,
        ),
    ]


SIZES = (("small", 1), ("large", TIMES))


def _write(folder: Path, size_bytes: int) -> Path:
    """Write questions of LaMP-3 until the file has the size, and a gold for each."""
    progress(f"writing {size_bytes / 1e6:.0f} MB")
    folder.mkdir()
    golds = []
    with (folder / "train_questions.json").open("w", encoding="utf-8") as stream:
        for number, text in enumerate(_questions()):
            stream.write(("[" if number == 0 else ", ") + text)
            golds.append({"id": str(number), "output": "4"})
            if stream.tell() >= size_bytes:
                break
        stream.write("]")
    outputs = {"task": "LaMP_3", "golds": golds}
    (folder / "train_outputs.json").write_text(json.dumps(outputs), encoding="utf-8")
    return folder


def _questions() -> Iterator[str]:
    number = 0
    while True:
        profile = [
            {"id": f"{number}-{place}", "text": _TEXT, "score": str(1 + place % 5), "date": "2020-01-01"}
            for place in range(HISTORY)
        ]
        asked = f"What is the score of the following review? review: {_TEXT}"
        yield json.dumps({"id": str(number), "user_id": str(number), "input": asked, "profile": profile})
        number += 1


def _arm(kind: str, folder: Path) -> dict[str, float]:
    progress(f"{kind} {folder.name}")
    ended = subprocess.run(
        [sys.executable, "-c", _ARM, kind, str(folder)], capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        raise CouldNotRunError(ended.stderr.strip().splitlines()[-1] if ended.stderr else f"{kind} failed")
    measured: dict[str, float] = json.loads(ended.stdout)
    return measured


if __name__ == "__main__":
    sys.exit(main())
