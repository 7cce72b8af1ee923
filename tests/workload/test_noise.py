"""Noise v1: the definition, written out again in plain integers, and hashes that no device may change."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from edgerig_workload import noise  # noqa: E402 - imports torch at its top

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
# sha256 of the first million signs as bytes (+1 = 01, -1 = ff). They define noise v1: code
# that gives other hashes has to become another version.
GOLDEN = {
    (0, "w"): "10aa90f708f5055e2bf061c036b289986474e28fdea69aa7e348fa27e7e353c0",
    (
        7,
        "model.layers.0.self_attn.q_proj.weight",
    ): "c433ae2ba1adee361ec1cec4c2874168abc3f8f4256061267bcf1ec05146ebb8",
    (2**63 - 1, "schicht.ä"): "9d02244d20add0a2386f811c157623371e32b9b8981141961b81dd9673d6cfeb",
}
PROGRAM = """
import hashlib, json, sys, torch
from edgerig_workload import noise
device = torch.device(sys.argv[1])
for seed, name in json.loads(sys.argv[2]):
    signs = noise.signs(noise.key(seed, name), 0, 1_000_000, device)
    print(hashlib.sha256(signs.cpu().numpy().tobytes()).hexdigest())
"""


def plain(seed: int, name: str, index: int) -> int:
    """One sign by the words of the definition."""
    mask = 2**64 - 1

    def mix(value: int) -> int:
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
        return value ^ (value >> 31)

    digest = 0xCBF29CE484222325
    for byte in name.encode("utf-8"):
        digest = ((digest ^ byte) * 0x100000001B3) & mask
    word = mix((mix(mix(seed & mask) ^ digest) + (index // 64 + 1) * 0x9E3779B97F4A7C15) & mask)
    return 1 if word >> (index % 64) & 1 else -1


def drawn(seed: int, name: str, first: int, count: int) -> list[int]:
    return noise.signs(noise.key(seed, name), first, count, CPU).tolist()


def hashes(device: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, device, json.dumps(list(GOLDEN))],
        env={**os.environ, "PYTHONPATH": str(ROOT / "agent"), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize("seed", [0, 1, -1, 2**63 - 1])
@pytest.mark.parametrize("first", [0, 64, 2**40])
def test_signs_are_those_of_the_definition(seed: int, first: int) -> None:
    assert drawn(seed, "a.b", first, 130) == [plain(seed, "a.b", first + place) for place in range(130)]


def test_mix_is_the_published_one() -> None:
    # First output of SplitMix64 for the state 0 (Vigna's reference code).
    assert noise.mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize(("seed", "name"), list(GOLDEN))
def test_golden_hashes_hold_here(seed: int, name: str) -> None:
    signs = noise.signs(noise.key(seed, name), 0, 1_000_000, CPU)

    assert hashlib.sha256(signs.numpy().tobytes()).hexdigest() == GOLDEN[seed, name]


def test_golden_hashes_hold_without_vector_instructions() -> None:
    """The test above runs with the widest ones that this processor has."""
    assert hashes("cpu", ATEN_CPU_CAPABILITY="default") == list(GOLDEN.values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_golden_hashes_hold_on_a_gpu() -> None:
    assert hashes("cuda") == list(GOLDEN.values())


@pytest.mark.parametrize("block", [64, 192, 4096, noise.BLOCK_ELEMENTS])
def test_blocks_give_what_the_whole_gives(block: int) -> None:
    whole = torch.zeros(5000)
    pieces = torch.zeros(5000)

    noise.add_scaled(whole, "w", 3, 0.5)
    noise.add_scaled(pieces, "w", 3, 0.5, block)

    assert torch.equal(whole, pieces)
    assert whole[:70].tolist() == [0.5 * plain(3, "w", place) for place in range(70)]


@pytest.mark.parametrize("shape", [(), (1,), (63,), (7, 11)])
def test_shapes_that_fill_no_word_are_served(shape: tuple[int, ...]) -> None:
    target = torch.zeros(shape)

    noise.add_scaled(target, "w", 3, 1.0)

    assert torch.equal(target.abs(), torch.ones(shape))


def test_names_and_seeds_give_independent_signs() -> None:
    count = 100_000
    rows = torch.tensor(
        [drawn(seed, name, 0, count) for seed, name in ((1, "a"), (2, "a"), (1, "b"))], dtype=torch.float64
    )

    means = rows @ rows.T / count

    # Six standard deviations of a mean of independent signs.
    assert (means - torch.eye(3, dtype=torch.float64)).abs().max() < 6 / count**0.5
    assert rows.mean(dim=1).abs().max() < 6 / count**0.5


def test_step_seeds_differ_and_are_fixed() -> None:
    seeds = [noise.step_seed(5, index) for index in range(1000)]

    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seeds[0] == noise.step_seed(5, 0) != noise.step_seed(6, 0)


def chance(seed: int, name: str, index: int) -> float:
    """The number between 0 and 1 by the words of the definition, from the signs of the same stream."""
    bits = [plain(seed, "rounding of " + name, 32 * index + place) == 1 for place in range(8, 32)]
    return (sum(bit << place for place, bit in enumerate(bits)) + 0.5) / 2**24


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("block", [64, noise.BLOCK_ELEMENTS])
def test_half_precision_is_rounded_as_the_definition_says(dtype: Any, block: int) -> None:
    # Great and small, both signs, zeros, numbers at a change of the exponent, and subnormal ones.
    values = torch.cat(
        [torch.linspace(-1, 1, 150), torch.tensor([0.0, 1.0, -0.5, 2e-5, 6e-8, -1e-39, 5.9e4])]
    )
    target = values.to(dtype)
    wide = target.float() * 0.9 + 1e-3 * noise.signs(noise.key(5, "w"), 0, len(values), CPU).float()

    noise.change(target, "w", 5, 1e-3, 0.9, block)

    everything = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype).double()
    numbers = everything[torch.isfinite(everything)].unique()
    for index, value in enumerate(wide.double().tolist()):
        below, above = float(numbers[numbers <= value].max()), float(numbers[numbers >= value].min())
        near, other = sorted((below, above), key=lambda number: abs(number - value))
        is_other = chance(5, "w", index) * (above - below) < abs(value - near)
        assert float(target[index]) == (other if is_other else near), (index, value)


def test_rounding_by_chance_has_the_right_mean() -> None:
    target = torch.full((200_000,), 0.75, dtype=torch.bfloat16)

    noise.change(target, "w", 5, 0.0, 1 + 1e-4)

    # The distance between two numbers is 2**-8; six standard deviations of the mean.
    assert abs(float(target.double().mean()) - 0.75 * (1 + 1e-4)) < 6 * 2**-8 * 0.14 / 200_000**0.5
    assert target.unique().tolist() == [0.75, 0.75 + 2**-8]


def test_change_of_float32_is_the_product_and_then_the_sum() -> None:
    target = torch.linspace(-1, 1, 100)
    expected = target.mul(0.9)
    noise.add_scaled(expected, "w", 5, 1e-3)

    noise.change(target, "w", 5, 1e-3, 0.9)

    assert torch.equal(target, expected)


@pytest.mark.parametrize("block", [0, -64, 100])
def test_block_that_cuts_a_word_is_refused(block: int) -> None:
    with pytest.raises(ValueError, match="multiple of 64"):
        noise.add_scaled(torch.zeros(8), "w", 1, 1.0, block)


def test_tensor_whose_copy_would_be_changed_is_refused() -> None:
    target: Any = torch.zeros(4, 4).t()[:2]

    with pytest.raises(RuntimeError):
        noise.add_scaled(target, "w", 1, 1.0)
