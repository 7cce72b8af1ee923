"""Wanda: prunes the weights that matter least to the sums they are part of; no weight is updated.

The score of a weight is its magnitude times the norm of its input over the
calibration, compared within each output row. Source: Sun et al., arXiv 2306.11695,
equation 1. The zeros stand in dense weights, as with magnitude pruning.
"""

from __future__ import annotations

import torch

from edgerig_workload.compress import Compressed, Material, calibration
from edgerig_workload.compress.footprint import finished
from edgerig_workload.compress.layers import Layer, linears
from edgerig_workload.compress.masks import Pattern, of_neighbours, of_rows, pattern
from edgerig_workload.models import Loaded
from edgerig_workload.trial import Choice

KERNEL = "dense"


class Norms:
    """The sum of squares of every input column, as float32."""

    def __init__(self, columns: int, device: torch.device) -> None:
        self._squares = torch.zeros(columns, device=device)

    def add(self, inputs: torch.Tensor) -> None:
        """Take inputs of shape (tokens, columns) in."""
        self._squares += inputs.float().square().sum(0)

    def values(self) -> torch.Tensor:
        """Return the Euclidean norm of each column over all tokens."""
        return self._squares.sqrt()


def transform(loaded: Loaded, choice: Choice, material: Material) -> Compressed:
    """Prune every linear layer in place, block after block.

    Raises:
        WorkerFault: no linear layers (bad_model), nothing to calibrate on (bad_data),
            or parameters that contradict each other (precondition).
    """
    wanted = pattern(choice)
    layers = linears(loaded.model)

    def change(layer: Layer, norms: Norms) -> None:
        prune(layer.module.weight, norms.values(), wanted)

    calibration.walk(loaded, layers, calibration.inputs(loaded, choice, material), Norms, change)
    return finished(loaded, layers, KERNEL)


def prune(weight: torch.Tensor, norms: torch.Tensor, wanted: Pattern) -> None:
    """Zero weights (rows, columns) in place by their scores; `norms` has one value a column."""
    with torch.no_grad():
        scores = weight.abs().float() * norms
        if wanted.neighbours:
            mask = of_neighbours(scores, wanted.zeros, wanted.neighbours)
        else:
            mask = of_rows(scores, wanted.sparsity)
        weight.masked_fill_(mask, 0)
