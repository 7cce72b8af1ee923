"""The column loop of SparseGPT and GPTQ: change a column, and let later columns make up for it.

Optimal brain surgeon on a linear layer, with the columns in one order for all rows:
the error of a column is spread over the columns to its right by the inverse of
H = 2 X^T X / n, which leaves the layer's outputs as near as they can be. What a
column becomes is decided by a `Rule`. Sources: Frantar et al., arXiv 2210.17323
(algorithm 1), and Frantar & Alistarh, arXiv 2301.00774 (algorithm 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from edgerig_workload.faults import WorkerFault

# Columns whose errors are gathered before they reach the rest of the matrix.
BLOCK_COLUMNS = 128


class Hessian:
    """H = 2 X^T X / n of the inputs of a layer, as float32 (columns, columns)."""

    def __init__(self, columns: int, device: torch.device) -> None:
        self._sum = torch.zeros(columns, columns, device=device)
        self._tokens = 0

    def add(self, inputs: torch.Tensor) -> None:
        """Take inputs of shape (tokens, columns) in."""
        rows = inputs.float()
        self._sum.addmm_(rows.T, rows)
        self._tokens += len(rows)

    def matrix(self) -> torch.Tensor:
        """Return the mean over the tokens seen; zeros where none were."""
        return self._sum * (2 / max(self._tokens, 1))


@dataclass(frozen=True)
class Curvature:
    """Upper Cholesky factor of the damped inverse of H, and the columns whose input was always zero."""

    factor: torch.Tensor
    dead: torch.Tensor


def curvature(hessian: torch.Tensor, damping: float, name: str) -> Curvature:
    """Invert and factor H after adding `damping` times the mean of its diagonal to the diagonal.

    Raises:
        WorkerFault: of class bad_data, where H is not positive definite even so.
    """
    damped = hessian.clone()
    diagonal = damped.diagonal()
    dead = diagonal == 0
    diagonal[dead] = 1
    diagonal += damping * diagonal.mean()
    try:
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
        return Curvature(torch.linalg.cholesky(inverse, upper=True), dead)
    except torch.linalg.LinAlgError as error:
        raise WorkerFault(
            "bad_data",
            f"the calibration inputs of layer {name} depend on each other too much to be inverted; "
            f"use more samples or a damping above {damping:g}",
        ) from error


class Rule(Protocol):
    """Decides what columns become."""

    def block(self, current: torch.Tensor, diagonal: torch.Tensor) -> None:
        """Hear of a block (rows, columns) before its first column, with the factor's diagonal."""
        ...

    def column(self, current: torch.Tensor, place: int) -> torch.Tensor:
        """Return the new values (rows,) of a column of the block, as its neighbours stand by now."""
        ...


def sweep(
    weights: torch.Tensor, curve: Curvature, rule: Rule, block_columns: int = BLOCK_COLUMNS
) -> torch.Tensor:
    """Change all columns of float32 weights (rows, columns) from left to right; returns new weights."""
    weights = weights.masked_fill(curve.dead, 0)
    columns = weights.shape[1]
    for begin in range(0, columns, block_columns):
        end = min(begin + block_columns, columns)
        factor = curve.factor[begin:end, begin:end]
        current = weights[:, begin:end].clone()
        errors = torch.zeros_like(current)
        rule.block(current, factor.diagonal())
        for place in range(end - begin):
            new = rule.column(current, place)
            errors[:, place] = (current[:, place] - new) / factor[place, place]
            current[:, place:] -= torch.outer(errors[:, place], factor[place, place:])
            weights[:, begin + place] = new
        weights[:, end:] -= errors @ curve.factor[begin:end, end:]
    return weights
