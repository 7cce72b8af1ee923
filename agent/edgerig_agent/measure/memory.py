"""Memory figures per phase: the worker's peak, and what the system had left; pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from edgerig.v1.attempt_pb2 import Measurement, Phase
from edgerig_agent.measure.energy import Window
from edgerig_agent.measure.events import WorkerReport
from edgerig_agent.measure.figures import Origin, figure, unavailable
from edgerig_agent.measure.trace import Trace
from edgerig_agent.probes.base import LAST_UNREAD
from edgerig_agent.probes.memory import AVAILABLE, MAJOR_FAULTS, SWAPPED_IN

# Weakest last: a phase is only as exact as its least exact interval.
_METHODS = ("vmhwm_reset", "polled", "vmhwm_since_start")


def peak_figures(report: WorkerReport, phase: Phase) -> list[Measurement]:
    """Returns the largest resident set and CUDA peaks over the intervals of a phase."""
    intervals = [interval for interval in report.intervals if interval.phase == phase]
    measured = [interval for interval in intervals if interval.HasField("rss_peak_bytes")]
    figures = []
    if measured:
        peak = max(measured, key=lambda interval: interval.rss_peak_bytes)
        method = max((interval.rss_peak_method for interval in measured), key=_weakness)
        flags = ("upper_bound",) if method == "vmhwm_since_start" else ()
        origin = Origin("worker", method, flags=flags)
        count = len(measured)
        figures.append(
            figure("rss_peak_bytes", phase, "peak", float(peak.rss_peak_bytes), origin, sample_count=count)
        )
    for name in ("cuda_allocated_peak_bytes", "cuda_reserved_peak_bytes"):
        peaks = [getattr(interval, name) for interval in intervals if interval.HasField(name)]
        if peaks:
            origin = Origin("worker", "torch_allocator")
            figures.append(figure(name, phase, "peak", float(max(peaks)), origin, sample_count=len(peaks)))
    return figures


def available_figure(traces: Sequence[Trace], phase: Phase, windows: Sequence[Window]) -> Measurement:
    """Returns the least memory that the kernel called available inside the windows of a phase."""
    origin = Origin(AVAILABLE, "polled")
    trace, column = _column(traces, AVAILABLE)
    if trace is None:
        reason = "/proc/meminfo shows no MemAvailable"
        return unavailable("mem_available_min_bytes", phase, "minimum", reason, origin)
    values = [
        column[index]
        for begin_ns, end_ns in windows
        for index in range(bisect_left(trace.times_ns, begin_ns), bisect_right(trace.times_ns, end_ns))
        if column[index] > LAST_UNREAD
    ]
    if not values:
        reason = f"no sample in a phase of {sum(e - b for b, e in windows) * 1e-9:.3f} s"
        return unavailable("mem_available_min_bytes", phase, "minimum", reason, origin)
    least = min(values) * 1024.0
    return figure("mem_available_min_bytes", phase, "minimum", least, origin, sample_count=len(values))


def last_available_bytes(traces: Sequence[Trace]) -> int | None:
    """Returns the last figure of available memory in the trace, None without one."""
    trace, column = _column(traces, AVAILABLE)
    readable = [raw for raw in column if raw > LAST_UNREAD] if trace else []
    return readable[-1] * 1024 if readable else None


def paged_in(traces: Sequence[Trace], source: str, windows: Sequence[Window]) -> int | None:
    """Returns by how much a page counter grew around the windows, None where it is not known.

    The counter is read once a second, so the samples that enclose a window are
    taken: the answer errs toward more.
    """
    trace, column = _column(traces, source)
    if trace is None or not len(column):
        return None
    total = 0
    for begin_ns, end_ns in windows:
        first = max(bisect_right(trace.times_ns, begin_ns) - 1, 0)
        last = min(bisect_left(trace.times_ns, end_ns), len(column) - 1)
        if min(column[first], column[last]) <= LAST_UNREAD:
            return None
        total += max(0, column[last] - column[first])
    return total


def swapped_in(traces: Sequence[Trace], windows: Sequence[Window]) -> int | None:
    """Returns the pages that came back from swap around the windows, None where it is not known."""
    return paged_in(traces, SWAPPED_IN, windows)


def major_faults(traces: Sequence[Trace], windows: Sequence[Window]) -> int | None:
    """Returns the machine's major faults around the windows, None where it is not known."""
    return paged_in(traces, MAJOR_FAULTS, windows)


def _column(traces: Sequence[Trace], source: str) -> tuple[Trace | None, Sequence[int]]:
    for trace in traces:
        for field in trace.fields:
            if field.source == source:
                return trace, trace.column(field)
    return None, ()


def _weakness(method: str) -> int:
    return _METHODS.index(method) if method in _METHODS else len(_METHODS)
