"""Which weights go: the lowest scores of a matrix, of each row, or of each few neighbours.

Scores come from elsewhere; a mask is True where a weight is to become zero. Counts
are exact, also among equal scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edgerig_workload.faults import WorkerFault
from edgerig_workload.trial import Choice

UNSTRUCTURED = "unstructured"
# What a pattern n:m is bound to, within what a number in a study file is exact to.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Pattern:
    """How much goes: a share of the weights, or `zeros` of each `neighbours` in a row (0 = no pattern)."""

    sparsity: float
    zeros: int = 0
    neighbours: int = 0


def pattern(choice: Choice) -> Pattern:
    """Read the parameters `pattern` and `sparsity`.

    Raises:
        WorkerFault: of class precondition, where they contradict each other.
    """
    word, sparsity = choice.text("pattern"), choice.number("sparsity")
    if word == UNSTRUCTURED:
        return Pattern(sparsity)
    zeros, neighbours = (int(part) for part in word.split(":"))
    if abs(sparsity - zeros / neighbours) > _TOLERANCE:
        raise WorkerFault(
            "precondition",
            f"pattern {word} makes {zeros / neighbours:g} of the weights zero, and sparsity says "
            f"{sparsity:g}; leave sparsity out or use pattern {UNSTRUCTURED}",
        )
    return Pattern(sparsity, zeros, neighbours)


def of_matrix(scores: torch.Tensor, sparsity: float) -> torch.Tensor:
    """Mark the lowest share of a whole matrix; a broken weight stays."""
    count = int(scores.numel() * sparsity)
    return _lowest(scores.reshape(1, -1), count).view_as(scores)


def of_rows(scores: torch.Tensor, sparsity: float) -> torch.Tensor:
    """Mark the lowest share of each row (rows, columns)."""
    return _lowest(scores, int(scores.shape[1] * sparsity))


def of_neighbours(scores: torch.Tensor, zeros: int, neighbours: int) -> torch.Tensor:
    """Mark the lowest `zeros` of each `neighbours` columns; columns left over at the end stay."""
    rows, columns = scores.shape
    whole = columns - columns % neighbours
    groups = scores[:, :whole].reshape(-1, neighbours)
    mask = torch.zeros_like(scores, dtype=torch.bool)
    mask[:, :whole] = _lowest(groups, zeros).view(rows, whole)
    return mask


def _lowest(scores: torch.Tensor, count: int) -> torch.Tensor:
    places = torch.topk(scores, count, dim=1, largest=False, sorted=False).indices
    mask = torch.zeros_like(scores, dtype=torch.bool)
    return mask.scatter_(1, places, True)
