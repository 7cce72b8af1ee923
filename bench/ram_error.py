"""How far the peak memory of a phase is from the truth: `python -m bench.ram_error --json`.

A child marks phases as the worker does (edgerig_workload.phases: the high-water mark is
reset at the begin of a phase and read at its end) and allocates 200 to 600 MB in each.
Held phases wait at their peak while this process reads the child's Rss out of smaps_rollup,
which walks the page tables: that is the truth. Transient phases repeat the same allocation
and free it at once, so that nothing but the mark can have seen it; they are compared with the
median of what their held twins reported. Beside it stands what polling every 10 ms makes of
the same transients, as is done elsewhere. 1 MB is 1e6 bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench import report
from bench.report import CouldNotRunError, Figure

SIZES_MB = (200, 300, 400, 500, 600)
GOAL_MB = 0.1
_MB = 1e6
_POLL_S = 0.010
_PATIENCE_S = 60.0
_EXACT = "vmhwm_reset"


class Child:
    """The allocating process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.ram_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd=Path(__file__).parent.parent,
        )
        self._proc = Path(f"/proc/{self._process.pid}")

    def held(self, size_bytes: int) -> tuple[float, float]:
        """Returns what the phase reported and the truth, in MB."""
        self._say(f"held {size_bytes}")
        self._line()
        truth_mb = self._rss_mb()
        self._say("go")
        return self._reported_mb(self._line()), truth_mb

    def transient(self, size_bytes: int) -> tuple[float, float]:
        """Returns what the phase reported, and the largest of polled resident sets, in MB."""
        self._say(f"transient {size_bytes}")
        assert self._process.stdout is not None
        polled_mb = 0.0
        while not select.select([self._process.stdout], [], [], _POLL_S)[0]:
            pages = int((self._proc / "statm").read_text().split()[1])
            polled_mb = max(polled_mb, pages * os.sysconf("SC_PAGE_SIZE") / _MB)
        return self._reported_mb(self._line()), polled_mb

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n".encode())

    def _line(self) -> str:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _PATIENCE_S)[0]:
            raise CouldNotRunError(f"the child gave no answer within {_PATIENCE_S:g} s")
        line = self._process.stdout.readline().decode()
        if not line:
            raise CouldNotRunError(f"the child ended with exit code {self._process.wait()}")
        return line

    def _reported_mb(self, line: str) -> float:
        interval: dict[str, Any] = json.loads(line)
        method = interval.get("rss_peak_method")
        if method != _EXACT:
            raise CouldNotRunError(
                f"this kernel does not reset the high-water mark (method: {method}); "
                "it needs /proc/PID/clear_refs, CONFIG_PROC_PAGE_MONITOR"
            )
        return float(interval["rss_peak_bytes"]) / _MB

    def _rss_mb(self) -> float:
        for line in (self._proc / "smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024 / _MB
        raise CouldNotRunError("smaps_rollup has no Rss")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10, help="held and transient phases of each size")
    return report.run("ram_error", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    if arguments.repeats < 1:
        raise CouldNotRunError("--repeats must be 1 or more")
    if not Path("/proc/self/smaps_rollup").exists():
        raise CouldNotRunError("this kernel has no smaps_rollup, so there is no truth to compare with")
    held_errors: list[float] = []
    transient_errors: list[float] = []
    polled_errors: list[float] = []
    child = Child()
    try:
        child.held(int(SIZES_MB[0] * _MB))  # the first phase loads what the later ones have
        for size_mb in SIZES_MB:
            report.progress(f"{size_mb} MB")
            size_bytes = int(size_mb * _MB)
            held = [child.held(size_bytes) for _ in range(arguments.repeats)]
            held_errors += [reported - truth for reported, truth in held]
            twin_mb = median(reported for reported, _ in held)
            transients = [child.transient(size_bytes) for _ in range(arguments.repeats)]
            transient_errors += [reported - twin_mb for reported, _ in transients]
            polled_errors += [polled - twin_mb for _, polled in transients]
    finally:
        child.close()
    return [
        _judged("held_error_max_mb", held_errors),
        Figure(
            "held_error_mean_mb",
            sum(held_errors) / len(held_errors),
            "MB",
            min(held_errors),
            max(held_errors),
        ),
        _judged("transient_error_max_mb", transient_errors),
        Figure("polled_10_ms_error_max_mb", max(map(abs, polled_errors)), "MB"),
        Figure("phase_count", float(len(held_errors) + len(transient_errors)), ""),
    ]


def _judged(name: str, errors_mb: Sequence[float]) -> Figure:
    largest_mb = max(map(abs, errors_mb))
    return Figure(name, largest_mb, "MB", goal=f"at most {GOAL_MB:g} MB", holds=largest_mb <= GOAL_MB)


if __name__ == "__main__":
    raise SystemExit(main())
