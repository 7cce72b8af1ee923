"""Ratios of two times that were taken in turn: geometric mean with a t interval."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field

from scipy.stats import t as student_t

_CONFIDENCE = 0.95


@dataclass
class Arm:
    """Log ratios of the quadruples of one comparison, each the mean of its two pairs."""

    logs: list[float] = field(default_factory=list)

    def interval(self) -> tuple[float, float, float]:
        """Returns the geometric mean ratio and its 95 % t interval."""
        mean = statistics.fmean(self.logs)
        error = statistics.stdev(self.logs) / math.sqrt(len(self.logs))
        reach = float(student_t.ppf(0.5 + _CONFIDENCE / 2, len(self.logs) - 1)) * error
        return math.exp(mean), math.exp(mean - reach), math.exp(mean + reach)

    def half_width(self) -> float:
        """Returns half the width of the interval."""
        _, low, high = self.interval()
        return (high - low) / 2
