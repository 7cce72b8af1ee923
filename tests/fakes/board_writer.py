"""A board that lives: writes currents into a fake /sys while an attempt runs, and lets rails fail.

    python -m tests.fakes.board_writer CONFIG.json

CONFIG: {"rails": {PATH: CURRENT_MA}, "faults": [{"path", "kind", "duration_s"}], "worker_out": DIR,
"log": FILE}. Each rail moves by a few milliamperes every 5 ms, as a rail at work does. The faults
begin together when the worker whose command line has `worker_out` has used 0.3 s of
processor time, so that they lie inside its work however slow its start was. Kinds:
vanish (ENODEV: the driver is gone), no_data (ENODATA), stall (no new conversion), jump (a value
that no rail has). The begin and end of each stand in the log, in ns of CLOCK_MONOTONIC. Ends on SIGTERM.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

STEP_S = 0.005
WORKED_S = 0.3
RIPPLE_MA = 12
ABSURD_MA = 900_000


def main(argv: list[str]) -> int:
    config: dict[str, Any] = json.loads(Path(argv[0]).read_text())
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    rails = {Path(path): current_ma for path, current_ma in config["rails"].items()}
    faults: list[dict[str, Any]] = config["faults"]
    random_ma = random.Random(1)
    began_ns = 0
    while not over.wait(STEP_S):
        if not began_ns and worked_s(config["worker_out"]) >= WORKED_S:
            began_ns = time.monotonic_ns()
        now_ns = time.monotonic_ns()
        active = {
            Path(fault["path"]): fault
            for fault in faults
            if began_ns and now_ns - began_ns < fault["duration_s"] * 1e9
        }
        for path, current_ma in rails.items():
            ripple_ma = random_ma.randint(-RIPPLE_MA, RIPPLE_MA)
            _write(path, active[path]["kind"] if path in active else "", current_ma + ripple_ma)
        if began_ns and not Path(config["log"]).exists():
            spans = {
                fault["path"]: [began_ns, began_ns + round(fault["duration_s"] * 1e9)] for fault in faults
            }
            Path(config["log"]).write_text(json.dumps(spans))
    return 0


def _write(path: Path, kind: str, current_ma: int) -> None:
    if kind == "stall":
        return
    text = {
        "": str(current_ma),
        "vanish": "!errno ENODEV",
        "no_data": "!errno ENODATA",
        "jump": str(ABSURD_MA + current_ma),
    }[kind]
    # In place and in one go: the sampler holds the file open, and a sysfs file is never half written.
    descriptor = os.open(path, os.O_WRONLY)
    os.pwrite(descriptor, f"{text:15}\n".encode(), 0)
    os.close(descriptor)


def worked_s(worker_out: str) -> float:
    """Returns the processor time of the worker with this --out so far, 0 before there is one."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            if b"edgerig_workload" in command and worker_out.encode() in command:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue
    return 0.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
