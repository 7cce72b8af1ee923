"""How a power sensor followed a square wave of load: response, lag, period, step, noise; pure.

The response is the mean over the cycles of (on - off), with its Student interval
over cycles; a sensor responds when that interval lies above zero. For it only the
later part of each half counts, so that a slow sensor has time to follow. The lag is
the shift of the wave at which on and off differ most (the peak of the cross-
correlation of a square wave). Knows nothing of processes or files.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median, stdev

from edgerig_agent.measure.energy import Curve
from edgerig_agent.measure.sources import PowerSource
from edgerig_agent.selftest.wave import Wave, Window

# Share of a half that is left to the sensor to follow the edge.
_FOLLOW_SHARE = 0.5
_LAG_STEPS = 200
# More cycles would tell the lag no better and cost a slow board minutes.
_LAG_CYCLES = 12
_FEWEST_CHANGES = 5

# Student's t at 97.5 % for 1 to 30 degrees of freedom; beyond, the normal's (error below 2 %).
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_T_BEYOND = 2.042


@dataclass(frozen=True)
class Series:
    """Power over time: one value in watts for each instant."""

    times_ns: Sequence[int]
    watts: Sequence[float]

    def inside(self, windows: Sequence[Window]) -> list[list[float]]:
        """Returns the values in each window."""
        found = []
        for begin_ns, end_ns in windows:
            first, last = bisect_left(self.times_ns, begin_ns), bisect_left(self.times_ns, end_ns)
            found.append(list(self.watts[first:last]))
        return found


@dataclass(frozen=True)
class Response:
    """One power source against one wave; None where it cannot be told. Powers in W, times in s."""

    load: str
    source: str
    boundary: str
    rate_hz: float
    update_s: float | None
    step_w: float | None
    idle_w: float | None
    # Standard deviation of the samples while idle.
    noise_w: float | None
    off_w: float | None
    on_w: float | None
    response_w: float | None
    low_w: float | None
    high_w: float | None
    responds: bool
    lag_s: float | None


def series_of(curve: Curve) -> Series:
    """Returns the power of a source; of a counter the power between two of its changes."""
    if curve.power_w is not None:
        return Series(curve.times_ns, curve.power_w)
    times: list[int] = []
    watts: list[float] = []
    for index, (begin_ns, end_ns) in enumerate(pairwise(curve.times_ns)):
        if index not in curve.holes and end_ns > begin_ns:
            times.append((begin_ns + end_ns) // 2)
            watts.append(curve.step_j[index] / ((end_ns - begin_ns) * 1e-9))
    return Series(times, watts)


def analyse(source: PowerSource, wave: Wave, idle: Window) -> Response:
    """Returns how a source followed a wave."""
    series = series_of(source.curve)
    quiet = series.inside([idle])[0]
    on, off = _later(wave.on_windows()), _later(wave.off_windows())
    pairs = [
        (fmean(one), fmean(other))
        for one, other in zip(series.inside(on), series.inside(off), strict=True)
        if one and other
    ]
    mean_w, low_w, high_w = student([one - other for one, other in pairs])
    responds = low_w is not None and low_w > 0
    return Response(
        load=wave.load,
        source=source.source,
        boundary=source.boundary,
        rate_hz=_rate_hz(series, wave),
        update_s=_update_s(series),
        step_w=_step_w(series),
        idle_w=fmean(quiet) if quiet else None,
        noise_w=stdev(quiet) if len(quiet) > 1 else None,
        off_w=fmean(off_w for _, off_w in pairs) if pairs else None,
        on_w=fmean(on_w for on_w, _ in pairs) if pairs else None,
        response_w=mean_w,
        low_w=low_w,
        high_w=high_w,
        responds=responds,
        lag_s=_lag_s(series, wave) if responds else None,
    )


def student(values: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Returns mean and 95 % t interval; the interval is None for fewer than two values."""
    count = len(values)
    if count == 0:
        return None, None, None
    mean = fmean(values)
    if count == 1:
        return mean, None, None
    quantile = _T[count - 2] if count - 2 < len(_T) else _T_BEYOND
    half = quantile * stdev(values) / math.sqrt(count)
    return mean, mean - half, mean + half


def _later(windows: Sequence[Window]) -> list[Window]:
    return [(begin + int((end - begin) * _FOLLOW_SHARE), end) for begin, end in windows]


def _lag_s(series: Series, wave: Wave) -> float | None:
    """Shifts the wave by up to half a period and takes the shift with the largest difference."""
    end_ns = min(wave.end_ns, wave.begin_ns + _LAG_CYCLES * wave.period_ns)
    first, last = bisect_left(series.times_ns, wave.begin_ns), bisect_left(series.times_ns, end_ns)
    samples = list(zip(series.times_ns[first:last], series.watts[first:last], strict=True))
    step_ns = max(1, wave.period_ns // 2 // _LAG_STEPS)
    best: tuple[float, int] | None = None
    for lag_ns in range(0, wave.period_ns // 2, step_ns):
        sums, counts = [0.0, 0.0], [0, 0]
        for t_ns, watts in samples:
            sign = wave.sign(t_ns - lag_ns)
            if sign:
                sums[sign > 0] += watts
                counts[sign > 0] += 1
        if all(counts):
            difference = sums[1] / counts[1] - sums[0] / counts[0]
            best = max(best, (difference, -lag_ns)) if best else (difference, -lag_ns)
    return None if best is None else -best[1] * 1e-9


def _rate_hz(series: Series, wave: Wave) -> float:
    count = len(series.inside([(wave.begin_ns, wave.end_ns)])[0])
    return count / ((wave.end_ns - wave.begin_ns) * 1e-9)


def _update_s(series: Series) -> float | None:
    """The median time between two changes of the value."""
    changes = [
        t for t, (one, two) in zip(series.times_ns[1:], pairwise(series.watts), strict=True) if one != two
    ]
    if len(changes) < _FEWEST_CHANGES:
        return None
    return median(later - earlier for earlier, later in pairwise(changes)) * 1e-9


def _step_w(series: Series) -> float | None:
    """The smallest difference between two values that were seen: the sensor's resolution, or finer."""
    levels = sorted(set(series.watts))
    return min((two - one for one, two in pairwise(levels)), default=None)
