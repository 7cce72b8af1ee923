"""How long idles, warm-up and measured blocks are: a named protocol's, or a trial's own in their place.

Pure rules over counts and seconds; knows neither clocks nor models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgerig_workload.heat import STILL_C_PER_MIN, WINDOW_S
from edgerig_workload.trial import ProtocolWord

# Warm-up is over when this many medians in a row lie within the share below.
SETTLED_COUNT = 3
SETTLED_SHARE = 0.02
# A sustained block ends at this many times its least length although it is still warming up.
SUSTAINED_MOST = 6


@dataclass(frozen=True)
class Rules:
    """Durations and counts of one protocol. `warmup_most` requests end the warm-up in any case."""

    idle_s: float
    warmup_least: int
    warmup_most: int
    block_least_s: float
    requests_least: int
    # Least length of a block that also awaits steady temperatures; 0 = it does not.
    sustained_s: float = 0.0
    # Temperatures stand still below this slope over this time.
    slope_c_per_min: float = STILL_C_PER_MIN
    window_s: float = WINDOW_S

    @property
    def asks_to_settle(self) -> bool:
        """Whether the warm-up is over only when its medians agree."""
        return self.warmup_most > self.warmup_least

    def warm(self, medians_s: Sequence[float]) -> bool:
        """Say whether the warm-up is over, given the median token gap of each request so far."""
        if len(medians_s) < self.warmup_least:
            return False
        return len(medians_s) >= self.warmup_most or settled(medians_s)

    def measured(self, request_count: int, elapsed_s: float, requested: int, cool: bool = True) -> bool:
        """Say whether the measured block is complete; `cool` says whether temperatures stand still."""
        if request_count < max(requested, self.requests_least) or elapsed_s < self.block_least_s:
            return False
        if not self.sustained_s:
            return True
        return elapsed_s >= self.sustained_s and (cool or elapsed_s >= SUSTAINED_MOST * self.sustained_s)


RULES: dict[ProtocolWord, Rules] = {
    "quick": Rules(1.0, 2, 2, 0.0, 20),
    "standard": Rules(30.0, SETTLED_COUNT, 20, 30.0, 20),
    "publishable": Rules(30.0, SETTLED_COUNT, 20, 60.0, 20),
}


def rules_of(protocol: ProtocolWord, overrides: Mapping[str, float]) -> Rules:
    """Return the rules of a protocol with a trial's own numbers in place of some of them."""
    rules = RULES[protocol]
    most = int(overrides.get("warmup_most", rules.warmup_most))
    return replace(
        rules,
        idle_s=overrides.get("idle_s", rules.idle_s),
        warmup_least=min(rules.warmup_least, most),
        warmup_most=most,
        block_least_s=overrides.get("block_s", rules.block_least_s),
        requests_least=int(overrides.get("block_requests", rules.requests_least)),
        sustained_s=overrides.get("sustained_s", rules.sustained_s),
        slope_c_per_min=overrides.get("sustained_slope_c_per_min", rules.slope_c_per_min),
        window_s=overrides.get("sustained_window_s", rules.window_s),
    )


def settled(medians_s: Sequence[float]) -> bool:
    """Say whether the last three medians lie within 2 % of the smallest of them."""
    last = medians_s[-SETTLED_COUNT:]
    return len(last) == SETTLED_COUNT and max(last) <= min(last) * (1 + SETTLED_SHARE)
