"""How gradients change the trained parameters. Knows no model, no data and no budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch


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
        adam = torch.optim.AdamW(list(parameters), lr=rate, weight_decay=weight_decay)
        self._descent = _Descent(adam, rate, clip_norm, warmup_steps)

    def step(self, index: int) -> None:
        """Apply step `index`, counted from 0."""
        self._descent.step(index)


class Sgd:
    """Plain gradient descent under the same rules as AdamW; it keeps no state of its own."""

    def __init__(
        self,
        parameters: Sequence[Any],
        *,
        rate: float,
        weight_decay: float,
        clip_norm: float,
        warmup_steps: int,
    ) -> None:
        sgd = torch.optim.SGD(list(parameters), lr=rate, weight_decay=weight_decay)
        self._descent = _Descent(sgd, rate, clip_norm, warmup_steps)

    def step(self, index: int) -> None:
        """Apply step `index`, counted from 0."""
        self._descent.step(index)


@dataclass(frozen=True)
class _Descent:
    """Clips, sets the rate of the step, applies it and clears the gradients."""

    applied: Any
    rate: float
    clip_norm: float
    warmup_steps: int

    def step(self, index: int) -> None:
        for group in self.applied.param_groups:
            if self.clip_norm:
                torch.nn.utils.clip_grad_norm_(group["params"], self.clip_norm)
            group["lr"] = self.rate * rise(index, self.warmup_steps)
        self.applied.step()
        self.applied.zero_grad(set_to_none=True)


def rise(index: int, warmup_steps: int) -> float:
    """Return the share of the peak rate that step `index` uses, above 0 and at most 1."""
    return min(1.0, (index + 1) / (warmup_steps + 1))
