"""How far the kernel's mark of the largest resident set lies behind, and what to add to it.

The kernel counts resident pages apart for every processor (for every thread before
6.2) and adds a count to the total only when it reaches a batch. The high-water mark is
taken of that total, so it lies behind by what has not been added: up to a batch for
every processor that the process ran on, 0.13 MB each. A reader of /proc/PID/status is
given the exact sum (since 6.16), but a peak that is over was marked without it.

Between phases every processor is made to hold back nothing: this thread visits each of
them and touches pages until the total moves, which getrusage shows. What is left, if
anything, is the resident set by a walk of the page tables (smaps_rollup) less the mark.
At a later peak each processor that was used holds back between nothing and a batch, so
half a batch is added for each that threads can occupy. For one thread that stays where it
is the rest is at most half a batch, 0.065 MB; with n of them its standard deviation is
0.038 MB x sqrt(n).
"""

from __future__ import annotations

import mmap
import os
import platform
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

_KIB = 1024
# PERCPU_COUNTER batch since 6.2 (lib/percpu_counter.c); TASK_RSS_EVENTS_THRESH before (mm/memory.c).
_LEAST_BATCH = 32
_BATCH_PER_CPU = 2
_OLD_BATCH = 64
_CHANGED = (6, 2)


def batch_pages(release: str, cpu_count: int) -> int:
    """Return how many pages may be counted apart before they are added to the total."""
    numbers = [int(part) for part in release.replace("-", ".").split(".")[:2] if part.isdigit()]
    return _OLD_BATCH if tuple(numbers) < _CHANGED else max(_LEAST_BATCH, _BATCH_PER_CPU * cpu_count)


def max_resident_bytes() -> int:
    """Return the high-water mark as getrusage shows it: without what is counted apart."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


class Lag:
    """What to add to a mark of the past; 0 where it cannot be known."""

    def __init__(
        self,
        proc: Path = Path("/proc/self"),
        *,
        marked_bytes: Callable[[], int] = max_resident_bytes,
        pages: int | None = None,
    ) -> None:
        self._rollup = proc / "smaps_rollup"
        self._marked_bytes = marked_bytes
        self._task = proc / "task"
        self._cpu_count = os.cpu_count() or 1
        self._pages = pages or batch_pages(platform.release(), self._cpu_count)
        self._batch_bytes = self._pages * mmap.PAGESIZE
        # Kept: to give it back would move the counts again.
        self._touched: mmap.mmap | None = None

    def align(self, reset: Callable[[], None]) -> int:
        """Arrange that nothing is held back; return the bytes that the mark of a later peak will lack.

        Takes milliseconds where much is resident. `reset` sets the mark to the present.
        """
        if self._touched is not None:
            self._touched.close()
        allowed = os.sched_getaffinity(0)
        size_bytes = 2 * self._batch_bytes * len(allowed)
        self._touched = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        reset()
        if not self._empty_counts(self._touched, allowed):
            return 0
        lag_bytes = self._resident_bytes() - self._marked_bytes()
        if not 0 <= lag_bytes <= self._batch_bytes * self._cpu_count:
            return 0
        return lag_bytes + min(len(allowed), self._thread_count()) * self._batch_bytes // 2

    def _empty_counts(self, block: mmap.mmap, allowed: set[int]) -> bool:
        """Visits every processor; tells whether the count of each could be emptied."""
        offsets = iter(range(0, len(block), mmap.PAGESIZE))
        try:
            for cpu in sorted(allowed):
                # Fails for one that has gone offline since.
                os.sched_setaffinity(0, {cpu})
                if not self._touch_until_moved(block, offsets):
                    return False
        except OSError:
            return False
        finally:
            with suppress(OSError):
                os.sched_setaffinity(0, allowed)
        return True

    def _touch_until_moved(self, block: mmap.mmap, offsets: Iterator[int]) -> bool:
        before_bytes = self._marked_bytes()
        for offset in islice(offsets, 2 * self._pages):
            block[offset] = 1
            if self._marked_bytes() > before_bytes:
                return True
        return False

    def _thread_count(self) -> int:
        try:
            return sum(1 for _ in self._task.iterdir())
        except OSError:
            return 1

    def _resident_bytes(self) -> int:
        try:
            lines = self._rollup.read_text().splitlines()
        except OSError:
            return -1
        return next((int(line.split()[1]) * _KIB for line in lines if line.startswith("Rss:")), -1)
