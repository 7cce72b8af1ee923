"""Uncertainty of an energy figure, part by part; pure.

    u95 = 2 sqrt(u_gain^2 + u_offset^2 + u_alias^2 + u_edge^2 + u_idle^2)

Every part is a standard uncertainty in joules (JCGM 100:2008). A part that is not
known is kept as unknown with its reason; u95 is then that of the known parts, and
says so.

- gain, offset: limits of the sensor (accuracy.py); the offset acts over the whole time.
- alias: what lies between two samples. Two halves of the jittered samples (even and
  odd) are two measurements of the same energy; their difference, taken over blocks
  of ten samples, gives the variance of one that has them all.
- edge: a sensor that renews its value every tau places an edge of the window no
  better than tau, uniformly: each edge gives |dP| tau / sqrt(12), two of them the
  sqrt(2) |dP| tau / sqrt(12) of the method's page.
- idle: of net energy, where the idle power taken off is half way between two idle
  windows: |P1 - P2| / sqrt(12) and their own alias, over the whole time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot, sqrt
from statistics import fmean

from edgerig_agent.measure.energy import Curve, Integral, Window
from edgerig_agent.measure.idle import Idle
from edgerig_agent.measure.sources import PowerSource

COVERAGE_FACTOR = 2.0
_BLOCK = 10
_EDGE_SAMPLES = 3


@dataclass(frozen=True)
class Part:
    """One part of an uncertainty; `standard` is in the figure's unit, None = not known."""

    name: str
    standard: float | None
    unknown_reason: str = ""


def expanded(parts: Sequence[Part]) -> float:
    """Returns u95 of the known parts, in the figure's unit."""
    return COVERAGE_FACTOR * hypot(*(part.standard for part in parts if part.standard is not None))


def scaled(parts: Sequence[Part], factor: float) -> tuple[Part, ...]:
    """Returns the parts of a figure that is `factor` times this one, the factor being exact."""
    return tuple(
        part if part.standard is None else replace(part, standard=part.standard * abs(factor))
        for part in parts
    )


def gross_parts(source: PowerSource, integral: Integral, windows: Sequence[Window]) -> tuple[Part, ...]:
    """Returns the parts of the energy of windows."""
    accuracy = source.accuracy
    reason = accuracy.unknown_reason
    gain = None if accuracy.gain_share is None else accuracy.gain_share * abs(integral.energy_j)
    offset = None if accuracy.offset_w is None else accuracy.offset_w * integral.covered_s
    return (
        Part("gain", gain, reason if gain is None else ""),
        Part("offset", offset, reason if offset is None else ""),
        _alias_part(source, windows),
        Part("edge", edge_j(source.curve, windows, source.update_ns)),
    )


def net_parts(
    source: PowerSource, net_j: float, integral: Integral, windows: Sequence[Window], idle: Idle
) -> tuple[Part, ...]:
    """Returns the parts of the energy above idle; an offset is in both and cancels."""
    gross = {part.name: part for part in gross_parts(source, integral, windows)}
    share = source.accuracy.gain_share
    gain = (
        Part("gain", None, source.accuracy.unknown_reason)
        if share is None
        else Part("gain", share * abs(net_j))
    )
    return (
        gain,
        Part("offset", 0.0),
        gross["alias"],
        gross["edge"],
        _idle_part(source, idle, integral.covered_s),
    )


def edge_j(curve: Curve, windows: Sequence[Window], update_ns: float) -> float:
    """Returns the standard uncertainty that the windows' edges give, in joules."""
    squares = [_step_w(curve, edge_ns) ** 2 for window in windows for edge_ns in window]
    return sqrt(sum(squares) / 12.0) * update_ns * 1e-9


def alias_j(curve: Curve, windows: Sequence[Window]) -> float:
    """Returns the standard uncertainty of what lies between samples of power, in joules.

    For m samples of white noise at even distance the alternating sum of what each
    sample adds has a variance of (4 m - 3) / m times that of the integral (1.5 for
    m = 1), so that the estimate is unbiased there. A wave with edges is overstated.
    """
    assert curve.power_w is not None
    variance = 0.0
    for begin_ns, end_ns in windows:
        first, last = bisect_left(curve.times_ns, begin_ns), bisect_right(curve.times_ns, end_ns)
        if first >= last:
            variance += _between_samples(curve, first, end_ns - begin_ns)
        for begin in range(first, last, _BLOCK):
            variance += _block(curve, begin, min(begin + _BLOCK, last))
    return sqrt(variance)


def _alias_part(source: PowerSource, windows: Sequence[Window]) -> Part:
    if not source.is_counter:
        return Part("alias", alias_j(source.curve, windows))
    if source.source.startswith("nvml:"):
        reason = "on some boards the driver looks at a part of the time only (arXiv 2312.02741)"
        return Part("alias", None, reason)
    # The counter itself integrates; nothing lies between its readings.
    return Part("alias", 0.0)


def _idle_part(source: PowerSource, idle: Idle, duration_s: float) -> Part:
    if idle.resident_w is None or idle.post_w is None:
        return Part("idle", None, "only one idle window has the model loaded")
    drift_w = abs(idle.resident_w - idle.post_w) / sqrt(12.0)
    alias_w = 0.0
    if not source.is_counter:
        alias_w = alias_j(source.curve, idle.windows) / max(idle.duration_s, 1e-9)
    return Part("idle", hypot(drift_w, alias_w) * duration_s)


def _block(curve: Curve, begin: int, end: int) -> float:
    times, watts = curve.times_ns, curve.power_w
    assert watts is not None
    alternating, count = 0.0, 0
    for index in range(max(begin, 1), min(end, len(times) - 1)):
        if index in curve.holes or index - 1 in curve.holes:
            continue
        without = (watts[index - 1] + watts[index + 1]) / 2 * (times[index + 1] - times[index - 1]) * 1e-9
        added = curve.step_j[index - 1] + curve.step_j[index] - without
        alternating += -added if index % 2 else added
        count += 1
    if not count:
        return 0.0
    return alternating**2 * (count / (4 * count - 3) if count > 1 else 1 / 1.5)


def _between_samples(curve: Curve, following: int, length_ns: int) -> float:
    """Variance of a window that no sample lies in: its power is somewhere between its neighbours'."""
    assert curve.power_w is not None
    if not 0 < following < len(curve.times_ns):
        return 0.0
    step_w = curve.power_w[following] - curve.power_w[following - 1]
    return float((step_w * length_ns * 1e-9) ** 2 / 12.0)


def _step_w(curve: Curve, edge_ns: int) -> float:
    """Returns by how much the power changes around an instant, 0 where one side has no samples."""
    index = bisect_right(curve.times_ns, edge_ns) - 1
    if curve.power_w is not None:
        before = curve.power_w[max(index - _EDGE_SAMPLES + 1, 0) : index + 1]
        after = curve.power_w[index + 1 : index + 1 + _EDGE_SAMPLES]
    else:
        # The interval that the edge lies in belongs to both sides, so to neither.
        before = _counter_w(curve, index - _EDGE_SAMPLES, index)
        after = _counter_w(curve, index + 1, index + 1 + _EDGE_SAMPLES)
    return fmean(after) - fmean(before) if len(before) and len(after) else 0.0


def _counter_w(curve: Curve, begin: int, end: int) -> list[float]:
    return [
        curve.step_j[index] / ((curve.times_ns[index + 1] - curve.times_ns[index]) * 1e-9)
        for index in range(max(begin, 0), min(end, len(curve.step_j)))
        if index not in curve.holes
    ]
