"""Stop rules of training."""

from __future__ import annotations

import pytest

from edgerig_workload.learn.budget import Spent, is_limited, next_batch, stopped_by
from edgerig_workload.trial import TrainBudget


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (TrainBudget(samples=32), "samples"),
        (TrainBudget(tokens=500, steps=9), "tokens"),
        (TrainBudget(steps=2, duration_s=99.0), "steps"),
        (TrainBudget(duration_s=1.5), "duration_s"),
        (TrainBudget(samples=33, tokens=501, steps=3, duration_s=1.6), ""),
    ],
)
def test_first_limit_reached_is_named(budget: TrainBudget, reason: str) -> None:
    assert stopped_by(budget, Spent(samples=32, tokens=500, steps=2, duration_s=1.5)) == reason


def test_last_batch_is_cut_to_the_sample_budget() -> None:
    assert next_batch(TrainBudget(samples=40), Spent(samples=32), 16) == 8


def test_empty_budget_never_ends() -> None:
    assert not is_limited(TrainBudget())
