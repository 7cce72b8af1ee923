"""What disturbed a run as a whole: throttling, clocks below their pin, heat, foreign load; pure.

All of it is read from the traces and the processor times that lie in the attempt
folder, so that the same flags come out again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from edgerig_agent.measure.energy import Window
from edgerig_agent.measure.trace import Field, Trace
from edgerig_agent.probes.base import (
    CEILING_HZ,
    EVENT_COUNT,
    EVENT_REASONS,
    FLOOR_HZ,
    FREQUENCY_HZ,
    LAST_UNREAD,
    TEMPERATURE_C,
)

# An achieved clock below this share of its pin, in more than this share of the samples.
MIN_CLOCK_SHARE = 0.97
MAX_LOW_CLOCK_SAMPLES = 0.01
MAX_TEMPERATURE_RATE_C_PER_MIN = 1.0
MAX_FOREIGN_SHARE = 0.02

# NVML's clock event reasons that slow a GPU down for heat or for a fault of its supply:
# HwSlowdown, SwThermalSlowdown, HwThermalSlowdown, HwPowerBrakeSlowdown (nvml.h). A power
# cap (SwPowerCap) is how many boards run under load, and a setting of theirs.
_THROTTLE_BITS = 0x8 | 0x20 | 0x40 | 0x80
# GpuIdle of the same word.
_GPU_IDLE = 0x1
_GPU_CLOCK = ":sm_clock"

# A slope over less time is the sensor's step and not the device's heat.
_FEWEST_TEMPERATURES = 10


@dataclass(frozen=True)
class CpuTimes:
    """Processor seconds in the window of an attempt, of all processors together."""

    window_s: float
    cpu_count: int
    # Everything but idle, as /proc/stat counts it.
    busy_s: float
    # The worker with all its processes, and the sampler.
    children_s: float
    # Other processes of edgerig.
    own_s: float

    @property
    def foreign_share(self) -> float:
        """Share of the machine's processor time that went to others, 0 to 1."""
        capacity_s = self.window_s * self.cpu_count
        foreign_s = self.busy_s - self.children_s - self.own_s
        return min(1.0, max(0.0, foreign_s / capacity_s)) if capacity_s > 0 else 0.0


def throttle_sources(traces: Sequence[Trace], whole: Window) -> list[str]:
    """Returns what throttled or tripped in the window: counters that grew, reasons that were given."""
    found = {
        field.source
        for trace in traces
        for field in trace.fields
        if (field.unit == EVENT_COUNT and _grew(trace, field, whole))
        or (field.unit == EVENT_REASONS and _gave_reason(trace, field, whole))
    }
    return sorted(found)


def low_clock_sources(
    traces: Sequence[Trace], work: Sequence[Window], locked_gpu_hz: float = 0.0
) -> list[str]:
    """Returns the pinned clocks that were not held: achieved below 97 % of the pin in over 1 % of samples.

    A clock is pinned where its floor and its ceiling are the same all the time. No interface
    shows to what the clocks of an NVIDIA GPU are locked, so that is told.

    Args:
        work: windows in which the device worked, in order.
        locked_gpu_hz: what the trial locked the GPUs' clocks to, 0 for nothing. A GPU that
            says that it idles is not held to it.
    """
    found = []
    for trace in traces:
        for field in trace.fields:
            if field.unit != FREQUENCY_HZ:
                continue
            pin_hz, idle_ns = _pin_hz(trace, field.source, work), frozenset[int]()
            if not pin_hz and field.source.endswith(_GPU_CLOCK):
                pin_hz, idle_ns = locked_gpu_hz, _idle_ns(trace, field.source, work)
            achieved = [raw * field.scale for t, raw in _inside(trace, field, work) if t not in idle_ns]
            low = sum(hz < MIN_CLOCK_SHARE * pin_hz for hz in achieved)
            if pin_hz and low > MAX_LOW_CLOCK_SAMPLES * len(achieved):
                found.append(field.source)
    return sorted(found)


def hottest_rate_c_per_min(traces: Sequence[Trace], block: Sequence[Window]) -> float | None:
    """Returns the largest change of a temperature over the measured block, None with too few samples.

    The least-squares slope of each zone, in °C per minute.
    """
    rates = [
        abs(slope)
        for trace in traces
        for field in trace.fields
        if field.unit == TEMPERATURE_C
        and (slope := _slope_per_min(_inside(trace, field, block), field.scale)) is not None
    ]
    return max(rates, default=None)


def _grew(trace: Trace, field: Field, whole: Window) -> bool:
    """Compares the readings that enclose the window; the answer errs toward more."""
    column = trace.column(field)
    first = max(bisect_right(trace.times_ns, whole[0]) - 1, 0)
    last = min(bisect_left(trace.times_ns, whole[1]), len(column) - 1)
    known = [raw for raw in column[first : last + 1] if raw > LAST_UNREAD]
    return bool(known) and known[-1] > known[0]


def _gave_reason(trace: Trace, field: Field, whole: Window) -> bool:
    return any(raw & _THROTTLE_BITS for _, raw in _inside(trace, field, [whole]))


def _idle_ns(trace: Trace, clock: str, work: Sequence[Window]) -> frozenset[int]:
    """Returns when a GPU gave as the reason of its clock that it had nothing to do."""
    reasons = clock.removesuffix(_GPU_CLOCK) + ":clock_reasons"
    return frozenset(
        t_ns
        for field in trace.fields
        if field.source == reasons
        for t_ns, raw in _inside(trace, field, work)
        if raw & _GPU_IDLE
    )


def _pin_hz(trace: Trace, source: str, work: Sequence[Window]) -> float:
    limits = [
        raw * field.scale
        for field in trace.fields
        if field.source == source and field.unit in (FLOOR_HZ, CEILING_HZ)
        for _, raw in _inside(trace, field, work)
    ]
    kinds = {field.unit for field in trace.fields if field.source == source}
    is_pinned = {FLOOR_HZ, CEILING_HZ} <= kinds and limits and min(limits) == max(limits)
    return limits[0] if is_pinned else 0.0


def _slope_per_min(samples: Sequence[tuple[int, int]], scale: float) -> float | None:
    if len(samples) < _FEWEST_TEMPERATURES:
        return None
    minutes = [t_ns / 60e9 for t_ns, _ in samples]
    degrees = [raw * scale for _, raw in samples]
    middle, level = fmean(minutes), fmean(degrees)
    spread = sum((t - middle) ** 2 for t in minutes)
    if spread <= 0:
        return None
    return sum((t - middle) * (c - level) for t, c in zip(minutes, degrees, strict=True)) / spread


def _inside(trace: Trace, field: Field, windows: Sequence[Window]) -> list[tuple[int, int]]:
    column = trace.column(field)
    return [
        (trace.times_ns[index], column[index])
        for begin_ns, end_ns in windows
        for index in range(bisect_left(trace.times_ns, begin_ns), bisect_right(trace.times_ns, end_ns))
        if column[index] > LAST_UNREAD
    ]
