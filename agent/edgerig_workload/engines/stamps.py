"""When one request was accepted, reached the model and gave each token."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass
class Stamps:
    """Monotonic nanoseconds of one request.

    `tokens_in` counts what went in where the engine decides that, `told` what came out by the
    engine's own account; `is_short` says that the answer ended before the length that was asked for.
    """

    accept_mono_ns: int
    model_mono_ns: int = 0
    token_mono_ns: list[int] = field(default_factory=list)
    tokens_in: int | None = None
    told: int | None = None
    is_short: bool = False

    def gap_median_s(self) -> float:
        """Return the median gap between tokens, or the whole time where there is one token."""
        times = self.token_mono_ns
        if len(times) < 2:
            return (times[-1] - self.accept_mono_ns) / 1e9
        return statistics.median(after - before for before, after in pairwise(times)) / 1e9
