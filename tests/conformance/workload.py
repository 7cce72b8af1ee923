"""Known token times and allocations: `python -m tests.conformance.workload SCRIPT TRUTH`.

Whatever measures latency or memory from outside is run beside it or around it, and its figures
are held against the file TRUTH. SCRIPT is JSON:

    {"phases": [{"name": "load", "bytes": 200000000, "hold_s": 0.5}],
     "requests": [{"ttft_s": 0.08, "gaps_s": [0.02, 0.02, 0.05]}]}

Phases come first. Each touches so many bytes, holds and frees them; the memory at its peak is read
from smaps_rollup, which walks the page tables. A request prints `accept R`, then `token R I` at its
instants, waited for in a loop at the end so that none is late by a scheduler's slice alone. TRUTH has
what happened, in ns of CLOCK_MONOTONIC and bytes. Standard library only.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from pathlib import Path
from typing import Any

# Before an instant the processor is kept, so that waking up costs nothing.
_SPIN_S = 0.001


def main(argv: list[str]) -> int:
    """Plays the script and leaves the truth."""
    script: dict[str, Any] = json.loads(Path(argv[0]).read_text())
    truth = {
        "pid": os.getpid(),
        "phases": [_phase(phase) for phase in script.get("phases", [])],
        "requests": [_request(number, one) for number, one in enumerate(script.get("requests", []))],
    }
    Path(argv[1]).write_text(json.dumps(truth) + "\n")
    return 0


def _phase(phase: dict[str, Any]) -> dict[str, Any]:
    _say(f"begin {phase['name']}")
    begin_ns = time.monotonic_ns()
    size = max(mmap.PAGESIZE, int(phase["bytes"]))
    # Private: shared anonymous memory is a file in shmem, which no model's weights are.
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, size, mmap.PAGESIZE):
        block[offset : offset + 1] = b"\1"
    _wait_until(time.monotonic_ns() + round(phase.get("hold_s", 0.0) * 1e9))
    peak_bytes = _resident_bytes()
    block.close()
    end_ns = time.monotonic_ns()
    _say(f"end {phase['name']}")
    stamps = {"begin_mono_ns": begin_ns, "end_mono_ns": end_ns}
    return {"name": phase["name"], **stamps, "rss_peak_bytes": peak_bytes}


def _request(number: int, request: dict[str, Any]) -> dict[str, Any]:
    accept_ns = time.monotonic_ns()
    _say(f"accept {number}")
    tokens_ns = []
    due_ns = accept_ns
    for index, gap_s in enumerate([request["ttft_s"], *request["gaps_s"]]):
        due_ns += round(gap_s * 1e9)
        _wait_until(due_ns)
        tokens_ns.append(time.monotonic_ns())
        _say(f"token {number} {index}")
    return {"accept_mono_ns": accept_ns, "token_mono_ns": tokens_ns}


def _wait_until(instant_ns: int) -> None:
    time.sleep(max(0.0, (instant_ns - time.monotonic_ns()) * 1e-9 - _SPIN_S))
    while time.monotonic_ns() < instant_ns:
        pass


def _resident_bytes() -> int:
    text = Path("/proc/self/smaps_rollup").read_text()
    return int(text.partition("Rss:")[2].split()[0]) * 1024


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
