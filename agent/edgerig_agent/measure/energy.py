"""Energy of a window from samples of power, or from readings of a counter; pure.

Both are one curve: energy as a function of time, known at the instants of the
samples and interpolated between them (power is a straight line between two
samples, a counter's energy is). What no sample covers is not guessed; it lowers
`coverage`. Equal neighbours are kept: dropping them and drawing a line over the
hole is what makes a step disappear.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

GAP_FACTOR = 3.0
MIN_COVERAGE = 0.98

Window = tuple[int, int]


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


@dataclass(frozen=True)
class Curve:
    """Energy over time. `step_j[i]` and `step_ns[i]` belong to the interval from sample i to i + 1.

    `power_w` is None for a counter, whose energy grows evenly between two samples.
    `holes` are intervals of which nothing is known. An interval longer than
    `max_gap_ns` may not be cut: how its energy is spread is not known.
    """

    times_ns: Sequence[int]
    step_j: Sequence[float]
    power_w: Sequence[float] | None
    holes: frozenset[int]
    max_gap_ns: float

    @property
    def interval_ns(self) -> float:
        """The median interval between two samples, 0 where there are fewer than two."""
        return self.max_gap_ns / GAP_FACTOR

    def integrate(self, windows: Sequence[Window]) -> Integral:
        """Returns the energy of the windows together."""
        total = NOTHING
        for begin_ns, end_ns in windows:
            total += self._window(begin_ns, end_ns)
        return total

    def _window(self, begin_ns: int, end_ns: int) -> Integral:
        times = self.times_ns
        first = max(bisect_right(times, begin_ns) - 1, 0)
        last = min(bisect_left(times, end_ns), len(times) - 1)
        energy_j, covered_ns = 0.0, 0
        for index in range(first, last):
            low, high = max(times[index], begin_ns), min(times[index + 1], end_ns)
            if high > low and self._is_known(index, high - low):
                energy_j += self._piece_j(index, low, high)
                covered_ns += high - low
        inside = max(0, bisect_left(times, end_ns) - bisect_right(times, begin_ns))
        return Integral(energy_j, covered_ns * 1e-9, max(0, end_ns - begin_ns) * 1e-9, inside)

    def _is_known(self, index: int, length_ns: int) -> bool:
        if index in self.holes:
            return False
        whole_ns = self.times_ns[index + 1] - self.times_ns[index]
        return length_ns == whole_ns or whole_ns <= self.max_gap_ns

    def _piece_j(self, index: int, low: int, high: int) -> float:
        begin, end = self.times_ns[index], self.times_ns[index + 1]
        if low == begin and high == end:
            return self.step_j[index]
        if self.power_w is None:
            return self.step_j[index] * (high - low) / (end - begin)
        slope = (self.power_w[index + 1] - self.power_w[index]) / (end - begin)
        return (self.power_w[index] + slope * ((low + high) / 2 - begin)) * (high - low) * 1e-9


def power_curve(times_ns: Sequence[int], power_w: Sequence[float]) -> Curve:
    """Makes the curve of samples of power in watts; a gap above three median intervals is a hole."""
    gap_ns = _longest_ns(times_ns)
    steps = array(
        "d",
        (
            (power_w[index] + power_w[index + 1]) / 2 * (times_ns[index + 1] - times_ns[index]) * 1e-9
            for index in range(len(times_ns) - 1)
        ),
    )
    holes = frozenset(
        index for index, (earlier, later) in enumerate(pairwise(times_ns)) if later - earlier > gap_ns
    )
    return Curve(times_ns, steps, power_w, holes, gap_ns)


def counter_curve(
    times_ns: Sequence[int],
    raws: Sequence[int],
    wrap_raw: int,
    scale_j: float,
    unbelieved: Sequence[Window] = (),
) -> Curve:
    """Makes the curve of a counter's readings through the instants at which it changed.

    Repeated readings are the driver's update period, not new data. A decrease is
    one wrap where a wrap of at most half the range explains it, else a reset, and
    nothing is known of that step. A long gap inside a window loses nothing, since
    the counter went on; at a window's edge it does. Steps inside `unbelieved` (the
    counter was read and stood still, or jumped) are not counted.
    """
    times, steps = array("q"), array("d")
    holes: list[int] = []
    previous: int | None = None
    for t_ns, raw in zip(times_ns, raws, strict=True):
        if previous is None or raw == previous:
            previous = raw
            continue
        step = wrapped_step(previous, raw, wrap_raw)
        if times:
            if step < 0 or any(begin < t_ns and end > times[-1] for begin, end in unbelieved):
                holes.append(len(steps))
            steps.append(max(step, 0) * scale_j)
        times.append(t_ns)
        previous = raw
    return Curve(times, steps, None, frozenset(holes), _longest_ns(times))


def wrapped_step(previous: int, raw: int, wrap_raw: int) -> int:
    """Returns by how much a counter grew; negative where no single wrap explains a decrease."""
    step = raw - previous
    if step < 0 and wrap_raw and step + wrap_raw <= wrap_raw // 2:
        step += wrap_raw
    return step


def _longest_ns(times_ns: Sequence[int]) -> float:
    steps = [later - earlier for earlier, later in pairwise(times_ns)]
    return GAP_FACTOR * median(steps) if steps else 0.0
