"""What came of a training, kept in memory while it runs. Knows no tensors."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from typing import Any

from edgerig_workload.events import Events
from edgerig_workload.learn.budget import Spent


@dataclass
class Training:
    """What came of a training: its steps as events, what it used and why it ended."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)
    stopped_by: str = ""
    # The point whose parameters are the result; 0 = those of the end.
    kept_point: int = 0

    def add(self, other: Training) -> None:
        """Add the training of a further set of parameters; its steps are numbered on."""
        self.steps += [{**step, "index": self.spent.steps + step["index"]} for step in other.steps]
        self.spent = self.spent.plus(other.spent)
        self.stopped_by = other.stopped_by

    def report(self, events: Events) -> None:
        """Emit the steps."""
        for step in self.steps:
            events.emit("train_step", step)

    def facts(self) -> dict[str, Any]:
        """Return the counts as fields of the worker's facts."""
        return {
            "train_sample_count": self.spent.samples,
            "train_token_count": self.spent.tokens,
            "train_duration_s": self.spent.duration_s,
            "train_stopped_by": self.stopped_by,
            "train_kept_point": self.kept_point,
            "loss_trajectory_sha256": self._trajectory(),
        }

    def _trajectory(self) -> str:
        losses = [step["loss"] for step in self.steps]
        return hashlib.sha256(struct.pack(f"<{len(losses)}d", *losses)).hexdigest() if losses else ""
