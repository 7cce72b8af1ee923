"""Stop rules of training."""

from __future__ import annotations

import pytest

from edgerig_workload.learn.budget import (
    Patience,
    Spent,
    is_limited,
    next_batch,
    split,
    stopped_by,
    used_share,
)
from edgerig_workload.trial import TrainBudget


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (TrainBudget(samples=32), "samples"),
        (TrainBudget(tokens=500, steps=9), "tokens"),
        (TrainBudget(steps=2, duration_s=99.0), "steps"),
        (TrainBudget(duration_s=1.5), "duration_s"),
        (TrainBudget(energy_j=7.0), "energy_j"),
        (TrainBudget(samples=33, tokens=501, steps=3, duration_s=1.6, energy_j=7.1), ""),
    ],
)
def test_first_limit_reached_is_named(budget: TrainBudget, reason: str) -> None:
    spent = Spent(samples=32, tokens=500, steps=2, duration_s=1.5, energy_j=7.0)

    assert stopped_by(budget, spent) == reason


def test_last_batch_is_cut_to_the_sample_budget() -> None:
    assert next_batch(TrainBudget(samples=40), Spent(samples=32), 16) == 8


def test_empty_budget_never_ends() -> None:
    assert not is_limited(TrainBudget())


def test_the_largest_share_of_a_limit_counts() -> None:
    budget = TrainBudget(samples=100, duration_s=4.0, energy_j=10.0)

    assert used_share(budget, Spent(samples=30, duration_s=1.0, energy_j=5.0, steps=99)) == 0.5
    assert used_share(TrainBudget(), Spent(steps=99)) == 0.0


def test_nothing_is_held_out_without_patience() -> None:
    assert split(5, TrainBudget(steps=3), seed=1) == ([0, 1, 2, 3, 4], [])


@pytest.mark.parametrize(
    ("count", "share", "held_count"), [(40, 0.0, 4), (40, 0.25, 10), (3, 0.1, 1), (2, 0.5, 1)]
)
def test_held_out_places_are_a_fixed_share_and_never_trained(
    count: int, share: float, held_count: int
) -> None:
    budget = TrainBudget(points=(0.5,), patience_points=1, held_out_share=share)

    learnt, held = split(count, budget, seed=1)

    assert len(held) == held_count
    assert sorted(learnt + held) == list(range(count))
    assert (learnt, held) == split(count, budget, seed=1)


def test_patience_ends_after_points_without_a_lower_loss_and_knows_the_best() -> None:
    patience, found = Patience(2), []

    for index, loss in enumerate([3.0, 2.0, 2.0, 2.5], start=1):
        found.append((patience.sees(index, loss), patience.is_over))

    assert found == [(True, False), (True, False), (False, False), (False, True)]
    assert (patience.best_index, patience.best_loss) == (2, 2.0)


def test_a_lower_loss_starts_the_wait_anew_and_nan_never_is_one() -> None:
    patience = Patience(2)

    for index, loss in enumerate([3.0, 4.0, 1.0, float("nan")], start=1):
        patience.sees(index, loss)

    assert (patience.best_index, patience.is_over) == (3, False)
