"""Grids of evenly spaced values: how a row of weights becomes whole numbers, a scale and a zero point.

value = (code - zero) * scale, with code in 0 .. 2**bits - 1. A symmetric grid has
its zero in the middle and leaves the lowest code unused; an asymmetric one spans
the smallest to the largest weight, zero included. Rounds to nearest and knows no
layers. Source: Jacob et al., arXiv 1712.05877, equation 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Grid:
    """The scale of each row (rows, 1), float32, and the code of zero, of the same shape."""

    scale: torch.Tensor
    zero: torch.Tensor
    bits: int

    def codes(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the nearest codes of weights (rows, columns), as float32 whole numbers."""
        return torch.clamp(torch.round(weights / self.scale) + self.zero, 0, 2**self.bits - 1)

    def values(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the weights that codes stand for."""
        return (codes - self.zero) * self.scale


def fit(weights: torch.Tensor, bits: int, *, symmetric: bool) -> Grid:
    """Fit a grid to each row of float32 weights (rows, columns), 2 to 8 bits.

    A row of zeros gets the scale 1, so that it stays zero.
    """
    if symmetric:
        middle = 2 ** (bits - 1)
        scale = weights.abs().amax(1, keepdim=True) / (middle - 1)
        return Grid(_not_zero(scale), torch.full_like(scale, middle), bits)
    low = weights.amin(1, keepdim=True).clamp(max=0)
    high = weights.amax(1, keepdim=True).clamp(min=0)
    scale = _not_zero((high - low) / (2**bits - 1))
    return Grid(scale, torch.round(-low / scale), bits)


def _not_zero(scale: torch.Tensor) -> torch.Tensor:
    return torch.where(scale > 0, scale, torch.ones_like(scale))
