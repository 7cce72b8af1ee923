"""Power figures that the traces of an attempt hold: which channels make one, and its boundary.

A current with its voltage is a rail, rails that are known to add up are a total,
a counter or a reading is a figure of its own. Samples that a fault covers are
left out here, once and for all. Figures of different boundaries stay apart.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot, isnan, nan
from statistics import fmean, median

from edgerig_agent.measure.accuracy import Accuracy, accuracy_of, together
from edgerig_agent.measure.energy import Curve, Integral, Window, counter_curve, power_curve
from edgerig_agent.measure.faults import COUNTER_RESET, FLAG_OF, Fault, find_faults, readable
from edgerig_agent.measure.trace import Field, Trace
from edgerig_agent.probes.base import (
    CURRENT_A,
    ENERGY_J,
    LAST_UNREAD,
    POWER_W,
    STAMP_UNCERTAINTY_S,
    VOLTAGE_V,
)
from edgerig_agent.probes.rails import rails_of_total

# A counter that steps every 100 ms needs 50 steps for an edge error below 2 %.
_SHORT_WINDOW_STEPS = 50
_FEWEST_CHANGES = 20


@dataclass(frozen=True)
class PowerSource:
    """One power figure with one boundary."""

    source: str
    boundary: str
    method: str
    curve: Curve
    accuracy: Accuracy
    # How often the sensor gives a new value, as far as the trace shows it.
    update_ns: float
    faults: tuple[Fault, ...] = ()

    @property
    def is_counter(self) -> bool:
        """Tells whether the energy comes from a counter."""
        return self.curve.power_w is None

    @property
    def is_total(self) -> bool:
        """Tells whether it covers a whole device and not one rail of several."""
        return self.boundary != "rail"

    def integrate(self, windows: Sequence[Window]) -> Integral:
        """Returns the energy of the windows together."""
        return self.curve.integrate(windows)

    def is_short(self, windows: Sequence[Window]) -> bool:
        """Tells whether the windows are too short for how often the counter moves."""
        if not self.is_counter:
            return False
        shortest_ns = min(end_ns - begin_ns for begin_ns, end_ns in windows)
        return shortest_ns < _SHORT_WINDOW_STEPS * self.curve.interval_ns

    def fault_flags(self, windows: Sequence[Window]) -> tuple[str, ...]:
        """Returns the flags of the faults that touch the windows, in a fixed order."""
        found = {
            FLAG_OF[fault.kind]
            for fault in self.faults
            if any(fault.begin_ns < end_ns and fault.end_ns > begin_ns for begin_ns, end_ns in windows)
        }
        return tuple(sorted(found))


def power_sources(traces: Sequence[Trace], work: Sequence[Window] = ()) -> list[PowerSource]:
    """Finds all power figures that the traces hold: counters, readings, rails and their sum.

    Args:
        work: windows in which the device worked, for telling a stall from a quiet sensor.
    """
    sources: list[PowerSource] = []
    for trace in traces:
        rails: dict[str, _Rail] = {}
        for field in trace.fields:
            if field.unit == ENERGY_J:
                sources.append(_counter_source(trace, field, work))
            elif field.unit == POWER_W:
                sources.append(_reading_source(trace, field, work, _bus_v(traces, field.source)))
            elif field.unit == CURRENT_A:
                voltage = _voltage_of(trace, field.source)
                if voltage:
                    rails[field.source] = _Rail(trace, field, voltage, work)
        sources += [_rail_source(trace, [rail]) for rail in rails.values()]
        sources += _rail_sum(trace, rails)
    return sources


class _Rail:
    """One rail's power at every sample; NaN where a reading failed or a fault covers it."""

    def __init__(self, trace: Trace, current: Field, voltage: Field, work: Sequence[Window]) -> None:
        self.current = current
        self.faults = (*find_faults(trace, current, work), *find_faults(trace, voltage, work))
        bad = _covered(trace.times_ns, self.faults)
        scale = current.scale * voltage.scale
        self.power_w = array(
            "d",
            (
                nan if min(amperes, volts) <= LAST_UNREAD or index in bad else amperes * volts * scale
                for index, (amperes, volts) in enumerate(
                    zip(trace.column(current), trace.column(voltage), strict=True)
                )
            ),
        )
        self.is_whole = not any(map(isnan, self.power_w))
        is_known = any(not isnan(power) for power in self.power_w)
        self.mean_w = fmean(power for power in self.power_w if not isnan(power)) if is_known else 0.0
        self.accuracy = accuracy_of(current.source, current.shunt_ohm, _middle(trace, voltage))


def _covered(times_ns: Sequence[int], faults: Sequence[Fault]) -> frozenset[int]:
    """Returns the indices of the samples that faults cover."""
    covered: set[int] = set()
    for fault in faults:
        if fault.kind == COUNTER_RESET:
            continue
        covered.update(range(bisect_left(times_ns, fault.begin_ns), bisect_left(times_ns, fault.end_ns)))
    return frozenset(covered)


