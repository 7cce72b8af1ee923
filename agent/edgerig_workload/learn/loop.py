"""The training loop: batches in, steps out, with exact counts of steps, samples, tokens and seconds.

It can be left at a share of its budget and entered again. Steps are kept in memory while
they run and reported when training is over. The duration is that of the steps themselves,
so that set-up does not count.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edgerig_workload.faults import WorkerFault
from edgerig_workload.learn.budget import next_batch, stopped_by, used_share
from edgerig_workload.learn.estimators import Estimator
from edgerig_workload.learn.examples import Batch
from edgerig_workload.learn.optimisers import Optimiser
from edgerig_workload.learn.training import Training
from edgerig_workload.meter import Meter
from edgerig_workload.trial import TrainBudget


@dataclass(frozen=True)
class Loop:
    """The parts of a training. `make_batch` gets places of samples; `places` never ends.

    An estimator that puts the parameters back where a loss is not finite may go on with
    the next batch: at most `patience_steps` such steps in a row are passed over.
    """

    estimator: Estimator
    optimiser: Optimiser
    make_batch: Callable[[Sequence[int]], Batch]
    places: Iterator[int]
    batch: int
    budget: TrainBudget
    patience_steps: int = 0
    clock: Callable[[], int] = time.monotonic_ns
    meter: Meter | None = None

    def run(self, training: Training, share: float = 1.0) -> None:
        """Train until this share of the budget is used, adding to `training` as it goes.

        Where a limit is reached, `training.stopped_by` names it. Energy is counted from the
        beginning of the call, so that what happens between two calls costs nothing.

        Raises:
            WorkerFault: of class diverged, where a loss is not a finite number.
        """
        passed_over = 0
        base_j = training.spent.energy_j - (self.meter.energy_j() if self.meter else 0.0)
        while not (reason := stopped_by(self.budget, training.spent)):
            if share < 1.0 and used_share(self.budget, training.spent) >= share:
                return
            loss = self._step(training)
            if self.meter:
                training.spent.energy_j = base_j + self.meter.energy_j()
            passed_over = 0 if math.isfinite(loss) else passed_over + 1
            if passed_over > self.patience_steps:
                raise WorkerFault(
                    "diverged",
                    f"the loss of step {training.spent.steps - 1} is {loss}: "
                    "set a smaller `lr`, or dtype float32",
                )
        training.stopped_by = reason

    def _step(self, training: Training) -> float:
        """Takes one step and returns its loss; only one with a finite loss is listed."""
        spent = training.spent
        begin_mono_ns = self.clock()
        size = next_batch(self.budget, spent, self.batch)
        batch = self.make_batch([next(self.places) for _ in range(size)])
        # Reading the loss waits for the device, which makes the step's end a real one.
        loss = self.estimator.estimate(batch)
        if math.isfinite(loss):
            self.optimiser.step(spent.steps)
        end_mono_ns = self.clock()
        if math.isfinite(loss):
            training.steps.append(
                {
                    "index": spent.steps,
                    "begin_mono_ns": begin_mono_ns,
                    "end_mono_ns": end_mono_ns,
                    "tokens": batch.tokens,
                    "samples": batch.samples,
                    "loss": loss,
                }
            )
        spent.steps += 1
        spent.samples += batch.samples
        spent.tokens += batch.tokens
        spent.duration_s += (end_mono_ns - begin_mono_ns) / 1e9
        return loss
