"""Puts an estimator and an optimiser together: what turns a batch into a change of the parameters.

The one place that does so, for every method that trains, for distillation and for
benchmarks. Knows a model, a trainable set and the parameters of a choice; no task,
no budget and no phases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from edgerig_workload.learn import losses
from edgerig_workload.learn.catalog import RETRIEVING
from edgerig_workload.learn.estimators import (
    Backpropagation,
    Estimator,
    ForwardGradient,
    checkpointing,
    eager_attention,
)
from edgerig_workload.learn.examples import Batch, Sample, collate, shuffled
from edgerig_workload.learn.loop import Loop
from edgerig_workload.learn.optimisers import HALF, AdamW, Optimiser, Sgd
from edgerig_workload.learn.parameters import TrainableSet
from edgerig_workload.learn.rates import default_epsilon, default_rate
from edgerig_workload.learn.zeroth import Displaced, InPlaceSgd, ZerothOrder
from edgerig_workload.meter import Meter
from edgerig_workload.models import Loaded
from edgerig_workload.trial import Choice, TrainBudget

# Steps without a finite loss that a zeroth-order training passes over in a row.
_PATIENCE_STEPS = 10


@dataclass(frozen=True)
class Engine:
    """What turns a batch into a change of the parameters, and how many steps may come to nothing."""

    estimator: Estimator
    optimiser: Optimiser
    patience_steps: int = 0


def assemble(loaded: Loaded, trained: TrainableSet, choice: Choice, seed: int) -> Engine:
    """Make the engine that a choice asks for.

    Args:
        loaded: the model that holds the trained parameters.
        trained: what learns.
        choice: a kind of the catalogue that trains, with all its parameters.
        seed: fixes the random directions of `mezo` and `forward`.
    """
    model, estimates = loaded.model, choice.text("gradient")
    kind = choice.kind.removeprefix(RETRIEVING)
    rate = choice.number("lr") or default_rate(kind, estimates, loaded.hidden)
    if estimates == "mezo":
        half = any(weight.dtype in HALF for weight in trained.parameters)
        estimator = ZerothOrder(
            partial(losses.answer_loss, model),
            Displaced(trained.named, snapshot=half),
            seed,
            choice.number("epsilon") or default_epsilon(kind),
            choice.integer("directions"),
        )
        return Engine(estimator, InPlaceSgd(estimator, rate, choice.number("weight_decay")), _PATIENCE_STEPS)
    exact = Backpropagation(model)
    random = ForwardGradient(model, trained.named, seed, choice.integer("directions"))
    return Engine(random if estimates == "forward" else exact, descent(trained, choice, rate))


def descent(trained: TrainableSet, choice: Choice, rate: float) -> Optimiser:
    """Make the optimiser that applies gradients, AdamW unless the choice says `optimiser: sgd`."""
    return (Sgd if choice.text("optimiser") == "sgd" else AdamW)(
        trained.parameters,
        rate=rate,
        weight_decay=choice.number("weight_decay"),
        clip_norm=choice.number("clip_norm"),
        warmup_steps=choice.integer("warmup_steps"),
    )


@contextmanager
def running(estimates: str, model: Any) -> Iterator[None]:
    """Set the model up for a way of estimating gradients, and leave it in evaluation mode."""
    # Zeroth-order and forward gradients compare losses, which dropout would make random.
    model.train(estimates in ("backprop", "checkpointed"))
    manners = {"checkpointed": checkpointing, "forward": eager_attention}
    with manners[estimates](model) if estimates in manners else nullcontext():
        yield
    model.eval()


def loop(
    loaded: Loaded,
    engine: Engine,
    samples: Sequence[Sample],
    *,
    batch: int,
    budget: TrainBudget,
    seed: int,
    meter: Meter | None = None,
) -> Loop:
    """Make the loop that goes through samples, each epoch in a new order fixed by the seed."""

    def make_batch(places: Sequence[int]) -> Batch:
        return collate(loaded, [samples[place] for place in places])

    return Loop(
        estimator=engine.estimator,
        optimiser=engine.optimiser,
        make_batch=make_batch,
        places=shuffled(len(samples), seed),
        batch=batch,
        budget=budget,
        patience_steps=engine.patience_steps,
        meter=meter,
    )
