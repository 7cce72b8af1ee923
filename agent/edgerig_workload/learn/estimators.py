"""How the gradient of a batch is found. Knows a model and a batch, and no optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from edgerig_workload.learn.examples import Batch


class Estimator(Protocol):
    """Leaves a gradient on every trained parameter and returns the loss of the batch."""

    def estimate(self, batch: Batch) -> float: ...


@dataclass(frozen=True)
class Backpropagation:
    """Exact gradients by reverse-mode differentiation; activations are kept for the backward pass."""

    model: Any

    def estimate(self, batch: Batch) -> float:
        """Run forward and backward; the loss is the mean over the answer tokens, in nats."""
        loss = self.model(**batch.inputs, use_cache=False).loss
        loss.backward()
        return float(loss.item())
