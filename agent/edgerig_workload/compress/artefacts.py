"""Reads checkpoints that were quantised elsewhere: the safetensors layouts of GPTQ and of AWQ.

The layers stay packed in memory and are spelled out while they are used, so that such a
checkpoint runs wherever the dense model does; the kernel is called `dequantised`. Needs
none of the libraries that wrote them.

Layouts. GPTQ (AutoGPTQ, its `pack`; also GPTQModel's format v2): `qweight` int32 holds the
codes of a column of inputs, lowest bits first, inputs running along the first axis;
`qzeros` int32 the zero points of a group along the second axis, less one in the first
format; `scales` (groups, outputs); `g_idx` the group of each input. AWQ (AutoAWQ, version
gemm): codes and zero points of eight outputs in an int32, in the order 0 2 4 6 1 3 5 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from edgerig_workload.compress.grid import Grid
from edgerig_workload.compress.packed import Codes, Format, PackedLinear, PackedWeight
from edgerig_workload.faults import WorkerFault, memory_class, some

_INT_BITS = 32
# Nibble i of an int32 holds this output of its eight.
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
_GPTQ_BITS = (2, 3, 4, 8)


@dataclass(frozen=True)
class Layout:
    """How the layers of a checkpoint are written. `group` 0 stands for a whole row of inputs."""

    method: str
    bits: int
    group: int
    zeros_less_one: bool


def layout_of(config: Any) -> Layout | None:
    """Read the quantisation from a model's configuration; None for a dense checkpoint.

    Raises:
        WorkerFault: of class bad_model, for a layout that is not read here.
    """
    said = getattr(config, "quantization_config", None)
    if said is None:
        return None
    facts: Mapping[str, Any] = said if isinstance(said, Mapping) else said.to_dict()
    method = str(facts.get("quant_method", "")).lower()
    bits, group = (
        facts.get("bits", facts.get("w_bit")),
        facts.get("group_size", facts.get("q_group_size", -1)),
    )
    version = str(facts.get("version", "gemm")).lower()
    good = isinstance(bits, int) and isinstance(group, int) and (group == -1 or group > 0)
    if method == "gptq" and good and bits in _GPTQ_BITS:
        form = str(facts.get("checkpoint_format", "gptq")).lower()
        if form in ("gptq", "gptq_v2"):
            return Layout(method, int(bits), max(0, int(group)), form == "gptq")
    if method == "awq" and good and bits == 4 and version == "gemm":
        return Layout(method, 4, max(0, int(group)), zeros_less_one=False)
    raise WorkerFault(
        "bad_model",
        f"this checkpoint is quantised as {method or 'something unnamed'} with {bits} bits in groups of "
        f"{group}; read are GPTQ with {', '.join(map(str, _GPTQ_BITS))} bits and AWQ (gemm) with 4. Take "
        "the dense checkpoint and a compression of the study instead",
    )


def load(folder: Path, kind: Any, config: Any, layout: Layout, dtype: torch.dtype) -> Any:
    """Build the model of a quantised checkpoint with its layers packed.

    Args:
        kind: a class of transformers with `from_config`.

    Raises:
        WorkerFault: of class bad_model, where tensors are missing or of the wrong shape.
    """
    from accelerate import init_empty_weights

    del config.quantization_config
    # Weights are not allocated, because most never exist; what a model computes by itself is.
    with init_empty_weights(include_buffers=False):
        try:
            model = kind.from_config(config, dtype=dtype, trust_remote_code=False)
        except ValueError as error:
            raise WorkerFault("bad_model", f"{folder.name}: the architecture is refused: {error}") from error
    tensors = _tensors(folder)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and f"{name}.qweight" in tensors:
            packed = _layer(name, module, tensors, layout, dtype)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, packed)
    dense = {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
    report = model.load_state_dict(dense, strict=False, assign=True)
    model.tie_weights()
    unmade = sorted(name for name, weight in model.named_parameters() if weight.is_meta)
    if unmade or report.unexpected_keys:
        what = f"lacks {some(unmade)}" if unmade else f"also holds {some(report.unexpected_keys)}"
        raise WorkerFault("bad_model", f"the quantised checkpoint {folder.name} {what}")
    return model


def is_packed(model: Any) -> bool:
    """Tell whether layers of a loaded model are packed."""
    return packed_count(model) > 0


def packed_count(model: Any) -> int:
    """Return how many weights the packed layers of a model stand for."""
    layers = [module for module in model.modules() if isinstance(module, PackedLinear)]
    return sum(layer.in_features * layer.out_features for layer in layers)


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= _tensors_of(path)
    return found


def _tensors_of(path: Path) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except Exception as error:
        if memory_class(error):
            raise
        raise WorkerFault("bad_model", f"{path.parent.name}: {path.name} cannot be read: {error}") from error


def _layer(
    name: str, dense: nn.Linear, tensors: dict[str, torch.Tensor], layout: Layout, dtype: torch.dtype
) -> PackedLinear:
    """Takes the tensors of a layer out of the checkpoint and makes its packed layer."""
    parts = {
        part: tensors.pop(f"{name}.{part}", None) for part in ("qweight", "qzeros", "scales", "g_idx", "bias")
    }
    qweight, qzeros, scales = parts["qweight"], parts["qzeros"], parts["scales"]
    if qweight is None or qzeros is None or scales is None:
        raise WorkerFault("bad_model", f"layer {name} of the checkpoint lacks its zero points or scales")
    inputs, outputs, bits = dense.in_features, dense.out_features, layout.bits
    if layout.method == "gptq":
        codes = unpacked(qweight.T, bits)
        zeros = unpacked(qzeros, bits) + int(layout.zeros_less_one)
    else:
        codes, zeros = _awq(qweight).T, _awq(qzeros)
    groups = scales.shape[0]
    width = layout.group or inputs
    shapes = (tuple(codes.shape), tuple(zeros.shape), tuple(scales.shape))
    if shapes != ((outputs, inputs), (groups, outputs), (groups, outputs)) or groups != -(-inputs // width):
        raise WorkerFault(
            "bad_model",
            f"layer {name} of the checkpoint has codes, zero points and scales of shapes {shapes}; its "
            f"configuration asks for {outputs} outputs of {inputs} inputs in groups of {width}",
        )
    order = None if parts["g_idx"] is None else _order(name, parts["g_idx"], width, groups)
    grids = [Grid(scales[g][:, None].float(), zeros[g][:, None].float(), bits) for g in range(groups)]
    arranged = Codes(codes if order is None else codes[:, order], grids, order)
    weight = PackedWeight(arranged, Format(bits, layout.group, symmetric=False), dtype)
    bias = None if parts["bias"] is None else nn.Parameter(parts["bias"].to(dtype), requires_grad=False)
    return PackedLinear(weight, outputs, bias)


def _order(name: str, group_of_input: torch.Tensor, width: int, groups: int) -> torch.Tensor | None:
    """Returns the inputs in the order of their groups, None where they stand in it already."""
    whole = torch.arange(len(group_of_input)) // width
    if torch.equal(group_of_input.long(), whole):
        return None
    order = torch.argsort(group_of_input.long(), stable=True)
    if not torch.equal(group_of_input.long()[order], whole):
        raise WorkerFault(
            "bad_model", f"layer {name} of the checkpoint has no {groups} groups of {width} inputs"
        )
    return order


def unpacked(packed: torch.Tensor, bits: int) -> torch.Tensor:
    """Spell out codes along the last axis of an int32 matrix, lowest bits first.

    Codes of 3 bits run across the borders of the integers, 32 of them in three.
    Returns whole numbers of the same rows, int32.
    """
    if packed.shape[-1] * _INT_BITS % bits:
        raise WorkerFault(
            "bad_model", f"{packed.shape[-1]} integers hold no whole number of {bits}-bit codes"
        )
    places = torch.arange(_INT_BITS, dtype=torch.int32)
    stream = ((packed[..., None] >> places) & 1).to(torch.uint8).flatten(-2)
    codes = stream.unflatten(-1, (-1, bits)).to(torch.int32)
    return (codes << torch.arange(bits, dtype=torch.int32)).sum(-1, dtype=torch.int32)


def _awq(packed: torch.Tensor) -> torch.Tensor:
    nibbles = unpacked(packed, 4).unflatten(-1, (-1, len(_AWQ_ORDER)))
    ordered = torch.empty_like(nibbles)
    ordered[..., list(_AWQ_ORDER)] = nibbles
    return ordered.flatten(-2)
