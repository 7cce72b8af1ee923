"""Memory that nothing uses goes back to the system; a process of its own, so that its heap is known."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Pieces below the size that the C library maps by themselves; the last one keeps the heap from shrinking.
PROGRAM = """
from pathlib import Path
import torch
from edgerig_workload.release import release

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

pieces = [torch.ones(8_000) for _ in range(4_000)]
last = torch.ones(8_000)
full = resident()
pieces.clear()
kept = resident()
release()
print(full, kept, resident(), float(last.sum()))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has malloc_trim")
def test_freed_pieces_leave_the_resident_set() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "agent")},
        capture_output=True,
        text=True,
        check=True,
    )
    full, kept, after, total = (float(word) for word in done.stdout.split())
    assert full - kept < 20e6
    assert full - after > 100e6
    assert total == 8_000
