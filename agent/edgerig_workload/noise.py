"""Noise v1: random signs that are the same bits on every device, from integers alone.

The signs of a tensor are a function of (seed, tensor name, element index), so that
any block of them can be made without the rest and methods that replay seeds agree
between machines. Generators of torch do not: their streams depend on the kind of
device, on its launch grid and on the instruction set. Knows no models and no losses.

Definition: element i takes bit i mod 64, counted from the least significant, of
`mix(key + (i div 64 + 1) * GAMMA)` with `key = mix(mix(seed) ^ fnv1a_64(name))`, all
modulo 2**64; a set bit is +1, a clear one -1. `mix` is the finaliser of SplitMix64
(Steele, Lea and Flood 2014), FNV-1a is read over the name's UTF-8.

Numbers in half precision are rounded by chance: element i goes to the neighbour that is
further off where (v + 0.5) / 2**24 times the gap between both is less than what rounding
to the nearest takes away. v are the upper 24 bits of half i mod 2, counted from the lower
one, of word i div 2 of the stream of the name with "rounding of " before it.
"""

from __future__ import annotations

import torch

VERSION = 1
BLOCK_ELEMENTS = 2**20
WORD_BITS = 64

_MASK = 2**64 - 1
_GAMMA = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_FNV_BASIS, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


def mix(value: int) -> int:
    """Return SplitMix64's finaliser of a number modulo 2**64."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)


def key(seed: int, name: str) -> int:
    """Return the 64-bit key of a tensor's stream."""
    digest = _FNV_BASIS
    for byte in name.encode():
        digest = ((digest ^ byte) * _FNV_PRIME) & _MASK
    return mix(mix(seed) ^ digest)


def step_seed(seed: int, index: int) -> int:
    """Return the seed of direction `index` of a run with this seed, in 0 .. 2**63 - 1."""
    return mix(mix(seed) + index * _GAMMA) >> 1


def words(stream_key: int, first: int, count: int, device: torch.device) -> torch.Tensor:
    """Return `count` words of a stream from word `first` on, as int64 of the same bits."""
    index = torch.arange(first + 1, first + count + 1, dtype=torch.int64, device=device)
    # int64 arithmetic of torch wraps, which is arithmetic modulo 2**64 on the same bits.
    value = index.mul_(_signed(_GAMMA)).add_(_signed(stream_key))
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        value = value.bitwise_xor_(_shifted(value, shift)).mul_(_signed(factor))
    return value.bitwise_xor_(_shifted(value, 31))


def signs(stream_key: int, first: int, count: int, device: torch.device) -> torch.Tensor:
    """Return elements `first` .. `first + count - 1` of a stream as int8, each +1 or -1.

    Raises:
        ValueError: `first` is not a multiple of 64.
    """
    return _bits(stream_key, first, count, device).mul_(2).sub_(1)


def add_scaled(target: torch.Tensor, name: str, seed: int, scale: float, block: int = BLOCK_ELEMENTS) -> None:
    """Add `scale` times the signs of tensor `name` to `target`, in place and block by block.

    The sum is taken in the target's own type. Memory beyond the target is that of one block.

    Raises:
        ValueError: the block is no multiple of 64, or the target does not lie in one piece.
    """
    if block % WORD_BITS or block <= 0:
        raise ValueError(f"a block of {block} elements is no multiple of {WORD_BITS}")
    # A view and not a reshape: a copy would take the change and lose it.
    flat = target.detach().view(-1)
    stream_key = key(seed, name)
    for first in range(0, flat.numel(), block):
        piece = flat[first : first + block]
        bits = _bits(stream_key, first, piece.numel(), flat.device)
        piece.add_(bits.to(piece.dtype).mul_(2).sub_(1), alpha=scale)


def change(
    target: torch.Tensor,
    name: str,
    seed: int,
    scale: float,
    shrink: float = 1.0,
    block: int = BLOCK_ELEMENTS,
) -> None:
    """Multiply `target` by `shrink` and add `scale` times the signs of tensor `name`, in place.

    In half precision the sum is taken in float32 and rounded by chance, to the mean of the
    sum itself, so that steps which are smaller than the type's own add up. Other types are
    rounded to the nearest, as by `add_scaled`.
    """
    if scale == 0.0 and shrink == 1.0:
        return
    if target.dtype not in (torch.float16, torch.bfloat16):
        if shrink != 1.0:
            target.detach().mul_(shrink)
        if scale:
            add_scaled(target, name, seed, scale, block)
        return
    flat = target.detach().view(-1)
    chances = key(seed, "rounding of " + name)
    for first in range(0, flat.numel(), block):
        piece = flat[first : first + block]
        wide = piece.float().mul_(shrink)
        bits = _bits(key(seed, name), first, piece.numel(), flat.device)
        wide.add_(bits.to(wide.dtype).mul_(2).sub_(1), alpha=scale)
        piece.copy_(_rounded(wide, piece.dtype, _chances(chances, first, piece.numel(), flat.device)))


def _rounded(wide: torch.Tensor, dtype: torch.dtype, chances: torch.Tensor) -> torch.Tensor:
    """Returns float32 numbers in half precision, each one of its two neighbours there."""
    near = wide.to(dtype)
    lost = wide - near.float()
    # As integers, one more is one step further from zero. Where nothing is lost, or a neighbour
    # is infinite, the comparison below fails and the nearest stays.
    outwards = (torch.signbit(lost) == torch.signbit(wide)).to(torch.int16)
    other = (near.view(torch.int16) + outwards.mul_(2).sub_(1)).view(dtype)
    gap = (other.float() - near.float()).abs_()
    return torch.where(gap.mul_(chances) < lost.abs_(), other, near)


def _chances(stream_key: int, first: int, count: int, device: torch.device) -> torch.Tensor:
    """Returns float32 numbers between 0 and 1, evenly spread."""
    drawn = words(stream_key, first // 2, -(-count // 2), device)
    halves = torch.stack([_shifted(drawn, 8).bitwise_and_(2**24 - 1), _shifted(drawn, 40)], dim=1)
    return halves.view(-1)[:count].to(torch.float32).add_(0.5).mul_(2.0**-24)


def _bits(stream_key: int, first: int, count: int, device: torch.device) -> torch.Tensor:
    """Returns int8 zeros and ones."""
    if first % WORD_BITS:
        raise ValueError(f"element {first} does not begin a word of {WORD_BITS}")
    drawn = words(stream_key, first // WORD_BITS, -(-count // WORD_BITS), device)
    # Byte by byte and not by a view of the words, which would depend on the byte order.
    shifts = torch.arange(0, WORD_BITS, 8, device=device)
    octets = (drawn[:, None] >> shifts).bitwise_and_(255).to(torch.uint8)
    places = torch.arange(8, dtype=torch.uint8, device=device)
    bits = (octets[:, :, None] >> places).bitwise_and_(1)
    return bits.view(-1)[:count].view(torch.int8)


def _shifted(value: torch.Tensor, places: int) -> torch.Tensor:
    """Shifts right and fills with zeros; torch's own shift of a signed number fills with its sign."""
    return (value >> places).bitwise_and_((1 << (WORD_BITS - places)) - 1)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
