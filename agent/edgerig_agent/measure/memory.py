"""Memory figures per phase: the worker's own, its share, and what system and GPU had left; pure.

What a kernel or board does not show is said once for the attempt, with the reason.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgerig.v1.attempt_pb2 import PHASE_UNSPECIFIED, Measurement, Phase, PhaseInterval
from edgerig_agent.measure.energy import Window
from edgerig_agent.measure.events import WorkerReport
from edgerig_agent.measure.figures import Origin, figure, unavailable
from edgerig_agent.measure.trace import Trace
from edgerig_agent.probes.base import LAST_UNREAD
from edgerig_agent.probes.cgroup import CURRENT as CGROUP_CURRENT
from edgerig_agent.probes.cgroup import PEAK as CGROUP_PEAK
from edgerig_agent.probes.memory import AVAILABLE, MAJOR_FAULTS, NVMAP, STALLED, SWAPPED_IN, SWAPPED_OUT

# Weakest last: a phase is only as exact as its least exact interval.
_METHODS = (
    *("vmhwm_reset", "tree_vmhwm_reset", "polled"),
    *("tree_vmhwm_sum", "vmhwm_since_start", "tree_vmhwm_since_start"),
)
# Of these the peak is no more than the figure, and may be less.
_UPPER_BOUNDS = ("tree_vmhwm_sum", "vmhwm_since_start", "tree_vmhwm_since_start")

_SHARES = ("pss_end_bytes", "uss_end_bytes", "swap_pss_end_bytes")
_CUDA = ("cuda_allocated_peak_bytes", "cuda_reserved_peak_bytes")


@dataclass(frozen=True)
class _Sampled:
    """A figure that is the largest sampled value inside the windows of a phase."""

    name: str
    # The end of a source stands for all that begin alike: nvml:0:own_memory, nvml:1:own_memory.
    source: str

    def matches(self, source: str) -> bool:
        return source == self.source or (self.source.startswith("*") and source.endswith(self.source[1:]))


_SAMPLED = (
    _Sampled("nvmap_peak_bytes", NVMAP),
    _Sampled("gpu_process_peak_bytes", "*:own_memory"),
    _Sampled("cgroup_peak_bytes", CGROUP_CURRENT),
)


def peak_figures(report: WorkerReport, phase: Phase) -> list[Measurement]:
    """Returns the largest resident set and CUDA peaks over the intervals of a phase."""
    intervals = [interval for interval in report.intervals if interval.phase == phase]
    measured = [interval for interval in intervals if interval.HasField("rss_peak_bytes")]
    figures = []
    if measured:
        peak = max(measured, key=lambda interval: interval.rss_peak_bytes)
        method = max((interval.rss_peak_method for interval in measured), key=_weakness)
        flags = ("upper_bound",) if method in _UPPER_BOUNDS else ()
        origin = Origin(_whose(measured), method, flags=flags)
        count = len(measured)
        figures.append(
            figure("rss_peak_bytes", phase, "peak", float(peak.rss_peak_bytes), origin, sample_count=count)
        )
    for name in _CUDA:
        peaks = [getattr(interval, name) for interval in intervals if interval.HasField(name)]
        if peaks:
            origin = Origin("worker", "torch_allocator")
            figures.append(figure(name, phase, "peak", float(max(peaks)), origin, sample_count=len(peaks)))
    return figures


def share_figures(report: WorkerReport, phase: Phase) -> list[Measurement]:
    """Returns the worker's shares of memory after the last interval of a phase, and its major faults."""
    intervals = [interval for interval in report.intervals if interval.phase == phase]
    figures = []
    for name in _SHARES:
        read = [interval for interval in intervals if interval.HasField(name)]
        if read:
            last = max(read, key=lambda interval: interval.end_mono_ns)
            origin = Origin(_whose(intervals), "smaps_rollup_after_the_phase")
            figures.append(figure(name, phase, "last", float(getattr(last, name)), origin))
    faults = [i.major_fault_count for i in intervals if i.HasField("major_fault_count")]
    if faults:
        origin = Origin(_whose(intervals), "getrusage")
        count = len(faults)
        total = float(sum(faults))
        figures.append(figure("worker_major_fault_count", phase, "sum", total, origin, sample_count=count))
    return figures


def _whose(intervals: Sequence[PhaseInterval]) -> str:
    """Says what memory was measured: the worker's, or that of all processes of the server it started."""
    served = any(interval.rss_peak_method.startswith("tree_") for interval in intervals)
    return "server_processes" if served else "worker"


def system_figures(traces: Sequence[Trace], phase: Phase, windows: Sequence[Window]) -> list[Measurement]:
    """Returns what memory system, GPU and cgroup had in use in a phase, and how long tasks waited for it."""
    figures = [available_figure(traces, phase, windows)]
    used = _used_delta(traces, windows)
    if used is not None:
        origin = Origin(AVAILABLE, "before_the_worker_minus_minimum")
        figures.append(figure("sys_used_delta_peak_bytes", phase, "peak", used, origin))
    for kind in _SAMPLED:
        for trace, source, scale, column in _matching(traces, kind):
            values = _inside(trace, column, windows)
            if values:
                origin = Origin(source, "polled")
                peak = max(values) * scale
                figures.append(figure(kind.name, phase, "peak", peak, origin, sample_count=len(values)))
    stalled_us = growth(traces, STALLED, windows)
    if stalled_us is not None:
        origin = Origin(STALLED, "counter_difference")
        figures.append(figure("psi_memory_some_s", phase, "sum", stalled_us * 1e-6, origin))
    return figures


