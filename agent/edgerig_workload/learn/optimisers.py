"""How gradients change the trained parameters. Knows no model, no data and no budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

# Rates of adapters fall with the width of the model. 2e-4 is common practice for
# models with a hidden size of 4096; the cap is where tiny models begin to diverge.
REFERENCE_RATE = 2e-4
REFERENCE_HIDDEN = 4096
LARGEST_RATE = 0.01


class Optimiser(Protocol):
    """Applies the gradients that lie on the parameters, and clears them."""

    def step(self, index: int) -> None: ...


class AdamW:
    """AdamW with clipped gradients and a rate that rises linearly and then stays."""

    def __init__(
        self,
        parameters: Sequence[Any],
        *,
        rate: float,
        weight_decay: float,
        clip_norm: float,
        warmup_steps: int,
    ) -> None:
        self._parameters = list(parameters)
        self._rate = rate
        self._clip_norm = clip_norm
        self._warmup_steps = warmup_steps
        self._adam = torch.optim.AdamW(self._parameters, lr=rate, weight_decay=weight_decay)

    def step(self, index: int) -> None:
        """Apply step `index`, counted from 0."""
        if self._clip_norm:
            torch.nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        for group in self._adam.param_groups:
            group["lr"] = self._rate * rise(index, self._warmup_steps)
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)


def rise(index: int, warmup_steps: int) -> float:
    """Return the share of the peak rate that step `index` uses, above 0 and at most 1."""
    return min(1.0, (index + 1) / (warmup_steps + 1))


def default_rate(hidden: int) -> float:
    """Return the peak rate for adapters in a model of this hidden size."""
    return min(LARGEST_RATE, REFERENCE_RATE * REFERENCE_HIDDEN / hidden)
