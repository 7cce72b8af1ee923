"""Energy of a window from samples of power, or from readings of a counter; pure.

Power samples are integrated by trapezoids with linear interpolation at both
edges of the window. Equal neighbours are kept: dropping them and drawing a line
over the hole is what makes a step disappear. What no sample covers is not
guessed; it lowers `coverage`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

GAP_FACTOR = 3.0
MIN_COVERAGE = 0.98

Window = tuple[int, int]


@dataclass(frozen=True)
class Series:
    """Samples in time order; readings that failed are left out."""

    times_ns: Sequence[int]
    values: Sequence[float]
    max_gap_ns: float


@dataclass(frozen=True)
class Integral:
    """What was integrated over one or several windows."""

    energy_j: float
    covered_s: float
    duration_s: float
    sample_count: int

    @property
    def coverage(self) -> float:
        """Share of the windows that samples cover, 0 to 1."""
        return min(1.0, self.covered_s / self.duration_s) if self.duration_s > 0 else 0.0

    def __add__(self, other: Integral) -> Integral:
        return Integral(
            self.energy_j + other.energy_j,
            self.covered_s + other.covered_s,
            self.duration_s + other.duration_s,
            self.sample_count + other.sample_count,
        )


NOTHING = Integral(0.0, 0.0, 0.0, 0)


def series_of(times_ns: Sequence[int], values: Sequence[float]) -> Series:
    """Returns a series with the longest gap that is bridged: three times the median interval."""
    steps = [later - earlier for earlier, later in pairwise(times_ns)]
    return Series(times_ns, values, GAP_FACTOR * median(steps) if steps else 0.0)


def integrate_power(power_w: Series, windows: Sequence[Window]) -> Integral:
    """Returns the energy of the windows from samples of power in watts."""
    total = NOTHING
    for begin_ns, end_ns in windows:
        total += _integrate_window(power_w, begin_ns, end_ns)
    return total


def _integrate_window(power_w: Series, begin_ns: int, end_ns: int) -> Integral:
    times, values = power_w.times_ns, power_w.values
    first = max(bisect_right(times, begin_ns) - 1, 0)
    last = min(bisect_left(times, end_ns), len(times) - 1)
    energy_j = covered_ns = 0.0
    for index in range(first, last):
        t0, t1 = times[index], times[index + 1]
        low, high = max(t0, begin_ns), min(t1, end_ns)
        if high <= low or t1 - t0 > power_w.max_gap_ns:
            continue
        slope = (values[index + 1] - values[index]) / (t1 - t0)
        middle_w = values[index] + slope * ((low + high) / 2 - t0)
        energy_j += middle_w * (high - low) * 1e-9
        covered_ns += high - low
    inside = max(0, bisect_left(times, end_ns) - bisect_right(times, begin_ns))
    return Integral(energy_j, covered_ns * 1e-9, max(0, end_ns - begin_ns) * 1e-9, inside)


@dataclass(frozen=True)
class Counter:
    """A counter as the instants at which it changed and its energy since the first.

    `breaks` holds the indices of steps (from i to i + 1) over which the counter was
    reset, so that nothing is known of them.
    """

    times_ns: Sequence[int]
    energy_j: Sequence[float]
    breaks: frozenset[int]
    max_gap_ns: float


def counter_of(times_ns: Sequence[int], raws: Sequence[int], wrap_raw: int, scale_j: float) -> Counter:
    """Turns readings of a counter into energy since its first change.

    A decrease is one wrap where a wrap of at most half the range explains it, else
    a reset. Repeated readings are the driver's update period, not new data: only
    the instants of change carry information, and the line goes through them.
    """
    times: list[int] = []
    energies: list[float] = []
    breaks: list[int] = []
    previous: int | None = None
    for t_ns, raw in zip(times_ns, raws, strict=True):
        if previous is None or raw == previous:
            previous = raw
            continue
        step = raw - previous
        if step < 0 and wrap_raw and raw + wrap_raw - previous <= wrap_raw // 2:
            step += wrap_raw
        if not times:
            times.append(t_ns)
            energies.append(0.0)
        else:
            if step < 0:
                breaks.append(len(times) - 1)
            times.append(t_ns)
            energies.append(energies[-1] + max(step, 0) * scale_j)
        previous = raw
    steps = [later - earlier for earlier, later in pairwise(times)]
    gap_ns = GAP_FACTOR * median(steps) if steps else 0.0
    return Counter(times, energies, frozenset(breaks), gap_ns)


def integrate_counter(counter: Counter, windows: Sequence[Window]) -> Integral:
    """Returns the energy of the windows from a counter.

    A long gap inside a window loses nothing, since the counter went on; at an edge
    of the window it does, because where in the gap the energy fell is unknown.
    """
    total = NOTHING
    for begin_ns, end_ns in windows:
        total += _difference(counter, begin_ns, end_ns)
    return total


def _difference(counter: Counter, begin_ns: int, end_ns: int) -> Integral:
    times, energies = counter.times_ns, counter.energy_j
    first = max(bisect_right(times, begin_ns) - 1, 0)
    last = min(bisect_left(times, end_ns), len(times) - 1)
    energy_j = covered_ns = 0.0
    for index in range(first, last):
        t0, t1 = times[index], times[index + 1]
        low, high = max(t0, begin_ns), min(t1, end_ns)
        is_cut = high - low < t1 - t0
        if high <= low or index in counter.breaks or (is_cut and t1 - t0 > counter.max_gap_ns):
            continue
        energy_j += (energies[index + 1] - energies[index]) * (high - low) / (t1 - t0)
        covered_ns += high - low
    inside = max(0, bisect_left(times, end_ns) - bisect_right(times, begin_ns))
    return Integral(energy_j, covered_ns * 1e-9, max(0, end_ns - begin_ns) * 1e-9, inside)
