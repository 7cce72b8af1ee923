"""When the sampler reads, and how late it was; pure.

Standard library only: part of the sampler.
"""

from __future__ import annotations

# Lateness is counted in steps of 0.1 ms up to 100 ms; the last step takes the rest.
_LATE_STEP_NS = 100_000
_LATE_STEPS = 1_001
_MASK = 2**64 - 1
# Intervals that are planned together; after them the sampler writes what it read, counts
# lateness and looks for its parent.
_PLANNED = 16
# What an interval counts in a walk through several of them.
_PARTS = 1 << 20


class Lateness:
    """Distribution of how late ticks began, in constant memory; knows no clock.

    `tick_count` are all planned instants, `missed_count` those in whose interval nothing was read.
    """

    def __init__(self) -> None:
        self._counts = [0] * _LATE_STEPS
        self.tick_count = 0
        self.missed_count = 0
        self.max_ns = 0

    def add(self, late_ns: list[int]) -> None:
        """Counts ticks by how long after its planned instant each began."""
        counts = self._counts
        for late in late_ns:
            counts[min(max(late, 0) // _LATE_STEP_NS, _LATE_STEPS - 1)] += 1
        self.tick_count += len(late_ns)
        self.max_ns = max(self.max_ns, *late_ns)

    def percentile_ns(self, share: float) -> int:
        """Returns the upper end of the step that holds this share of the ticks, 0 without ticks."""
        rest = share * self.tick_count
        for step, count in enumerate(self._counts):
            rest -= count
            if count and rest <= 0:
                return (step + 1) * _LATE_STEP_NS
        return 0


class Walk:
    """A random place in [0, span), uniform in the long run, so that no rhythm is favoured.

    It moves by at most half the span from one to the next, reflected at the ends. Two samples
    at such places of neighbouring intervals are 0.5 to 1.5 intervals apart and never almost 0 or 2,
    which makes the error of waves below half the rate a tenth smaller than independent places do.
    """

    def __init__(self, span: int, seed: int) -> None:
        self._span = span
        self._state = seed & _MASK
        self._place = self._random_word() * span >> 64

    def next(self) -> int:
        """Returns the next place."""
        place = abs(self._place + (self._random_word() * self._span >> 64) - self._span // 2)
        if place >= self._span:
            place = 2 * self._span - 1 - place
        self._place = place
        return place

    def _random_word(self) -> int:
        """SplitMix64: the same places on every Python, and 0.4 MB less than `random`."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        word = self._state
        word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        word = (word ^ word >> 27) * 0x94D049BB133111EB & _MASK
        return word ^ word >> 31


class Schedule:
    """Plans one random instant in each interval; pure but for its own random numbers."""

    def __init__(self, began_ns: int, interval_ns: int, seed: int) -> None:
        self._began_ns = began_ns
        self._interval_ns = interval_ns
        self.seed = seed
        self._walk = Walk(interval_ns, seed)
        # Instants of the intervals from `_first` on: they cost more to plan than to keep.
        self._plan: list[int] = []
        self._first = 0
        self.index = -1

    def next_ns(self, now_ns: int) -> int:
        """Returns the instant of the next interval that is not over yet."""
        current = (now_ns - self._began_ns) // self._interval_ns
        self.index = max(self.index + 1, current)
        while self.index - self._first >= len(self._plan):
            self.block()
        return self._plan[self.index - self._first]

    def block(self) -> tuple[int, list[int]]:
        """Plans the next intervals; returns the index of the first of them and their instants."""
        self._first += len(self._plan)
        self._plan = [self._instant(self._first + place) for place in range(_PLANNED)]
        return self._first, self._plan

    def is_over(self, index: int, now_ns: int) -> bool:
        """Tells whether the interval with this index has passed."""
        return now_ns >= self._began_ns + (index + 1) * self._interval_ns

    def _instant(self, index: int) -> int:
        return self._began_ns + index * self._interval_ns + self._walk.next()


class Turns:
    """What is done once in so many intervals: in which of them, a random one; pure as `Schedule` is.

    Always in the first, samples would lie in a small part of the time and follow a rhythm of
    their own: a ripple of 25 Hz that was read every 40 ms was off by 17 %.
    """

    def __init__(self, every: int, seed: int) -> None:
        self._every = every
        # Another walk than that of the schedule, and of turns that are taken more often.
        self._walk = Walk(every * _PARTS, seed + every)
        # The interval of the next turn.
        self.due = self._walk.next() // _PARTS

    def take(self, index: int) -> int:
        """Notes that the turn was taken in this interval; returns its number."""
        number = index // self._every
        self.due = (number + 1) * self._every + self._walk.next() // _PARTS
        return number
