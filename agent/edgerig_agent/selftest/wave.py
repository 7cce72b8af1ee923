"""A square wave of load: on in the first half of each period, off in the second; pure.

Periods begin at whole multiples of the period on CLOCK_MONOTONIC, so that anything
that knows the period can say which half an instant lies in.
"""

from __future__ import annotations

from dataclasses import dataclass

Window = tuple[int, int]


@dataclass(frozen=True)
class Wave:
    """When the load is on. All times are CLOCK_MONOTONIC nanoseconds."""

    load: str
    begin_ns: int
    period_ns: int
    cycle_count: int

    @property
    def end_ns(self) -> int:
        """The end of the last period."""
        return self.begin_ns + self.cycle_count * self.period_ns

    def on_windows(self) -> list[Window]:
        """Returns the first half of each period."""
        starts = range(self.begin_ns, self.end_ns, self.period_ns)
        return [(start, start + self.period_ns // 2) for start in starts]

    def off_windows(self) -> list[Window]:
        """Returns the second half of each period."""
        return [(end, end + self.period_ns // 2) for _, end in self.on_windows()]

    def sign(self, t_ns: int) -> int:
        """Returns 1 where the load is on, -1 where it is off, 0 outside the wave."""
        if not self.begin_ns <= t_ns < self.end_ns:
            return 0
        return 1 if (t_ns - self.begin_ns) % self.period_ns < self.period_ns // 2 else -1


def next_wave(load: str, not_before_ns: int, period_ns: int, cycle_count: int) -> Wave:
    """Returns the wave that begins at the first whole period from `not_before_ns` on."""
    return Wave(load, -(-not_before_ns // period_ns) * period_ns, period_ns, cycle_count)
