"""Magnitude pruning: the smallest weights become zero, of each row, each layer or all layers together.

Needs no data. The zeros stand in the dense weights: they save neither memory nor
time, and what they cost in quality is what there is to measure.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgerig_workload.compress import Compressed, Material
from edgerig_workload.compress.footprint import finished
from edgerig_workload.compress.layers import Layer, linears
from edgerig_workload.compress.masks import Pattern, of_matrix, of_neighbours, of_rows, pattern
from edgerig_workload.faults import WorkerFault
from edgerig_workload.models import Loaded
from edgerig_workload.trial import Choice

KERNEL = "dense"
# Non-negative float32 numbers have the order of their bits read as whole numbers; infinity is the last.
_LARGEST_BITS = 0x7F800000


def transform(loaded: Loaded, choice: Choice, material: Material) -> Compressed:
    """Prune every linear layer in place.

    Raises:
        WorkerFault: no linear layers (bad_model), or parameters that contradict
            each other (precondition).
    """
    del material
    wanted = pattern(choice)
    scope = choice.text("scope")
    if scope == "model" and wanted.neighbours:
        raise WorkerFault(
            "precondition",
            f"scope model has no meaning with pattern {choice.text('pattern')}; use scope layer",
        )
    layers = linears(loaded.model)
    with torch.no_grad():
        if scope == "model":
            prune_together(layers, wanted.sparsity)
        else:
            for layer in layers:
                layer.module.weight.masked_fill_(_mask(layer.module.weight.abs(), wanted, scope), 0)
    return finished(loaded, layers, KERNEL)


def _mask(magnitudes: torch.Tensor, wanted: Pattern, scope: str) -> torch.Tensor:
    if wanted.neighbours:
        return of_neighbours(magnitudes, wanted.zeros, wanted.neighbours)
    return (of_rows if scope == "row" else of_matrix)(magnitudes, wanted.sparsity)


def prune_together(layers: Sequence[Layer], sparsity: float) -> None:
    """Zero the smallest share of the weights of all layers; of equal weights the first ones go."""
    weights = [layer.module.weight for layer in layers]
    count = int(sum(weight.numel() for weight in weights) * sparsity)
    if not count:
        return
    threshold = _threshold(weights, count)
    # All below the threshold go, and as many of those on it as are still missing.
    left = count - _at_most(weights, threshold - 1)
    for weight in weights:
        bits = _bits(weight)
        equal = torch.nonzero((bits == threshold).view(-1)).view(-1)[:left]
        left -= len(equal)
        weight.masked_fill_(bits < threshold, 0)
        weight.view(-1)[equal] = 0


def _threshold(weights: Sequence[torch.Tensor], count: int) -> int:
    """Finds the count-th smallest magnitude by halving, which needs no copy of all weights."""
    low, high = 0, _LARGEST_BITS
    while low < high:
        middle = (low + high) // 2
        if _at_most(weights, middle) >= count:
            high = middle
        else:
            low = middle + 1
    return low


def _at_most(weights: Sequence[torch.Tensor], bits: int) -> int:
    return sum(int((_bits(weight) <= bits).sum()) for weight in weights)


def _bits(weight: torch.Tensor) -> torch.Tensor:
    return weight.abs().float().view(torch.int32)
