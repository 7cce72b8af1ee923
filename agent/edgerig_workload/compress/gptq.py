"""GPTQ: rounds columns one after the other, and lets later columns make up for each rounding.

Grids are those of rounding to nearest, fitted to a group when its first column is
reached. With `act_order` the columns with the largest inputs go first, while there
are most others to make up for them. Source: Frantar et al., arXiv 2210.17323.
"""

from __future__ import annotations

import torch

from edgerig_workload.compress import Compressed, Material, calibration
from edgerig_workload.compress.footprint import finished
from edgerig_workload.compress.grid import Grid, fit
from edgerig_workload.compress.layers import Layer, linears, replace
from edgerig_workload.compress.obs import BLOCK_COLUMNS, Hessian, curvature, sweep
from edgerig_workload.compress.packed import KERNEL, Codes, Format, linear
from edgerig_workload.models import Loaded
from edgerig_workload.trial import Choice


class Rounding:
    """Rounds columns to grids, and keeps codes and grids."""

    def __init__(self, written: Format, whole: Grid | None) -> None:
        """Take the format, and the grids of whole rows where no groups are wanted."""
        self._written = written
        self._whole = whole
        self.codes: list[torch.Tensor] = []
        self.grids: list[Grid] = [] if whole is None else [whole]

    def block(self, current: torch.Tensor, diagonal: torch.Tensor) -> None:
        """Nothing depends on a block."""

    def column(self, current: torch.Tensor, place: int) -> torch.Tensor:
        """Return the nearest values of a column; the first of a group fits the group's grid."""
        if self._whole is None and place % self._written.group == 0:
            part = current[:, place : place + self._written.group]
            self.grids.append(fit(part, self._written.bits, symmetric=self._written.symmetric))
        grid = self.grids[-1]
        codes = grid.codes(current[:, place : place + 1])
        self.codes.append(codes)
        return grid.values(codes)[:, 0]


def transform(loaded: Loaded, choice: Choice, material: Material) -> Compressed:
    """Exchange every linear layer for a packed one, block after block.

    Raises:
        WorkerFault: no linear layers (bad_model), nothing or too little to calibrate on (bad_data).
    """
    bits = int(choice.kind.removeprefix("gptq-int"))
    written = Format(bits, choice.integer("group"), bool(choice.parameters["symmetric"]))
    damping, act_order = choice.number("damping"), bool(choice.parameters["act_order"])

    def change(layer: Layer, hessian: Hessian) -> None:
        with torch.no_grad():
            codes = quantise(
                layer.module.weight.float(),
                hessian.matrix(),
                written,
                damping=damping,
                act_order=act_order,
                name=layer.name,
            )
            replace(loaded.model, layer.name, linear(layer.module, codes, written))

    layers = linears(loaded.model)
    calibration.walk(loaded, layers, calibration.inputs(loaded, choice, material), Hessian, change)
    return finished(loaded, (), KERNEL)


def quantise(
    weights: torch.Tensor,
    hessian: torch.Tensor,
    written: Format,
    *,
    damping: float,
    act_order: bool,
    name: str,
) -> Codes:
    """Quantise float32 weights (rows, columns) under H (columns, columns) of their inputs.

    Raises:
        WorkerFault: of class bad_data, where H cannot be inverted.
    """
    order = torch.argsort(hessian.diagonal(), descending=True) if act_order else None
    if order is not None:
        weights, hessian = weights[:, order], hessian[order][:, order]
    curve = curvature(hessian, damping, name)
    weights = weights.masked_fill(curve.dead, 0)
    whole = None if written.group else fit(weights, written.bits, symmetric=written.symmetric)
    rule = Rounding(written, whole)
    sweep(weights, curve, rule, _block_columns(written.group))
    return Codes(torch.cat(rule.codes, dim=1), rule.grids, order)


def _block_columns(group: int) -> int:
    """Returns a width of blocks that groups do not straddle."""
    return BLOCK_COLUMNS if not group or BLOCK_COLUMNS % group == 0 else group
