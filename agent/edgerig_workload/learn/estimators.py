"""How the gradient of a batch is found. Knows a model and a batch, and no optimiser."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from edgerig_workload import noise
from edgerig_workload.learn import losses
from edgerig_workload.learn.examples import Batch


class Estimator(Protocol):
    """Leaves what the optimiser applies and returns the loss of the batch; NaN where there is none."""

    def estimate(self, batch: Batch) -> float: ...


@dataclass(frozen=True)
class Backpropagation:
    """Exact gradients by reverse-mode differentiation; activations are kept for the backward pass."""

    model: Any

    def estimate(self, batch: Batch) -> float:
        """Run forward and backward; the loss is the mean over the answer tokens, in nats."""
        return float(losses.backward(self.model, batch))


@dataclass
class ForwardGradient:
    """Unbiased gradients without a backward pass: the exact slope along a random direction, times it.

    Forward-mode differentiation (arXiv 2202.08587) carries the slope along with each
    activation, which is let go after its layer. Directions are the signs of noise v1: of
    all directions whose mean outer product is the identity they vary least in length.
    """

    model: Any
    named: Sequence[tuple[str, Any]]
    seed: int
    directions: int = 1
    _drawn: int = 0

    def estimate(self, batch: Batch) -> float:
        """Leave the mean of slope times direction on the parameters and return the loss, in nats."""
        loss = math.nan
        for _ in range(self.directions):
            seed = noise.step_seed(self.seed, self._drawn)
            self._drawn += 1
            direction = {name: _signs(name, seed, weight) for name, weight in self.named}
            loss, slope = self._slope(batch, direction)
            for name, weight in self.named:
                share = direction[name].mul_(slope / self.directions)
                weight.grad = share if weight.grad is None else weight.grad.add_(share)
        return loss

    def _slope(self, batch: Batch, direction: dict[str, Any]) -> tuple[float, float]:
        def loss_of(weights: dict[str, Any]) -> torch.Tensor:
            inputs = {**batch.inputs, "use_cache": False}
            loss: torch.Tensor = torch.func.functional_call(self.model, weights, (), inputs).loss
            return loss

        # Without this the graph for a backward pass would be kept as well.
        with torch.no_grad():
            values = {name: weight.detach() for name, weight in self.named}
            loss, slope = torch.func.jvp(loss_of, (values,), (direction,))
        return float(loss), float(slope)


@contextmanager
def checkpointing(model: Any) -> Iterator[None]:
    """Keep only the activations between layers and compute the others twice (arXiv 1604.06174)."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    # Under frozen embeddings nothing else would ask the first layer for a gradient.
    model.enable_input_require_grads()
    try:
        yield
    finally:
        model.disable_input_require_grads()
        model.gradient_checkpointing_disable()


@contextmanager
def eager_attention(model: Any) -> Iterator[None]:
    """Compute attention step by step: the fused kernels know no forward-mode differentiation."""
    usual = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(usual)


def _signs(name: str, seed: int, like: torch.Tensor) -> torch.Tensor:
    direction = torch.zeros(like.shape, dtype=like.dtype, device=like.device)
    noise.add_scaled(direction, name, seed, 1.0)
    return direction
