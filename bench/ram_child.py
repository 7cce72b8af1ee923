"""The child of `bench.ram_error`: phases with known allocations, marked as the worker marks its own.

Reads a line for each phase, `held BYTES` or `transient BYTES`. A held phase says `peak` and
keeps its memory until the next line; every phase ends with its interval as JSON.
"""

from __future__ import annotations

import json
import mmap
import sys
from collections.abc import Mapping
from typing import Any

from edgerig_workload.phases import Marks, ProcResidentSet

_PAGE = b"\1"
_LIBRARIES_BYTES = 64 * 1024 * 1024


class Last:
    """Takes the worker's events and keeps the last interval."""

    def __init__(self) -> None:
        self.interval: dict[str, Any] = {}

    def emit(self, kind: str, content: Mapping[str, Any]) -> None:
        if kind == "phase":
            self.interval = dict(content)


def touched(size_bytes: int) -> mmap.mmap:
    """Maps anonymous memory and writes to every page of it."""
    # Private: shared anonymous memory is a file in shmem, which no model's weights are.
    block = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, size_bytes, mmap.PAGESIZE):
        block[offset : offset + 1] = _PAGE
    return block


def main() -> int:
    # As a worker holds its libraries; else the parent's own mark, which an exec hands on, hides ours.
    _libraries = touched(_LIBRARIES_BYTES)
    last = Last()
    marks = Marks(last, ProcResidentSet(), shares=dict)
    for line in sys.stdin:
        kind, _, size = line.partition(" ")
        with marks.phase("load"):
            block = touched(int(size))
            if kind == "held":
                print("peak", flush=True)
                sys.stdin.readline()
            block.close()
        print(json.dumps(last.interval), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
