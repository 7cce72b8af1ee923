"""What sensors did wrong in the middle of an attempt, found in the trace; pure.

A reading that fails carries its errno in the trace. A stall and a jump are read
from the values, by rules that a working sensor does not meet:

- a counter of energy stands still for more than 20 of its update periods and 1 s;
- a sampled channel shows one and the same value for more than 1 s of work, where
  the rest of the work changes it so often that so long a run has a probability
  below 1e-9 (as if changes were independent), and the value is not near the least that
  the channel shows at other times: a rail that has nothing to do stands still at its
  floor and is right;
- a value lies beyond the range of the sensor, or a few samples lie more than a
  hundred times above the 95th percentile of the attempt.

What a fault covers is left out of every integral, so it lowers the coverage.
"""

from __future__ import annotations

import errno
import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import ceil, inf, log
from statistics import median

from edgerig_agent.measure.energy import Window, wrapped_step
from edgerig_agent.measure.trace import Field, Trace
from edgerig_agent.probes.base import CURRENT_A, ENERGY_J, LAST_UNREAD, POWER_W, UNREAD, VOLTAGE_V

VANISHED = "vanished"
NO_DATA = "no_data"
UNREADABLE = "unreadable"
STALLED = "stalled"
JUMPED = "jumped"
COUNTER_RESET = "counter_reset"

# Flag of a figure and a run in which a power sensor did so.
FLAG_OF = {
    VANISHED: "sensor_vanished",
    NO_DATA: "sensor_no_data",
    UNREADABLE: "sensor_unreadable",
    STALLED: "sensor_stalled",
    JUMPED: "sensor_jumped",
    COUNTER_RESET: "counter_reset",
}

_GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOENT})
_STALL_NS = 1_000_000_000
_STALL_PERIODS = 20
_STALL_PROBABILITY = 1e-9
_FEWEST_CHANGES = 20
_FLOOR_SHARE = 0.1
_JUMP_FACTOR = 100.0
_JUMP_SAMPLES = 10
# No box that is measured here takes as much; a reading beyond is a fault of the sensor.
_MAX_POWER_W = 10_000.0
_LIMITS = {POWER_W: _MAX_POWER_W, CURRENT_A: 500.0, VOLTAGE_V: 500.0}
# Largest shunt voltage that an INA3221 converts (TI SBOS576, electrical characteristics).
_INA3221_SHUNT_V = 0.1638


@dataclass(frozen=True)
class Fault:
    """One fault of one channel; from the first reading that is not believed to the next that is."""

    kind: str
    source: str
    quantity: str
    begin_ns: int
    end_ns: int
    reason: str

    @property
    def window(self) -> Window:
        return self.begin_ns, self.end_ns


def find_faults(trace: Trace, field: Field, work: Sequence[Window]) -> list[Fault]:
    """Returns the faults of one channel in order.

    Args:
        work: windows in which the device worked, in order; a sampled channel that
            stands still in an idle window may be right.
    """
    faults = list(_unread(trace, field))
    times, raws = readable(trace, field)
    if field.unit == ENERGY_J:
        faults += _counter_faults(times, raws, field)
    elif field.unit in _LIMITS:
        faults += _jumps(times, raws, field)
    if field.unit in (POWER_W, CURRENT_A):
        faults += _stalls(times, raws, field, work)
    return sorted(faults, key=lambda fault: (fault.begin_ns, fault.kind))


def readable(trace: Trace, field: Field) -> tuple[Sequence[int], Sequence[int]]:
    """Returns times and raw values of the readings that did not fail; the trace's own where none did."""
    column = trace.column(field)
    if column and min(column) > LAST_UNREAD:
        return trace.times_ns, column
    kept = [index for index, raw in enumerate(column) if raw > LAST_UNREAD]
    return array("q", (trace.times_ns[i] for i in kept)), array("q", (column[i] for i in kept))


def _unread(trace: Trace, field: Field) -> Iterator[Fault]:
    column = trace.column(field)
    if not column or min(column) > LAST_UNREAD:
        return
    for code, run in groupby(range(len(column)), key=lambda index: min(column[index], LAST_UNREAD + 1)):
        if code > LAST_UNREAD:
            continue
        indices = list(run)
        number = code - UNREAD
        reason = os.strerror(number) if number else "the sensor gave no number"
        kind = NO_DATA if number == errno.ENODATA else VANISHED if number in _GONE else UNREADABLE
        yield _fault(kind, field, trace.times_ns, indices[0], indices[-1] + 1, reason)


