"""Layers whose weights stay packed in memory and are spelled out while they are used.

`PackedLinear` is a torch.nn.Linear to everything that asks, so that adapters can be
put on it; it has no weight that could be trained. The dense weight exists during a
product and is not kept for the backward pass, which makes it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils._pytree import tree_map_only

from edgerig_workload.compress.grid import Grid, fit
from edgerig_workload.compress.packing import pack, unpack

KERNEL = "dequantised"
# What a tensor's properties tell without its numbers.
_KNOWN_WITHOUT = ("dtype", "shape", "device", "ndim", "requires_grad")


@dataclass(frozen=True)
class Format:
    """How weights are written: bits a weight, weights that share a scale (0 = a whole row), symmetry."""

    bits: int
    group: int
    symmetric: bool

    def width(self, columns: int) -> int:
        """Number of columns that share a scale in a matrix of so many columns."""
        return min(self.group, columns) if self.group else columns


@dataclass(frozen=True)
class Codes:
    """A quantised matrix: codes (rows, columns), one grid a group, and the order of its columns.

    `order` says which column of the matrix each column of codes is; None = their own.
    """

    codes: torch.Tensor
    grids: list[Grid]
    order: torch.Tensor | None = None


def nearest(weights: torch.Tensor, written: Format) -> Codes:
    """Round a matrix (rows, columns) to the nearest values of grids fitted to its groups."""
    grids, codes = [], []
    for part in weights.float().split(written.width(weights.shape[1]), dim=1):
        grid = fit(part, written.bits, symmetric=written.symmetric)
        grids.append(grid)
        codes.append(grid.codes(part))
    return Codes(torch.cat(codes, dim=1), grids)


class PackedWeight(nn.Module):
    """A quantised matrix in packed form. It is data of the model and never learns."""

    packed: torch.Tensor
    scale: torch.Tensor
    zero: torch.Tensor | None
    place: torch.Tensor | None

    def __init__(self, codes: Codes, written: Format, dtype: torch.dtype) -> None:
        super().__init__()
        self.written = written
        self.dtype = dtype
        self.columns = codes.codes.shape[1]
        self.register_buffer("packed", pack(codes.codes.to(torch.uint8), written.bits))
        self.register_buffer("scale", torch.cat([grid.scale for grid in codes.grids], dim=1))
        # The zero of a symmetric grid is the same for all, and not stored.
        zero = torch.cat([grid.zero for grid in codes.grids], dim=1).to(torch.uint8)
        self.register_buffer("zero", None if written.symmetric else zero)
        place = None if codes.order is None else torch.argsort(codes.order).to(torch.int32)
        self.register_buffer("place", place)

    def dense(self, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Return the matrix (rows, columns) in the model's number format, or some of its rows."""
        packed, scale, zero = self.packed, self.scale, self.zero
        if rows is not None:
            packed, scale = packed[rows], scale[rows]
            zero = None if zero is None else zero[rows]
        width = self.written.width(self.columns)
        codes = unpack(packed, self.written.bits, self.columns).to(torch.float32)
        middle = 2 ** (self.written.bits - 1)
        zeros = torch.full_like(scale, middle) if zero is None else zero.float()
        # The last group may be short: pad, so that groups are an axis of their own.
        filled = functional.pad(codes, (0, -self.columns % width)).view(len(codes), -1, width)
        values = filled.sub_(zeros[..., None]).mul_(scale[..., None]).view(len(codes), -1)
        dense = values[:, : self.columns].to(self.dtype)
        return dense if self.place is None else dense[:, self.place]


class _Spelled(torch.Tensor):
    """A packed matrix as a tensor whose numbers are made at the first use of them.

    Asking for its type or shape costs nothing: T5 asks for the type of a layer's weight three
    times before each product. Results of operations are plain tensors.
    """

    source: PackedWeight
    made: torch.Tensor | None

    @staticmethod
    def __new__(cls, source: PackedWeight) -> _Spelled:
        made: _Spelled = torch.Tensor._make_wrapper_subclass(
            cls, (len(source.packed), source.columns), dtype=source.dtype, device=source.packed.device
        )
        made.source, made.made = source, None
        return made

    def numbers(self) -> torch.Tensor:
        if self.made is None:
            self.made = self.source.dense()
        return self.made

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # A property of tensors is asked for through the getter of its descriptor.
        if getattr(getattr(func, "__self__", None), "__name__", "") in _KNOWN_WITHOUT:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args)
        return cls.__torch_dispatch__(func, types, args, kwargs)

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        args, kwargs = tree_map_only(_Spelled, _Spelled.numbers, (args, kwargs or {}))
        return func(*args, **kwargs)


class _Product(torch.autograd.Function):
    """x W^T with W made when it is needed. Derivatives by x only, in both modes."""

    @staticmethod
    def forward(x: torch.Tensor, weight: PackedWeight) -> torch.Tensor:
        return functional.linear(x, weight.dense())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        del output
        ctx.packed_weight = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] @ ctx.packed_weight.dense(), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> torch.Tensor:
        return functional.linear(tangents[0], ctx.packed_weight.dense())


class PackedLinear(nn.Linear):
    """A linear layer over packed weights, with the bias of the layer it stands for."""

    def __init__(self, packed_weight: PackedWeight, rows: int, bias: nn.Parameter | None) -> None:
        # Not Linear's own: it would allocate the dense weight that this layer is there to avoid.
        nn.Module.__init__(self)
        self.in_features = packed_weight.columns
        self.out_features = rows
        self.packed_weight = packed_weight
        self.register_parameter("bias", bias)

    @property
    def weight(self) -> torch.Tensor:
        """The dense weight, made anew where its numbers are used; writing into it changes nothing."""
        return _Spelled(self.packed_weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x W^T + b for x of shape (..., in_features)."""
        out = _Product.apply(x, self.packed_weight)
        return out if self.bias is None else out + self.bias


class PackedEmbedding(nn.Module):
    """An embedding table over packed weights; only the rows that are looked up are spelled out."""

    def __init__(self, packed_weight: PackedWeight, rows: int) -> None:
        super().__init__()
        self.num_embeddings = rows
        self.embedding_dim = packed_weight.columns
        self.packed_weight = packed_weight

    @property
    def weight(self) -> torch.Tensor:
        """The dense table, made anew at every access."""
        return self.packed_weight.dense()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows (..., embedding_dim) of token ids."""
        return self.packed_weight.dense(ids.reshape(-1)).view(*ids.shape, -1)


def linear(layer: nn.Linear, codes: Codes, written: Format) -> PackedLinear:
    """Make the packed layer that stands for a dense one."""
    return PackedLinear(PackedWeight(codes, written, layer.weight.dtype), layer.out_features, layer.bias)