def _rail_source(trace: Trace, rails: Sequence[_Rail]) -> PowerSource:
    """One rail, or the sum of several that were read in the same scan."""
    times, watts = _together(trace, rails)
    first = rails[0].current
    accuracy = together([(rail.accuracy, rail.mean_w) for rail in rails])
    faults = tuple(fault for rail in rails for fault in rail.faults)
    curve = power_curve(times, watts)
    return PowerSource(
        source=first.source,
        boundary=first.boundary,
        method="trapezoid_of_current_x_voltage",
        curve=curve,
        accuracy=accuracy,
        update_ns=max(_update_ns(times, watts, curve), *(rail.current.update_interval_ns for rail in rails)),
        faults=faults,
    )


def _together(trace: Trace, rails: Sequence[_Rail]) -> tuple[array[int], array[float]]:
    """Adds rails up where all of them are known; a long trace is not copied where it is whole."""
    if all(rail.is_whole for rail in rails):
        watts = rails[0].power_w
        if len(rails) > 1:
            watts = array("d", map(sum, zip(*(rail.power_w for rail in rails), strict=True)))
        return trace.times_ns, watts
    times, watts = array("q"), array("d")
    for t_ns, *powers in zip(trace.times_ns, *(rail.power_w for rail in rails), strict=True):
        total = sum(powers)
        if not isnan(total):
            times.append(int(t_ns))
            watts.append(total)
    return times, watts


def _rail_sum(trace: Trace, rails: dict[str, _Rail]) -> list[PowerSource]:
    by_label = {source.rpartition(":")[2]: rail for source, rail in rails.items()}
    names = rails_of_total([source.rpartition(":")[2] for source in rails])
    if not names:
        return []
    total = _rail_source(trace, [by_label[name] for name in names])
    return [
        PowerSource(
            source=f"{trace.name}:{'+'.join(names)}",
            boundary="rails_sum",
            method=total.method,
            curve=total.curve,
            accuracy=total.accuracy,
            update_ns=total.update_ns,
            faults=total.faults,
        )
    ]


def _counter_source(trace: Trace, field: Field, work: Sequence[Window]) -> PowerSource:
    times, raws = readable(trace, field)
    faults = tuple(find_faults(trace, field, work))
    unbelieved = [fault.window for fault in faults]
    curve = counter_curve(times, raws, field.wrap_raw, field.scale, unbelieved)
    accuracy = accuracy_of(field.source, field.shunt_ohm, 0.0)
    update_ns = hypot(curve.interval_ns, _stamp_ns(trace))
    return PowerSource(field.source, field.boundary, "counter_difference", curve, accuracy, update_ns, faults)


def _reading_source(trace: Trace, field: Field, work: Sequence[Window], bus_v: float) -> PowerSource:
    faults = tuple(find_faults(trace, field, work))
    bad = _covered(trace.times_ns, faults)
    column = trace.column(field)
    kept = array("q", (i for i in range(len(column)) if column[i] > LAST_UNREAD and i not in bad))
    times = array("q", (trace.times_ns[index] for index in kept))
    watts = array("d", (column[index] * field.scale for index in kept))
    curve = power_curve(times, watts)
    accuracy = accuracy_of(field.source, field.shunt_ohm, bus_v)
    update_ns = max(_update_ns(times, watts, curve), field.update_interval_ns)
    update_ns = hypot(update_ns, _stamp_ns(trace))
    return PowerSource(field.source, field.boundary, "trapezoid", curve, accuracy, update_ns, faults)


def _update_ns(times_ns: Sequence[int], values: Sequence[float], curve: Curve) -> float:
    """Estimates a sensor's update period: the median interval between changes.

    It is at least the sampling interval. A sensor that hardly changes shows no period,
    and its edges matter as little.
    """
    changes = [time for time, (one, two) in zip(times_ns[1:], pairwise(values), strict=True) if one != two]
    if len(changes) < _FEWEST_CHANGES:
        return curve.interval_ns
    return max(curve.interval_ns, float(median(two - one for one, two in pairwise(changes))))


def _stamp_ns(trace: Trace) -> float:
    """Returns the width of the interval that a meter's reading happened in, 0 for sensors of this board.

    It places an edge as badly as an update period of that length.
    """
    for field in trace.fields:
        if field.unit == STAMP_UNCERTAINTY_S:
            return 2e9 * _middle(trace, field)
    return 0.0


def _bus_v(traces: Sequence[Trace], source: str) -> float:
    """Returns the middle voltage of a rail in whichever trace holds it, 0 without one."""
    for trace in traces:
        field = _voltage_of(trace, source)
        if field:
            return _middle(trace, field)
    return 0.0


def _middle(trace: Trace, field: Field) -> float:
    _, raws = readable(trace, field)
    return median(raws) * field.scale if raws else 0.0


def _voltage_of(trace: Trace, source: str) -> Field | None:
    for field in trace.fields:
        if field.source == source and field.unit == VOLTAGE_V:
            return field
    return None
