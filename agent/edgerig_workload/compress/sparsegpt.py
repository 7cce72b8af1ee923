"""SparseGPT: prunes in one pass and updates the weights that stay, so that outputs change least.

The score of a weight is w^2 / u^2, where u is the diagonal of the factor of the
inverse curvature. Source: Frantar & Alistarh, arXiv 2301.00774. The zeros stand in
dense weights, as with magnitude pruning.
"""

from __future__ import annotations

import torch

from edgerig_workload.compress import Compressed, Material, calibration
from edgerig_workload.compress.footprint import finished
from edgerig_workload.compress.layers import Layer, linears
from edgerig_workload.compress.masks import Pattern, of_matrix, of_neighbours, pattern
from edgerig_workload.compress.obs import Hessian, curvature, sweep
from edgerig_workload.models import Loaded
from edgerig_workload.trial import Choice

KERNEL = "dense"


class Pruning:
    """Zeroes the lowest scores of each block of columns, or of each few neighbours."""

    def __init__(self, wanted: Pattern) -> None:
        self._wanted = wanted
        self._mask = torch.empty(0)
        self._diagonal = torch.empty(0)

    def block(self, current: torch.Tensor, diagonal: torch.Tensor) -> None:
        """Choose what goes in this block; with a pattern, that waits until its columns are reached."""
        self._diagonal = diagonal
        self._mask = torch.zeros_like(current, dtype=torch.bool)
        if not self._wanted.neighbours:
            self._mask = of_matrix((current / diagonal).square(), self._wanted.sparsity)

    def column(self, current: torch.Tensor, place: int) -> torch.Tensor:
        """Return the column with its chosen weights zeroed."""
        several = self._wanted.neighbours
        if several and place % several == 0:
            part = slice(place, place + several)
            scores = (current[:, part] / self._diagonal[part]).square()
            self._mask[:, part] = of_neighbours(scores, self._wanted.zeros, several)
        return current[:, place].masked_fill(self._mask[:, place], 0)


def transform(loaded: Loaded, choice: Choice, material: Material) -> Compressed:
    """Prune every linear layer in place, block after block.

    Raises:
        WorkerFault: no linear layers (bad_model), nothing or too little to calibrate on
            (bad_data), or parameters that contradict each other (precondition).
    """
    wanted, damping = pattern(choice), choice.number("damping")
    layers = linears(loaded.model)

    def change(layer: Layer, hessian: Hessian) -> None:
        weight = layer.module.weight
        curve = curvature(hessian.matrix(), damping, layer.name)
        with torch.no_grad():
            weight.copy_(sweep(weight.float(), curve, Pruning(wanted)))

    calibration.walk(loaded, layers, calibration.inputs(loaded, choice, material), Hessian, change)
    return finished(loaded, layers, KERNEL)
