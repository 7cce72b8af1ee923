"""How gradients change the trained parameters. Knows no model, no data and no budget.

Parameters in half precision are stepped on as float32 copies, and rounded from those:
their own steps are so far apart (1/256 of a number in bfloat16) that most updates would
change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

HALF = (torch.float16, torch.bfloat16)


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
        masters = _Masters(parameters)
        adam = torch.optim.AdamW(masters.values, lr=rate, weight_decay=weight_decay)
        self._descent = _Descent(adam, masters, rate, clip_norm, warmup_steps)

    def step(self, index: int) -> None:
        """Apply step `index`, counted from 0."""
        self._descent.step(index)


class Sgd:
    """Plain gradient descent under the same rules as AdamW; it keeps no moments."""

    def __init__(
        self,
        parameters: Sequence[Any],
        *,
        rate: float,
        weight_decay: float,
        clip_norm: float,
        warmup_steps: int,
    ) -> None:
        masters = _Masters(parameters)
        sgd = torch.optim.SGD(masters.values, lr=rate, weight_decay=weight_decay)
        self._descent = _Descent(sgd, masters, rate, clip_norm, warmup_steps)

    def step(self, index: int) -> None:
        """Apply step `index`, counted from 0."""
        self._descent.step(index)


class _Masters:
    """What an optimiser steps on: float32 copies of parameters in half precision, all others themselves."""

    def __init__(self, parameters: Sequence[Any]) -> None:
        self.values: list[Any] = []
        self._pairs: list[tuple[Any, torch.Tensor]] = []
        for weight in parameters:
            if weight.dtype in HALF:
                self._pairs.append((weight, weight.detach().float()))
                self.values.append(self._pairs[-1][1])
            else:
                self.values.append(weight)

    def take_gradients(self) -> None:
        """Move the gradients of the parameters to their copies, one by one, so that few stand twice."""
        for weight, master in self._pairs:
            master.grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None

    def give_values(self) -> None:
        """Round the copies into their parameters."""
        with torch.no_grad():
            for weight, master in self._pairs:
                weight.detach().copy_(master)


@dataclass(frozen=True)
class _Descent:
    """Clips, sets the rate of the step, applies it and clears the gradients."""

    applied: Any
    masters: _Masters
    rate: float
    clip_norm: float
    warmup_steps: int

    def step(self, index: int) -> None:
        self.masters.take_gradients()
        for group in self.applied.param_groups:
            if self.clip_norm:
                torch.nn.utils.clip_grad_norm_(group["params"], self.clip_norm)
            group["lr"] = self.rate * rise(index, self.warmup_steps)
        self.applied.step()
        self.masters.give_values()
        self.applied.zero_grad(set_to_none=True)


def rise(index: int, warmup_steps: int) -> float:
    """Return the share of the peak rate that step `index` uses, above 0 and at most 1."""
    return min(1.0, (index + 1) / (warmup_steps + 1))
