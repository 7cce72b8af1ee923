"""Packing gives back what it was given, in exactly the bytes it says."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from edgerig_workload.compress.packing import pack, unpack


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("columns", [1, 8, 13, 64])
def test_codes_survive_in_bits_bytes_for_each_eight(bits: int, columns: int) -> None:
    codes = torch.randint(0, 2**bits, (5, columns), dtype=torch.uint8)

    packed = pack(codes, bits)

    assert packed.shape == (5, -(-columns // 8) * bits)
    assert torch.equal(unpack(packed, bits, columns), codes)


def test_layout_is_little_endian_with_the_first_code_lowest() -> None:
    codes = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 0]], dtype=torch.uint8)

    number = int.from_bytes(bytes(pack(codes, 3)[0].tolist()), "little")

    assert [number >> (3 * place) & 7 for place in range(8)] == [1, 2, 3, 4, 5, 6, 7, 0]
