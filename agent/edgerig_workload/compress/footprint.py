"""What a model's weights take in memory and on disk, and how many of them are zero.

Counts tensors by their storage, so that shared ones count once, and looks inside
tensors that are made of other tensors. Knows nothing of how they were compressed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from edgerig_workload.compress import Compressed
from edgerig_workload.compress.layers import Layer
from edgerig_workload.models import Loaded

# The header's length stands before it in eight bytes; the header is padded with blanks to eight.
_PREFIX_BYTES = 8
_ALIGNMENT = 8
# Names of number formats in a safetensors header.
_FORMAT_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def finished(loaded: Loaded, layers: Sequence[Layer], kernel: str) -> Compressed:
    """Return a pruned or quantised model with what its weights take now.

    `parameter_count` stays that of the uncompressed model, so that sizes of one
    model compare; `layers` are those to count zeros in, none for a quantised model.
    """
    if not layers:
        leave_files(loaded.model)
    counted = replace(loaded, weights_bytes=memory_bytes(loaded.model))
    return Compressed(counted, kernel, sparsity(layers), stored_bytes(loaded.model))


def leave_files(model: Any) -> None:
    """Copy the plain tensors that are left on the processor into memory of their own.

    Weights come as views of a mapped safetensors file. One embedding that is left of it
    keeps all its pages in the resident set, those of the layers that were packed too.
    """
    with torch.no_grad():
        for part in [*model.parameters(), *model.buffers()]:
            if type(part.data) is torch.Tensor and part.device.type == "cpu":
                part.data = part.data.clone()


def memory_bytes(model: Any) -> int:
    """Return the bytes of all parameters and of the buffers that a state dict holds."""
    return sum(part.numel() * part.element_size() for part in _parts(model).values())


def stored_bytes(model: Any) -> int:
    """Return the size of a safetensors file of the weights: header and tensors, shared ones once."""
    parts = _parts(model)
    header: dict[str, Any] = {}
    offset = 0
    # The format orders tensors by their element size, the largest first, then by name.
    for name, part in sorted(parts.items(), key=lambda item: (-item[1].element_size(), item[0])):
        end = offset + part.numel() * part.element_size()
        header[name] = {
            "dtype": _FORMAT_NAMES.get(part.dtype, str(part.dtype)),
            "shape": list(part.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":"))
    padded = -(-len(text.encode()) // _ALIGNMENT) * _ALIGNMENT
    return _PREFIX_BYTES + padded + offset


def sparsity(layers: Sequence[Layer]) -> float:
    """Return the share of exact zeros in the weights of some layers, 0 for no layers."""
    total = sum(layer.module.weight.numel() for layer in layers)
    zeros = sum(int((layer.module.weight == 0).sum()) for layer in layers)
    return zeros / total if total else 0.0


def _parts(model: Any) -> Mapping[str, torch.Tensor]:
    """Returns the plain tensors of a model, each storage once, by name."""
    seen: set[tuple[int, int]] = set()
    parts: dict[str, torch.Tensor] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if not isinstance(value, torch.Tensor):
            continue
        for part_name, part in _plain(name, value):
            place = (part.data_ptr(), part.numel())
            if part.numel() and place not in seen:
                seen.add(place)
                parts[part_name] = part
    return parts


def _plain(name: str, value: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    # Libraries that quantise keep codes and scales inside one tensor subclass.
    if hasattr(value, "__tensor_flatten__"):
        for inner in value.__tensor_flatten__()[0]:
            yield from _plain(f"{name}.{inner}", getattr(value, inner))
    else:
        yield name, value