def run_figures(
    traces: Sequence[Trace], channels: Sequence[Mapping[str, Any]], report: WorkerReport, whole: Window
) -> list[Measurement]:
    """Returns the figures of the attempt as a whole, and why the others of this module are missing.

    Args:
        channels: what the sampler found, as in its summary.
        whole: from the begin of the first phase to the end of the last.
    """
    figures = []
    for name, source in (
        ("swap_in_page_count", SWAPPED_IN),
        ("swap_out_page_count", SWAPPED_OUT),
        ("major_fault_count", MAJOR_FAULTS),
    ):
        pages = growth(traces, source, [whole])
        if pages is not None:
            origin = Origin("proc:vmstat", "counter_difference")
            figures.append(figure(name, PHASE_UNSPECIFIED, "sum", float(pages), origin))
    trace, column = _column(traces, CGROUP_PEAK)
    peaks = [raw for raw in column if raw > LAST_UNREAD] if trace else []
    if peaks:
        # It may have been reached before this attempt, by others in the cgroup.
        origin = Origin(CGROUP_PEAK, "since_the_cgroup_was_made", flags=("upper_bound",))
        figures.append(figure("cgroup_peak_bytes", PHASE_UNSPECIFIED, "peak", float(peaks[-1]), origin))
    return figures + list(_missing(channels, report))


def _missing(channels: Sequence[Mapping[str, Any]], report: WorkerReport) -> Iterator[Measurement]:
    named = [(kind.name, kind) for kind in _SAMPLED]
    named += [("psi_memory_some_s", _Sampled("", STALLED)), ("cgroup_peak_bytes", _Sampled("", CGROUP_PEAK))]
    for name, kind in named:
        for channel in channels:
            if kind.matches(str(channel["source"])) and channel["unavailable_reason"]:
                origin = Origin(str(channel["source"]), "polled")
                reason = str(channel["unavailable_reason"])
                yield unavailable(name, PHASE_UNSPECIFIED, "peak", reason, origin)
    if not report.intervals:
        return
    if not any(interval.HasField(_SHARES[0]) for interval in report.intervals):
        reason = "the worker's kernel shows no /proc/self/smaps_rollup"
        for name in _SHARES:
            yield unavailable(name, PHASE_UNSPECIFIED, "last", reason, Origin("worker", "smaps_rollup"))
    if not any(interval.HasField(_CUDA[0]) for interval in report.intervals):
        reason = "the worker used no CUDA device"
        for name in _CUDA:
            yield unavailable(name, PHASE_UNSPECIFIED, "peak", reason, Origin("worker", "torch_allocator"))


def available_figure(traces: Sequence[Trace], phase: Phase, windows: Sequence[Window]) -> Measurement:
    """Returns the least memory that the kernel called available inside the windows of a phase."""
    origin = Origin(AVAILABLE, "polled")
    trace, column = _column(traces, AVAILABLE)
    if trace is None:
        reason = "/proc/meminfo shows no MemAvailable"
        return unavailable("mem_available_min_bytes", phase, "minimum", reason, origin)
    values = _inside(trace, column, windows)
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


def growth(traces: Sequence[Trace], source: str, windows: Sequence[Window]) -> int | None:
    """Returns by how much a kernel's counter grew around the windows, None where it is not known.

    The samples that enclose a window are taken: the answer errs toward more, by at
    most what falls into two sampling intervals (1 s for pages, 0.2 s for pressure).
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
    return growth(traces, SWAPPED_IN, windows)


def _used_delta(traces: Sequence[Trace], windows: Sequence[Window]) -> float | None:
    """How much less memory was available than when the sampler began, before the worker was started."""
    trace, column = _column(traces, AVAILABLE)
    values = _inside(trace, column, windows) if trace else []
    if not values or column[0] <= LAST_UNREAD:
        return None
    return max(0.0, (column[0] - min(values)) * 1024.0)


def _inside(trace: Trace, column: Sequence[int], windows: Sequence[Window]) -> list[int]:
    """Returns the values that could be read inside the windows."""
    return [
        column[index]
        for begin_ns, end_ns in windows
        for index in range(bisect_left(trace.times_ns, begin_ns), bisect_right(trace.times_ns, end_ns))
        if column[index] > LAST_UNREAD
    ]


def _matching(traces: Sequence[Trace], kind: _Sampled) -> Iterator[tuple[Trace, str, float, Sequence[int]]]:
    for trace in traces:
        for field in trace.fields:
            if kind.matches(field.source):
                yield trace, field.source, field.scale, trace.column(field)


def _column(traces: Sequence[Trace], source: str) -> tuple[Trace | None, Sequence[int]]:
    for trace in traces:
        for field in trace.fields:
            if field.source == source:
                return trace, trace.column(field)
    return None, ()


def _weakness(method: str) -> int:
    return _METHODS.index(method) if method in _METHODS else len(_METHODS)
