"""What happens where training pauses: evaluation at the points of a budget, early stop, the best point.

Items are scored at every point and the scores are only reported; training is ended
early, and a point chosen, by the loss on pairs that were held out of it. Knows nothing
of gradients and steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from edgerig_workload import evaluate
from edgerig_workload.learn.budget import PATIENCE, Patience, used_share
from edgerig_workload.learn.context import Context, Worder
from edgerig_workload.learn.examples import Batch
from edgerig_workload.learn.losses import mean_answer_loss
from edgerig_workload.learn.parameters import TrainableSet
from edgerig_workload.learn.training import Training

# In a folder of its own, since what lies beside the adapter is part of the artifact.
FOLDER = "best"
FILE = "parameters.safetensors"


@dataclass
class Curve:
    """Evaluates a training at its points. The model must be in evaluation mode whenever it is called."""

    context: Context
    training: Training
    trained: TrainableSet
    word: Worder
    held_out: Sequence[Batch]
    _last_index: int = 0
    _patience: Patience | None = field(init=False)

    def __post_init__(self) -> None:
        points = self.context.trial.train.patience_points
        self._patience = Patience(points) if points else None

    def pause(self, index: int) -> None:
        """Evaluate point `index`, report it, and end the training where patience is over.

        The end of the budget is a point too; its items are scored by the evaluation that
        follows training, so here they are not.
        """
        context, training = self.context, self.training
        is_end = bool(training.stopped_by)
        self._last_index = index
        point = self._counts(index)
        scored: evaluate.Scored | None = None
        if context.trial.train.points and (self._patience is not None or not is_end):
            with context.marks.phase("point"):
                point |= self._held_out_loss(index)
                if not is_end:
                    scored = evaluate.score(context, self.word)
        if scored is not None:
            evaluate.report(context.events, scored, index)
            point |= {"score": scored.mean, "item_count": len(scored.items)}
        context.events.emit("point", point)
        if not is_end and self._patience is not None and self._patience.is_over:
            training.stopped_by = PATIENCE

    def settle(self) -> None:
        """Put the parameters of the best point back, where that is not the last one."""
        if self._patience is None:
            return
        best = self._patience.best_index
        file = self._file()
        if best and best != self._last_index:
            kept = load_file(file)
            with torch.no_grad():
                for name, weight in self.trained.named:
                    weight.detach().copy_(kept[name])
            self.training.kept_point = best
        file.unlink(missing_ok=True)
        if file.parent.is_dir():
            file.parent.rmdir()

    def _counts(self, index: int) -> dict[str, Any]:
        spent, steps = self.training.spent, self.training.steps
        return {
            "index": index,
            "budget_share": used_share(self.context.trial.train, spent),
            "steps": spent.steps,
            "samples": spent.samples,
            "tokens": spent.tokens,
            "duration_s": spent.duration_s,
            "t_mono_ns": steps[-1]["end_mono_ns"] if steps else 0,
        }

    def _held_out_loss(self, index: int) -> dict[str, float]:
        if self._patience is None:
            return {}
        loss = mean_answer_loss(self.context.loaded.model, self.held_out)
        if self._patience.sees(index, loss):
            # On the disk and not in memory, whose peak is a figure of the method.
            self._file().parent.mkdir(parents=True, exist_ok=True)
            weights = {name: weight.detach().contiguous().cpu() for name, weight in self.trained.named}
            save_file(weights, self._file())
        return {"held_out_loss": loss} if math.isfinite(loss) else {}

    def _file(self) -> Path:
        return self.context.out / FOLDER / FILE