def _counter_faults(times: Sequence[int], raws: Sequence[int], field: Field) -> Iterator[Fault]:
    changes = [index + 1 for index, (one, two) in enumerate(pairwise(raws)) if one != two]
    if len(changes) < 3:
        return
    for index in changes:
        step = wrapped_step(raws[index - 1], raws[index], field.wrap_raw)
        if step < 0:
            yield _fault(
                COUNTER_RESET, field, times, index - 1, index, "the counter fell and no wrap explains it"
            )
        elif step * field.scale > _MAX_POWER_W * (times[index] - times[index - 1]) * 1e-9:
            reason = f"{step * field.scale:.6g} J between two readings"
            yield _fault(JUMPED, field, times, index - 1, index, reason)
    period_ns = median(times[two] - times[one] for one, two in pairwise(changes))
    longest_ns = max(_STALL_NS, _STALL_PERIODS * period_ns)
    for one, two in pairwise([0, *changes, len(times)]):
        last = two - 1
        # A gap without readings is no stall: the counter may have moved in it.
        if times[last] - times[one] > longest_ns:
            reason = f"the counter stood still for {(times[last] - times[one]) * 1e-9:.3g} s"
            yield _fault(STALLED, field, times, one, two, reason)


def _jumps(times: Sequence[int], raws: Sequence[int], field: Field) -> Iterator[Fault]:
    limit = _LIMITS[field.unit]
    if field.unit == CURRENT_A and field.shunt_ohm and field.source.startswith("ina3221:"):
        limit = _INA3221_SHUNT_V / field.shunt_ohm
    ordered = sorted(abs(raw) for raw in raws)
    usual = ordered[int(0.95 * (len(ordered) - 1))] * field.scale if ordered else 0.0
    seldom = _JUMP_FACTOR * usual if usual > 0 else inf
    if not ordered or ordered[-1] * field.scale <= min(limit, seldom):
        return
    for is_beyond, run in groupby(
        range(len(raws)), key=lambda index: abs(raws[index]) * field.scale > min(limit, seldom)
    ):
        if not is_beyond:
            continue
        indices = list(run)
        peak = max(abs(raws[index]) for index in indices) * field.scale
        if peak > limit or len(indices) <= _JUMP_SAMPLES:
            reason = f"{peak:.6g} {field.unit}, 95 % of the readings are below {usual:.6g}"
            yield _fault(JUMPED, field, times, indices[0], indices[-1] + 1, reason)


def _stalls(
    times: Sequence[int], raws: Sequence[int], field: Field, work: Sequence[Window]
) -> Iterator[Fault]:
    runs: list[tuple[int, int]] = []
    for begin_ns, end_ns in work:
        first, last = bisect_left(times, begin_ns), bisect_right(times, end_ns)
        starts = [first, *(i for i in range(first + 1, last) if raws[i] != raws[i - 1]), last]
        runs += [(one, two) for one, two in pairwise(starts) if two > one]
    pair_count = sum(two - one for one, two in runs)
    long = [(one, two) for one, two in runs if times[two - 1] - times[one] > _STALL_NS]
    ordered = sorted(raws) if long else []
    for one, two in long:
        if _is_floor(raws[one], two - one, ordered):
            continue
        changes = len(runs) - 1
        rest = pair_count - (two - one)
        if changes < _FEWEST_CHANGES or two - one < _longest_run(changes / max(rest, changes)):
            continue
        reason = f"the reading stood still for {(times[two - 1] - times[one]) * 1e-9:.3g} s of work"
        yield _fault(STALLED, field, times, one, two, reason)


def _is_floor(value: int, count: int, ordered: Sequence[int]) -> bool:
    """Tells whether a channel that stood still did so where it goes when there is nothing to do.

    That is within a tenth of its usual range of the least that its other readings show; a few
    readings below all others are no floor.

    Args:
        count: how many readings in a row had this value.
        ordered: all readings, these among them.
    """
    if len(ordered) - count <= _JUMP_SAMPLES:
        return False
    is_below = bisect_left(ordered, value) <= _JUMP_SAMPLES
    least = ordered[_JUMP_SAMPLES + count if is_below else _JUMP_SAMPLES]
    usual = ordered[int(0.95 * (len(ordered) - 1))]
    return abs(value - least) <= _FLOOR_SHARE * (usual - least)


def _longest_run(change_share: float) -> int:
    """Returns the length of run that chance gives with the stall probability."""
    return ceil(log(_STALL_PROBABILITY) / log(1.0 - min(change_share, 0.999)))


def _fault(kind: str, field: Field, times: Sequence[int], first: int, end: int, reason: str) -> Fault:
    """Makes a fault of the samples first to end - 1; it lasts to sample `end`, or past the last one."""
    end_ns = times[end] if end < len(times) else times[-1] + 1
    return Fault(kind, field.source, field.unit, times[first], end_ns, reason)
