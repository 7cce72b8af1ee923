"""How long idles, warm-up and measured blocks are under each named protocol.

Pure rules over counts and seconds; knows neither clocks nor models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgerig_workload.trial import ProtocolWord

# Warm-up is over when this many medians in a row lie within the share below.
SETTLED_COUNT = 3
SETTLED_SHARE = 0.02


@dataclass(frozen=True)
class Rules:
    """Durations and counts of one protocol. `warmup_most` requests end the warm-up in any case."""

    idle_s: float
    warmup_least: int
    warmup_most: int
    block_least_s: float
    requests_least: int

    def warm(self, medians_s: Sequence[float]) -> bool:
        """Say whether the warm-up is over, given the median token gap of each request so far."""
        if len(medians_s) < self.warmup_least:
            return False
        return len(medians_s) >= self.warmup_most or settled(medians_s)

    def measured(self, request_count: int, elapsed_s: float, requested: int) -> bool:
        """Say whether the measured block is complete."""
        return request_count >= max(requested, self.requests_least) and elapsed_s >= self.block_least_s


RULES: dict[ProtocolWord, Rules] = {
    "quick": Rules(1.0, 2, 2, 0.0, 20),
    "standard": Rules(30.0, SETTLED_COUNT, 20, 30.0, 20),
    "publishable": Rules(30.0, SETTLED_COUNT, 20, 60.0, 20),
}


def settled(medians_s: Sequence[float]) -> bool:
    """Say whether the last three medians lie within 2 % of the smallest of them."""
    last = medians_s[-SETTLED_COUNT:]
    return len(last) == SETTLED_COUNT and max(last) <= min(last) * (1 + SETTLED_SHARE)
