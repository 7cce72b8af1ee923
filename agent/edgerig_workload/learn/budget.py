"""When training stops: exact counts against the budget of a trial. Pure; time comes in as a number."""

from __future__ import annotations

from dataclasses import dataclass

from edgerig_workload.trial import TrainBudget


@dataclass
class Spent:
    """What training has used so far. Tokens are those that are not padding."""

    samples: int = 0
    tokens: int = 0
    steps: int = 0
    duration_s: float = 0.0


def stopped_by(budget: TrainBudget, spent: Spent) -> str:
    """Return the name of the first limit that is reached, '' while none is."""
    for name in ("samples", "tokens", "steps", "duration_s"):
        limit = getattr(budget, name)
        if limit and getattr(spent, name) >= limit:
            return name
    return ""


def next_batch(budget: TrainBudget, spent: Spent, batch: int) -> int:
    """Return how many samples the next step takes: the last one is cut to meet a sample budget exactly."""
    return min(batch, budget.samples - spent.samples) if budget.samples else batch


def is_limited(budget: TrainBudget) -> bool:
    """Say whether training would ever stop."""
    return bool(budget.samples or budget.tokens or budget.steps or budget.duration_s)
