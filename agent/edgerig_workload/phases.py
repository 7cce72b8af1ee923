"""Marks the phases of an attempt: when each began and ended and the peak memory inside.

The peak resident set is exact where the kernel lets the process reset its own
high-water mark (`5` into /proc/self/clear_refs, then VmHWM). Phases nest: before
each reset the mark is read and folded into every phase that is open, so that an
outer phase knows the peaks of the inner ones. Knows nothing of models or requests.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgerig_workload.events import Events
from edgerig_workload.resident import lacking_bytes, marked_bytes
from edgerig_workload.shares import read_major_faults, read_shares

EXACT = "vmhwm_reset"
UPPER_BOUND = "vmhwm_since_start"

_MARKS = ("VmHWM", "VmRSS")


class ResidentSet(Protocol):
    """The high-water mark of the process's resident set."""

    method: str

    def reset(self) -> None: ...

    def peak_bytes(self) -> int | None: ...


class Accelerator(Protocol):
    """What marking needs of a device with an allocator of its own."""

    def synchronize(self) -> None: ...

    def reset_peaks(self) -> None: ...

    def peaks_bytes(self) -> tuple[int, int]: ...


class ProcResidentSet:
    """Reads VmHWM of this process, and resets it where the kernel allows."""

    def __init__(self, proc: Path = Path("/proc/self"), *, marked: Callable[[], int] = marked_bytes) -> None:
        self._status = proc / "status"
        self._clear_refs = proc / "clear_refs"
        self._marked = marked
        self.method = EXACT
        self.reset()

    def reset(self) -> None:
        """Set the mark back to the present resident set; label the fallback where that is refused."""
        if self.method != EXACT:
            return
        try:
            self._clear_refs.write_text("5")
        except OSError:
            self.method = UPPER_BOUND

    def peak_bytes(self) -> int | None:
        """Return the mark with what the kernel left out of it, or None where there is no such file or line.

        A mark that is the present resident set is exact: the kernel sums all counts for a reader.
        Reading may set the mark to the present, so that a peak is to be noted when it is read.
        """
        try:
            lines = self._status.read_text().splitlines()
        except OSError:
            return None
        found = {name: int(rest.split()[0]) * 1024 for name, _, rest in map(_parted, lines) if name in _MARKS}
        if "VmHWM" not in found:
            return None
        mark_bytes, present_bytes = found["VmHWM"], found.get("VmRSS", 0)
        if mark_bytes <= present_bytes or self.method != EXACT:
            return mark_bytes
        self.reset()
        return mark_bytes + lacking_bytes(present_bytes, self._marked())


@dataclass
class _Open:
    """A phase that has begun. Peaks grow while inner phases are folded in."""

    phase: str
    index: int
    begin_mono_ns: int
    major_fault_count: int
    rss_peak_bytes: int | None = None
    allocated_peak_bytes: int = 0
    reserved_peak_bytes: int = 0


class Marks:
    """Announces phases at once and reports their intervals when the outermost one is over."""

    def __init__(
        self,
        events: Events,
        memory: ResidentSet,
        clock: Callable[[], int] = time.monotonic_ns,
        shares: Callable[[], dict[str, int]] = read_shares,
        major_faults: Callable[[], int] = read_major_faults,
    ) -> None:
        self._events = events
        self._memory = memory
        self._clock = clock
        self._shares = shares
        self._major_faults = major_faults
        self._accelerator: Accelerator | None = None
        self._open: list[_Open] = []
        self._closed: list[dict[str, Any]] = []
        self._counts: Counter[str] = Counter()
        # Innermost phase that an exception left, for the failure report.
        self.failed_phase = ""

    def watch(self, accelerator: Accelerator) -> None:
        """Measure a device's allocator too, from the next phase on."""
        self._accelerator = accelerator

    def measure(
        self,
        memory: ResidentSet,
        shares: Callable[[], dict[str, int]],
        major_faults: Callable[[], int],
    ) -> None:
        """Measure other processes than this one, from the next phase on."""
        self._memory, self._shares, self._major_faults = memory, shares, major_faults

    @contextmanager
    def phase(self, word: str, *, began_mono_ns: int | None = None) -> Iterator[None]:
        """Mark the block as the phase with this short word.

        `began_mono_ns` sets a beginning that lies before the call. A phase that an
        exception leaves is not reported as an interval, only named in `failed_phase`.
        """
        self._begin(word, began_mono_ns)
        try:
            yield
        except BaseException:
            self.failed_phase = self.failed_phase or word
            self._open.pop()
            self._report()
            raise
        self._end()
        self._report()

    def _begin(self, word: str, began_mono_ns: int | None) -> None:
        self._fold()
        self._memory.reset()
        if self._accelerator is not None:
            self._accelerator.reset_peaks()
        begin_mono_ns = self._clock() if began_mono_ns is None else began_mono_ns
        self._open.append(_Open(word, self._counts[word], begin_mono_ns, self._major_faults()))
        self._counts[word] += 1
        self._events.emit("phase_begin", {"phase": enum_name(word), "t_mono_ns": begin_mono_ns})

    def _end(self) -> None:
        if self._accelerator is not None:
            self._accelerator.synchronize()
        end_mono_ns = self._clock()
        self._fold()
        done = self._open.pop()
        interval: dict[str, Any] = {
            "phase": enum_name(done.phase),
            "index": done.index,
            "begin_mono_ns": done.begin_mono_ns,
            "end_mono_ns": end_mono_ns,
            "major_fault_count": self._major_faults() - done.major_fault_count,
        }
        if done.rss_peak_bytes is not None:
            interval |= {"rss_peak_bytes": done.rss_peak_bytes, "rss_peak_method": self._memory.method}
        if self._accelerator is not None:
            interval |= {
                "cuda_allocated_peak_bytes": done.allocated_peak_bytes,
                "cuda_reserved_peak_bytes": done.reserved_peak_bytes,
            }
        if not self._open:
            # It takes milliseconds, so the end has been stamped and nothing else is open.
            interval |= self._shares()
        self._closed.append(interval)

    def _fold(self) -> None:
        """Raises the peaks of all open phases to what was seen since the last reset."""
        if not self._open:
            return
        resident = self._memory.peak_bytes()
        allocated, reserved = (0, 0)
        if self._accelerator is not None:
            allocated, reserved = self._accelerator.peaks_bytes()
        for phase in self._open:
            if resident is not None:
                phase.rss_peak_bytes = max(resident, phase.rss_peak_bytes or 0)
            phase.allocated_peak_bytes = max(allocated, phase.allocated_peak_bytes)
            phase.reserved_peak_bytes = max(reserved, phase.reserved_peak_bytes)

    def _report(self) -> None:
        if self._open:
            return
        for interval in self._closed:
            self._events.emit("phase", interval)
        self._closed.clear()


def _parted(line: str) -> tuple[str, str, str]:
    return line.partition(":")


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep Python's cyclic collector out of a timed block: it runs before and after, never inside."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def enum_name(word: str) -> str:
    """Return the contract's full name of a phase's short word."""
    return f"PHASE_{word.upper()}"
