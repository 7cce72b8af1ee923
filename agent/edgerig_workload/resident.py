"""What the kernel's mark of the largest resident set lacks when the peak is over.

The kernel counts resident pages apart for every processor and adds a count to the
total only when it reaches a batch of 32 pages or more. The high-water mark is taken of
that total, so it lies behind by what the processors hold back: up to 0.13 MB for each
that the process ran on. A reader of /proc/PID/status is given the exact sum (Linux
6.16, "mm: fix the inaccurate memory statistics issue for users"), so a peak that is
still there is exact; one that is over was marked without it.

When it is over, most of what was held back can still be read: the exact sum less the
mark just after a reset, which getrusage shows. It lacks the count of the processor that
gave the memory back, which that emptied; half a batch stands for it. So for a process
that works on one processor at a time the rest is at most half a batch, 0.065 MB.

Where a reader is given no exact sum, or an exec from a larger process hides the mark,
there is no difference to read, and nothing is added.
"""

from __future__ import annotations

import mmap
import os
import resource

_KIB = 1024
# PERCPU_COUNTER batch: lib/percpu_counter.c, compute_batch_value.
_LEAST_BATCH = 32
_BATCH_PER_CPU = 2


def marked_bytes() -> int:
    """Return the high-water mark as getrusage shows it: without what is counted apart."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


def batch_bytes(cpu_count: int) -> int:
    """Return how much may be counted apart by one processor before it is added to the total."""
    return max(_LEAST_BATCH, _BATCH_PER_CPU * cpu_count) * mmap.PAGESIZE


def lacking_bytes(present_bytes: int, mark_bytes: int, cpu_count: int | None = None) -> int:
    """Return what the mark of a peak that is over lacks, 0 where that cannot be known.

    Args:
        present_bytes: the resident set as a reader of /proc/PID/status is given it.
        mark_bytes: the mark just after it was set to the present.
    """
    count = cpu_count or os.cpu_count() or 1
    batch = batch_bytes(count)
    held_back = present_bytes - mark_bytes
    return held_back + batch // 2 if 0 < held_back <= batch * count else 0
