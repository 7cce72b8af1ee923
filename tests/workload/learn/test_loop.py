"""The training loop: exact counts, divergence, and the order of estimator and optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest

from edgerig_workload.faults import WorkerFault

pytest.importorskip("torch")

from edgerig_workload.learn.examples import Batch, shuffled
from edgerig_workload.learn.loop import Loop
from edgerig_workload.learn.optimisers import rise
from edgerig_workload.learn.training import Training
from edgerig_workload.trial import TrainBudget


class Estimator:
    def __init__(self, losses: Sequence[float]) -> None:
        self._losses = iter(losses)

    def estimate(self, batch: Batch) -> float:
        return next(self._losses)


class Optimiser:
    def __init__(self) -> None:
        self.steps: list[int] = []

    def step(self, index: int) -> None:
        self.steps.append(index)


class Meter:
    """Ten joules a reading."""

    source, resolution_s = "meter", 0.1

    def __init__(self) -> None:
        self._readings = count(100, 10)

    def energy_j(self) -> float:
        return float(next(self._readings))


def prepared(
    losses: Sequence[float], budget: TrainBudget, patience_steps: int = 0, meter: Meter | None = None
) -> tuple[Loop, Optimiser]:
    optimiser, clock = Optimiser(), count(0, 10**9)
    loop = Loop(
        estimator=Estimator(losses),
        optimiser=optimiser,
        make_batch=lambda places: Batch({}, len(places), 7 * len(places)),
        places=shuffled(5, seed=1),
        batch=4,
        budget=budget,
        patience_steps=patience_steps,
        clock=lambda: next(clock),
        meter=meter,
    )
    return loop, optimiser


def trained(
    losses: Sequence[float], budget: TrainBudget, patience_steps: int = 0
) -> tuple[Training, Optimiser]:
    training = Training()
    loop, optimiser = prepared(losses, budget, patience_steps)
    loop.run(training)
    return training, optimiser


def test_samples_and_tokens_are_counted_exactly() -> None:
    training, _ = trained([1.0] * 9, TrainBudget(samples=10))

    assert (training.spent.samples, training.spent.tokens, training.spent.steps) == (10, 70, 3)
    assert [step["samples"] for step in training.steps] == [4, 4, 2]


def test_duration_is_that_of_the_steps() -> None:
    training, _ = trained([1.0] * 9, TrainBudget(duration_s=3.0))

    assert (training.spent.steps, training.stopped_by) == (3, "duration_s")


def test_loop_pauses_at_a_share_of_the_budget_and_goes_on_where_it_was() -> None:
    training = Training()
    loop, optimiser = prepared([1.0] * 9, TrainBudget(steps=8))

    loop.run(training, 0.25)
    paused = (training.spent.steps, training.stopped_by)
    loop.run(training)

    assert paused == (2, "")
    assert (training.spent.steps, training.stopped_by) == (8, "steps")
    assert optimiser.steps == list(range(8))


def test_a_pause_that_is_over_already_takes_no_step() -> None:
    training = Training()
    loop, _ = prepared([1.0] * 9, TrainBudget(steps=4))

    loop.run(training, 0.5)
    loop.run(training, 0.5)

    assert training.spent.steps == 2


def test_energy_ends_training_and_a_pause_costs_none() -> None:
    """The meter is read at each beginning and after each step: the 10 J between two calls do not count."""
    training = Training()
    loop, _ = prepared([1.0] * 9, TrainBudget(energy_j=35.0), meter=Meter())

    loop.run(training, 0.5)
    paused_j = training.spent.energy_j
    loop.run(training)

    assert paused_j == 20.0
    assert (training.spent.steps, training.spent.energy_j, training.stopped_by) == (4, 40.0, "energy_j")


def test_every_step_is_applied_in_order() -> None:
    _, optimiser = trained([1.0] * 9, TrainBudget(steps=3))

    assert optimiser.steps == [0, 1, 2]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_loss_that_is_no_number_ends_as_diverged(loss: float) -> None:
    with pytest.raises(WorkerFault) as caught:
        trained([1.0, loss], TrainBudget(steps=3))

    assert caught.value.failure_class == "diverged"
    assert "set a smaller `lr`" in caught.value.message


def test_step_without_a_loss_may_be_passed_over_and_still_counts() -> None:
    nan = float("nan")

    training, optimiser = trained([1.0, nan, nan, 0.5], TrainBudget(steps=4), patience_steps=2)

    assert (optimiser.steps, [step["index"] for step in training.steps]) == ([0, 3], [0, 3])
    assert (training.spent.steps, training.spent.samples) == (4, 16)


def test_patience_ends_with_too_many_such_steps_in_a_row() -> None:
    nan = float("nan")

    with pytest.raises(WorkerFault, match="step 3"):
        trained([nan, 1.0, nan, nan, nan], TrainBudget(steps=9), patience_steps=1)


def test_epochs_hold_every_sample_in_an_order_fixed_by_the_seed() -> None:
    first, again, other = (
        [next(places) for _ in range(10)] for places in (shuffled(5, 1), shuffled(5, 1), shuffled(5, 2))
    )

    assert sorted(first[:5]) == sorted(first[5:]) == [0, 1, 2, 3, 4]
    assert first == again != other


def test_rate_rises_and_stays() -> None:
    assert [rise(index, 3) for index in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
