"""When training stops and where it pauses: exact counts against the budget of a trial.

Pure; time and energy come in as numbers.
"""

from __future__ import annotations

import math
import random
from dataclasses import asdict, dataclass, field

from edgerig_workload.trial import TrainBudget

LIMITS = ("samples", "tokens", "steps", "duration_s", "energy_j")
PATIENCE = "patience"
_HELD_OUT_SHARE = 0.1


@dataclass
class Spent:
    """What training has used so far. Tokens are those that are not padding."""

    samples: int = 0
    tokens: int = 0
    steps: int = 0
    duration_s: float = 0.0
    energy_j: float = 0.0

    def plus(self, other: Spent) -> Spent:
        """Return the sum of both."""
        return Spent(**{name: value + getattr(other, name) for name, value in asdict(self).items()})


def stopped_by(budget: TrainBudget, spent: Spent) -> str:
    """Return the name of the first limit that is reached, '' while none is."""
    for name in LIMITS:
        limit = getattr(budget, name)
        if limit and getattr(spent, name) >= limit:
            return name
    return ""


def used_share(budget: TrainBudget, spent: Spent) -> float:
    """Return the largest share of a limit that is used; 0 where nothing is limited."""
    limits = ((getattr(budget, name), getattr(spent, name)) for name in LIMITS)
    return max((used / limit for limit, used in limits if limit), default=0.0)


def next_batch(budget: TrainBudget, spent: Spent, batch: int) -> int:
    """Return how many samples the next step takes: the last one is cut to meet a sample budget exactly."""
    return min(batch, budget.samples - spent.samples) if budget.samples else batch


def is_limited(budget: TrainBudget) -> bool:
    """Say whether training would ever stop."""
    return any(getattr(budget, name) for name in LIMITS)


def split(count: int, budget: TrainBudget, seed: int) -> tuple[list[int], list[int]]:
    """Part the places of samples into those to train on and those held out, each in order.

    Nothing is held out where the budget has no patience. Both parts have at least one
    place; `count` must be at least 2 then.
    """
    places = list(range(count))
    if not budget.patience_points:
        return places, []
    share = budget.held_out_share or _HELD_OUT_SHARE
    held_count = min(count - 1, max(1, round(count * share)))
    held = set(random.Random(f"held out {seed}").sample(places, held_count))
    return [place for place in places if place not in held], sorted(held)


@dataclass
class Patience:
    """Watches a loss that ought to fall; `best_index` is the point with the lowest, 0 before the first."""

    points: int
    best_index: int = 0
    best_loss: float = math.inf
    _waited: int = field(default=0, repr=False)

    def sees(self, index: int, loss: float) -> bool:
        """Take the loss of a point in and say whether it is the lowest so far; NaN never is."""
        if loss < self.best_loss:
            self.best_index, self.best_loss, self._waited = index, loss, 0
            return True
        self._waited += 1
        return False

    @property
    def is_over(self) -> bool:
        """Whether the loss has not fallen for as many points as were allowed."""
        return self._waited >= self.points
