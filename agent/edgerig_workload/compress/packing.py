"""Small whole numbers in exactly as many bits as they need: eight of b bits in b bytes.

Knows neither weights nor scales. Works the same on processors and accelerators.
"""

from __future__ import annotations

import torch

# Numbers that share their bytes; any width from 1 to 8 bits then fills whole bytes.
_TOGETHER = 8


def pack(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """Pack codes of shape (rows, columns), uint8 below 2**bits, into uint8 (rows, bytes).

    A row takes `ceil(columns / 8) * bits` bytes. The number of bits is 1 to 8.
    """
    rows, columns = codes.shape
    filled = torch.nn.functional.pad(codes, (0, -columns % _TOGETHER)).view(rows, -1, _TOGETHER)
    out = codes.new_zeros(rows, filled.shape[1], bits)
    for place in range(_TOGETHER):
        # Eight codes are one number of 8 * bits bits, the first code lowest.
        byte, shift = divmod(place * bits, 8)
        out[..., byte] |= filled[..., place] << shift
        if shift + bits > 8:
            out[..., byte + 1] |= filled[..., place] >> (8 - shift)
    return out.view(rows, -1)


def unpack(packed: torch.Tensor, bits: int, columns: int) -> torch.Tensor:
    """Return the uint8 codes (rows, columns) that `pack` was given."""
    rows = packed.shape[0]
    source = packed.view(rows, -1, bits)
    out = packed.new_empty(rows, source.shape[1], _TOGETHER)
    mask = 2**bits - 1
    for place in range(_TOGETHER):
        byte, shift = divmod(place * bits, 8)
        code = source[..., byte] >> shift
        if shift + bits > 8:
            code = code | source[..., byte + 1] << (8 - shift)
        out[..., place] = code & mask
    return out.view(rows, -1)[:, :columns]
