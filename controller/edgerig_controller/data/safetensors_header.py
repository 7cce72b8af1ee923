"""Reads what a safetensors file says of itself: tensors, types and sizes, and no weights.

The file may come from anybody, so every number of it is checked against the
file's size before it is believed.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerig.errors import DataError

HEADER_BYTES = 100 * 1024 * 1024
_HINT = "download the file again, or save the model anew with `save_pretrained(..., safe_serialization=True)`"
_ELEMENT_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E8M0": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}


@dataclass(frozen=True)
class Tensors:
    """How many elements the tensors of a file have, and the element size of the largest."""

    element_count: int
    largest_count: int
    largest_element_bytes: int


def read(path: Path) -> Tensors:
    """Read the header of a safetensors file.

    Raises:
        DataError: it is not a whole safetensors file.
    """
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size_bytes < 8 or not 2 <= length <= min(HEADER_BYTES, size_bytes - 8):
                raise DataError(
                    f"{path.name} is no whole safetensors file: its header has no sound length", hint=_HINT
                )
            header = json.loads(file.read(length))
    except OSError as error:
        raise DataError(
            f"{path.name} cannot be read: {error.strerror}", hint="check the file's permissions"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name} is no safetensors file: its header is not JSON", hint=_HINT) from error
    if not isinstance(header, dict):
        raise DataError(f"{path.name} is no safetensors file: its header is not a JSON object", hint=_HINT)
    return _sum(path.name, header, size_bytes - 8 - length)


def _sum(name: str, header: dict[str, Any], data_bytes: int) -> Tensors:
    total, largest, largest_bytes, end_bytes = 0, 0, 0, 0
    for tensor, entry in header.items():
        if tensor == "__metadata__":
            continue
        count, bits, end = _tensor(name, tensor, entry)
        total += count
        end_bytes = max(end_bytes, end)
        if count > largest:
            largest, largest_bytes = count, max(1, bits // 8)
    if total == 0:
        raise DataError(f"{name} holds no tensors", hint=_HINT)
    if end_bytes != data_bytes:
        raise DataError(
            f"{name} is not whole: its tensors take {end_bytes} bytes, the file has {data_bytes}", hint=_HINT
        )
    return Tensors(total, largest, largest_bytes)


def _tensor(name: str, tensor: str, entry: Any) -> tuple[int, int, int]:
    """Returns element count, bits of an element and the end of the tensor's bytes."""
    broken = DataError(f"{name} is no sound safetensors file: tensor {tensor[:80]!r}", hint=_HINT)
    if not isinstance(entry, dict):
        raise broken
    shape, offsets = _sizes(entry.get("shape")), _sizes(entry.get("data_offsets"))
    if shape is None or offsets is None or len(offsets) != 2:
        raise broken
    kind = entry.get("dtype")
    count = math.prod(shape)
    bits = _ELEMENT_BITS.get(str(kind))
    if bits is None:
        raise DataError(f"{name}: tensor {tensor[:80]!r} has the unknown type {str(kind)[:20]!r}", hint=_HINT)
    if offsets[1] - offsets[0] != (count * bits + 7) // 8:
        raise broken
    return count, bits, offsets[1]


def _sizes(value: Any) -> list[int] | None:
    """Returns a list of sizes, None where it is not one."""
    good = isinstance(value, list) and all(type(n) is int and 0 <= n < 2**48 for n in value)
    return value if good else None
