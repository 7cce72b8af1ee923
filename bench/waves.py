"""Waveforms of power whose energy is known in closed form.

Each is a train of levels: a list of (duration, watts) that repeats. Edges are
instantaneous, which is harder on an integrator than any real load.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate


@dataclass(frozen=True)
class Wave:
    """A periodic train of levels. `edge_s` is an instant that every window must hold, None = anywhere."""

    name: str
    levels: Sequence[tuple[float, float]]
    edge_s: float | None = None
    _ends_s: list[float] = field(init=False, repr=False)
    _ends_j: list[float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ends_s", list(accumulate(d for d, _ in self.levels)))
        object.__setattr__(self, "_ends_j", list(accumulate(d * w for d, w in self.levels)))

    @property
    def period_s(self) -> float:
        return self._ends_s[-1]

    def power_w(self, t_s: float) -> float:
        """Returns the power at an instant."""
        return self.levels[self._level(t_s % self.period_s)][1]

    def energy_j(self, t_s: float) -> float:
        """Returns the energy from 0 to an instant."""
        cycles, rest_s = divmod(t_s, self.period_s)
        index = self._level(rest_s)
        begin_s = self._ends_s[index - 1] if index else 0.0
        begin_j = self._ends_j[index - 1] if index else 0.0
        return cycles * self._ends_j[-1] + begin_j + (rest_s - begin_s) * self.levels[index][1]

    def begin_s(self, window_s: float, chance: random.Random) -> float:
        """Draws where a window begins: any phase of the wave, or so that it holds the edge."""
        if self.edge_s is None:
            return self.period_s * (1.0 + chance.random())
        return self.period_s + self.edge_s - window_s * chance.random()

    def next_edge_s(self, t_s: float) -> float:
        """Returns the first change of the level after an instant."""
        cycles, rest_s = divmod(t_s, self.period_s)
        return cycles * self.period_s + self._ends_s[self._level(rest_s)]

    def _level(self, rest_s: float) -> int:
        return min(bisect_right(self._ends_s, rest_s), len(self.levels) - 1)


CONSTANT = Wave("constant", [(1.0, 12.0)])
SQUARE_1_HZ = Wave("square_1hz", [(0.5, 5.0), (0.5, 25.0)])
SQUARE_5_HZ = Wave("square_5hz", [(0.1, 5.0), (0.1, 25.0)])
# Two requests: prefill, decode, idle.
BURST = Wave("burst", [(0.31, 30.0), (1.63, 18.0), (0.57, 6.0), (0.12, 30.0), (0.9, 18.0), (0.4, 6.0)])
# 25 tokens a second, a quarter of the sampling rate; a token computes for 32 of its 40 ms.
RIPPLE = Wave("ripple_25hz", [(0.032, 23.0), (0.008, 15.0)])
# The same edges on a lower mean, so a larger share of it: reported, and no goal.
LOW_RIPPLE = Wave("ripple_25hz_low", [(0.012, 23.0), (0.028, 15.0)])
STEP = Wave("step", [(100.0, 10.0), (100.0, 30.0)], edge_s=100.0)

WAVES = (CONSTANT, SQUARE_1_HZ, SQUARE_5_HZ, BURST, RIPPLE, STEP)
