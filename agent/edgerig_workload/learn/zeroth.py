"""Zeroth-order learning: two losses a step instead of a gradient, in the memory of inference (MeZO).

Algorithm 1 of arXiv 2305.17333 with the signs of noise v1 as direction z. The estimator
moves the parameters along z and measures the slope g of the loss; the optimiser takes
the move back and applies the step in one pass over the parameters. Both work in place
and block by block. Knows a loss function and parameters, and no data or budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from edgerig_workload import noise
from edgerig_workload.learn.examples import Batch

Named = Sequence[tuple[str, Any]]


@dataclass(frozen=True)
class Slope:
    """The measured slope of the loss along the signs of `seed`."""

    seed: int
    value: float


@dataclass
class Displaced:
    """Parameters and where they stand: `offset` times the signs of `seed` away from their values.

    With `snapshot` the values are kept aside: in half precision a sum that is taken back
    leaves a rounding error behind, which grows with every step. A step in half precision
    is rounded by chance (`noise.change`): most steps are too small for the nearest number
    to be another one.
    """

    named: Named
    snapshot: bool
    offset: float = 0.0
    seed: int = 0
    _kept: list[torch.Tensor] = field(default_factory=list)

    def move(self, seed: int, offset: float) -> None:
        """Stand `offset` times the signs of `seed` away from the values; no other move may be open."""
        assert self.offset == 0.0 or seed == self.seed, "the last move was not taken back"
        if self.snapshot and not self._kept:
            self._kept = [weight.detach().clone() for _, weight in self.named]
        self._to(seed, offset - self.offset, offset)
        self.seed, self.offset = seed, offset

    def step(self, seed: int, change: float, shrink: float = 1.0) -> None:
        """Change the values by `change` times the signs of `seed`, taking the open move back as well.

        Matrices are multiplied by `shrink` before; biases and norms, which have one
        dimension, are not.
        """
        assert self.offset == 0.0 or seed == self.seed, "the last move was not taken back"
        for place, (name, weight) in enumerate(self.named):
            kept = shrink if weight.dim() > 1 else 1.0
            if self._kept:
                weight.detach().copy_(self._kept[place])
            # values * kept + change * z, written from values + offset * z.
            back = 0.0 if self._kept else -self.offset * kept
            noise.change(weight, name, seed, back + change, kept)
        self._kept = []
        self.offset = 0.0

    def _to(self, seed: int, delta: float, offset: float) -> None:
        for place, (name, weight) in enumerate(self.named):
            if self._kept:
                weight.detach().copy_(self._kept[place])
            scale = offset if self._kept else delta
            if scale:
                noise.add_scaled(weight, name, seed, scale)


@dataclass
class ZerothOrder:
    """Estimates slopes along random signs by central differences. The model must be in evaluation mode.

    `log` holds every slope that was found, from which the trained parameters can be made again.
    """

    loss_of: Callable[[Batch], float]
    displaced: Displaced
    seed: int
    epsilon: float
    directions: int = 1
    found: list[Slope] = field(default_factory=list)
    _drawn: int = 0

    def estimate(self, batch: Batch) -> float:
        """Measure the slopes of one batch and return the mean of the losses on both sides, in nats.

        The last direction stays displaced for the optimiser to take back. Where a loss is
        not finite the parameters are put back, no slope is left and NaN is returned.
        """
        self.found.clear()
        losses = []
        with torch.inference_mode():
            for number in range(self.directions):
                seed = noise.step_seed(self.seed, self._drawn)
                self._drawn += 1
                self.displaced.move(seed, self.epsilon)
                above = self.loss_of(batch)
                self.displaced.move(seed, -self.epsilon)
                below = self.loss_of(batch)
                if not math.isfinite(above + below):
                    self.displaced.step(seed, 0.0)
                    self.found.clear()
                    return math.nan
                if number < self.directions - 1:
                    self.displaced.step(seed, 0.0)
                self.found.append(Slope(seed, (above - below) / (2 * self.epsilon)))
                losses.append((above + below) / 2)
        return sum(losses) / len(losses)


@dataclass
class InPlaceSgd:
    """Plain gradient descent along the slopes that the estimator left; the rate is constant.

    With one direction the restoring move and the step are one pass (three noise passes a
    step in all), and the parameters are rounded once less.
    """

    estimator: ZerothOrder
    rate: float
    weight_decay: float = 0.0
    log: list[Slope] = field(default_factory=list)

    def step(self, index: int) -> None:
        """Apply step `index`: nothing, where the estimator found no slope."""
        del index
        slopes = self.estimator.found
        shrink = 1.0 - self.rate * self.weight_decay
        with torch.inference_mode():
            # The last direction is the one that may still be displaced, so it goes first.
            for slope in reversed(slopes):
                change = -self.rate * slope.value / len(slopes)
                self.estimator.displaced.step(slope.seed, change, shrink)
                shrink = 1.0
        self.log.extend(slopes)


def replay(named: Named, slopes: Sequence[Slope], rate: float) -> None:
    """Apply logged slopes of single directions to the initial parameters, without a model or data."""
    with torch.inference_mode():
        for slope in slopes:
            for name, weight in named:
                noise.change(weight, name, slope.seed, -rate * slope.value)
