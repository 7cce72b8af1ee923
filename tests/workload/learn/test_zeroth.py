"""Zeroth-order learning: the checks T-ZO1 to T-ZO5 on a quadratic and on tiny models."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from edgerig_workload import models, noise  # noqa: E402 - imports torch at its top
from edgerig_workload.learn import subsets  # noqa: E402
from edgerig_workload.learn.examples import Batch  # noqa: E402
from edgerig_workload.learn.losses import answer_loss  # noqa: E402
from edgerig_workload.learn.zeroth import (  # noqa: E402
    Displaced,
    InPlaceSgd,
    ZerothOrder,
    replay,
)

ROOT = Path(__file__).parents[3]
NOTHING = Batch({}, 1, 1)
RATE = 1e-3


def weights(dtype: Any = torch.float32) -> list[tuple[str, Any]]:
    torch.manual_seed(11)
    return [
        (name, torch.randn(shape).mul_(0.02).to(dtype)) for name, shape in (("a", (40, 30)), ("b", (70,)))
    ]


def copies(named: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [(name, weight.detach().clone()) for name, weight in named]


def distance(named: list[tuple[str, Any]], other: list[tuple[str, Any]]) -> float:
    """Norm of the difference over the norm of `other`."""
    pairs = list(zip(named, other, strict=True))
    apart = sum(
        float((one.detach().double() - two.detach().double()).pow(2).sum()) for (_, one), (_, two) in pairs
    )
    return math.sqrt(apart / sum(float(two.detach().double().pow(2).sum()) for _, two in other))


def estimator(named: list[tuple[str, Any]], loss_of: Callable[[Batch], float], **changes: Any) -> ZerothOrder:
    snapshot = changes.pop("snapshot", False)
    return ZerothOrder(loss_of, Displaced(named, snapshot), **{"seed": 5, "epsilon": 1e-3, **changes})


def quadratic(named: list[tuple[str, Any]]) -> Callable[[Batch], float]:
    """A loss whose gradient is known: half the squared distance to 0.5 in every number."""

    def loss_of(_batch: Batch) -> float:
        return sum(float((weight.double() - 0.5).pow(2).sum()) / 2 for _, weight in named)

    return loss_of


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(4, 320, (3, 12), generator=generator)
    labels = ids.clone()
    labels[:, :8] = -100
    labels[1, 10:] = -100
    mask = torch.ones_like(ids)
    mask[1, 10:] = 0
    return Batch({"input_ids": ids, "attention_mask": mask, "labels": labels}, 3, 34)


@pytest.fixture
def loaded(llama_folder: Path) -> Any:
    return models.load(llama_folder, "float32", torch.device("cpu"))


def test_zo1_ten_cycles_leave_float32_where_it_was() -> None:
    named = weights()
    before = copies(named)
    displaced = Displaced(named, snapshot=False)

    for seed in range(10):
        displaced.move(seed, 1e-3)
        displaced.move(seed, -1e-3)
        displaced.step(seed, 0.0)

    assert 0 < distance(named, before) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_zo1_snapshots_restore_half_precision_bit_for_bit(dtype: Any) -> None:
    named, drifting = weights(dtype), weights(dtype)
    before = copies(named)

    for target, snapshot in ((named, True), (drifting, False)):
        displaced = Displaced(target, snapshot)
        for seed in range(10):
            displaced.move(seed, 1e-3)
            displaced.move(seed, -1e-3)
            displaced.step(seed, 0.0)

    assert distance(named, before) == 0.0
    # The reason for snapshots.
    assert distance(drifting, before) > 1e-4


def test_zo2_mean_of_many_directions_is_the_gradient() -> None:
    named = [("w", torch.linspace(-1, 1, 100))]
    gradient = named[0][1].double() - 0.5
    measured = estimator(named, quadratic(named), directions=10_000)

    measured.estimate(NOTHING)

    total = torch.zeros(100, dtype=torch.float64)
    for slope in measured.found:
        noise.add_scaled(total, "w", slope.seed, slope.value)
    mean = total / 10_000
    assert torch.nn.functional.cosine_similarity(mean, gradient, dim=0) > 0.99
    assert torch.allclose(mean.norm(), gradient.norm(), rtol=0.02)


@pytest.mark.parametrize("epsilon", [0.2, 0.1])
def test_zo2_slope_is_the_exact_one_up_to_the_square_of_epsilon(epsilon: float) -> None:
    named = [("w", torch.linspace(-1, 1, 100, dtype=torch.float64))]
    value = named[0][1].clone()

    def loss_of(_batch: Batch) -> float:
        return float(named[0][1].sin().sum())

    measured = estimator(named, loss_of, epsilon=epsilon)
    measured.estimate(NOTHING)

    [slope] = measured.found
    z = torch.zeros(100, dtype=torch.float64)
    noise.add_scaled(z, "w", slope.seed, 1.0)
    exact = float((value.cos() * z).sum())
    # The next term of the Taylor series: epsilon^2 / 6 times the third derivative along z.
    third = float((-value.cos() * z**3).sum())
    assert math.isclose(slope.value, exact + epsilon**2 / 6 * third, abs_tol=100 * epsilon**4 / 120 * 1.01)
    assert slope.value != exact


def trained(loaded: Any, batch: Batch, steps: int, **changes: Any) -> tuple[Any, InPlaceSgd]:
    chosen = subsets.last_layers(loaded, 1)
    measured = estimator(
        list(chosen.named), lambda given: answer_loss(loaded.model, given), **{"epsilon": 1e-3, **changes}
    )
    optimiser = InPlaceSgd(measured, rate=RATE)
    for index in range(steps):
        measured.estimate(batch)
        optimiser.step(index)
    return chosen, optimiser


def test_zo3_replaying_seeds_and_slopes_rebuilds_what_was_trained(llama_folder: Path, batch: Batch) -> None:
    one, other = (models.load(llama_folder, "float32", torch.device("cpu")) for _ in range(2))
    start = copies(list(subsets.last_layers(other, 1).named))
    chosen, optimiser = trained(one, batch, 30)
    rebuilt = subsets.last_layers(other, 1)

    replay(rebuilt.named, optimiser.log, RATE)

    assert distance(list(rebuilt.named), list(chosen.named)) <= 1e-6
    assert distance(start, list(chosen.named)) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_zo3_half_precision_is_rebuilt_to_the_bit(dtype: Any) -> None:
    named = weights(dtype)
    rebuilt = copies(named)
    measured = estimator(named, quadratic(named), snapshot=True)
    optimiser = InPlaceSgd(measured, rate=1e-6)

    for index in range(20):
        measured.estimate(NOTHING)
        optimiser.step(index)
    replay(rebuilt, optimiser.log, 1e-6)

    assert all(torch.equal(one, two) for (_, one), (_, two) in zip(named, rebuilt, strict=True))


@pytest.mark.parametrize(("dtype", "change"), [(torch.bfloat16, 1e-3), (torch.float16, 1e-4)])
def test_steps_below_the_types_own_add_up(dtype: Any, change: float) -> None:
    named = [("w", torch.full((2, 2000), 0.75, dtype=dtype))]
    displaced = Displaced(named, snapshot=True)
    total = torch.zeros(2, 2000, dtype=torch.float64)

    for index in range(200):
        seed = noise.step_seed(9, index)
        before = named[0][1].double()
        displaced.move(seed, 1e-2)
        displaced.step(seed, change)
        signs = torch.zeros_like(total)
        noise.add_scaled(signs, "w", seed, 1.0)
        total += (named[0][1].double() - before) * signs

    # Along the signs of each step, 200 steps in all; those of single numbers scatter around it.
    assert math.isclose(float(total.mean()), 200 * change, rel_tol=0.1)


def test_decay_below_the_types_own_step_adds_up() -> None:
    named = [("w", torch.full((2, 2000), 0.75, dtype=torch.bfloat16))]
    displaced = Displaced(named, snapshot=True)

    for seed in range(200):
        displaced.move(seed, 1e-2)
        displaced.step(seed, 0.0, shrink=1 - 1e-3)

    assert math.isclose(float(named[0][1].double().mean()), 0.75 * (1 - 1e-3) ** 200, rel_tol=0.02)


def test_zo5_frozen_parameters_keep_their_bits(loaded: Any, batch: Batch) -> None:
    before = {name: weight.detach().clone() for name, weight in loaded.model.named_parameters()}

    chosen, _ = trained(loaded, batch, 3)

    learnt = {name for name, _ in chosen.named}
    for name, weight in loaded.model.named_parameters():
        assert torch.equal(weight, before[name]) is (name not in learnt), name


def test_loss_falls_on_one_batch(loaded: Any, batch: Batch) -> None:
    before = answer_loss(loaded.model, batch)

    trained(loaded, batch, 120)

    assert answer_loss(loaded.model, batch) < 0.95 * before


@pytest.mark.parametrize("directions", [1, 3])
@pytest.mark.parametrize("snapshot", [False, True])
def test_step_is_that_of_the_algorithm_written_out(directions: int, snapshot: bool) -> None:
    named = weights()
    plain = copies(named)
    measured = estimator(named, quadratic(named), directions=directions, snapshot=snapshot)
    optimiser = InPlaceSgd(measured, rate=1e-2, weight_decay=0.1)

    measured.estimate(NOTHING)
    slopes = list(measured.found)
    optimiser.step(0)

    for name, weight in plain:
        if weight.dim() > 1:
            weight.mul_(1 - 1e-2 * 0.1)
        for slope in slopes:
            z = torch.zeros_like(weight)
            noise.add_scaled(z, name, slope.seed, 1.0)
            weight.sub_(z * (1e-2 * slope.value / directions))
    assert len(slopes) == directions
    assert distance(named, plain) < 1e-6


@pytest.mark.parametrize("bad", [1, 2, 4])
def test_loss_that_is_no_number_skips_the_step_after_restoring(bad: int) -> None:
    named = weights()
    before = copies(named)
    sound = quadratic(named)
    calls = iter(range(1, 7))
    measured = estimator(named, lambda given: math.nan if next(calls) == bad else sound(given), directions=2)
    optimiser = InPlaceSgd(measured, rate=1e-2)

    loss = measured.estimate(NOTHING)
    optimiser.step(0)

    assert math.isnan(loss)
    assert distance(named, before) < 1e-7
    assert optimiser.log == []


def test_loss_in_little_memory_is_the_models_own(loaded: Any, batch: Batch) -> None:
    with torch.no_grad():
        own = float(loaded.model(**batch.inputs, use_cache=False).loss)

    assert math.isclose(answer_loss(loaded.model, batch), own, rel_tol=1e-6)


# A process of its own, so that nothing of other tests is in its resident set. Inference is
# the whole forward pass of the same batch without a cache.
PROGRAM = """
import json, torch
from transformers import LlamaConfig, LlamaForCausalLM
from edgerig_workload.learn.examples import Batch
from edgerig_workload.learn.losses import answer_loss
from edgerig_workload.learn.parameters import learning
from edgerig_workload.learn.zeroth import Displaced, InPlaceSgd, ZerothOrder
from edgerig_workload.phases import ProcResidentSet

torch.manual_seed(1)
memory = ProcResidentSet()
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=8000, hidden_size=512, intermediate_size=1376, num_hidden_layers=3,
    num_attention_heads=8, num_key_value_heads=8, tie_word_embeddings=True)).eval()
ids = torch.randint(0, 8000, (4, 256))
batch = Batch({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}, 4, 1024)

def peak(work):
    work()  # threads and kernels allocate once
    memory.reset()
    start = memory.peak_bytes()
    work()
    return memory.peak_bytes() - start

def inference():
    with torch.inference_mode():
        model(input_ids=ids, attention_mask=batch.inputs["attention_mask"], use_cache=False)

estimator = ZerothOrder(lambda given: answer_loss(model, given), Displaced(learning(model), False), 3, 1e-3)
optimiser = InPlaceSgd(estimator, 1e-6)

def step():
    estimator.estimate(batch)
    optimiser.step(0)

print(json.dumps({"inference": peak(inference), "mezo": peak(step), "method": memory.method}))
"""


def test_zo4_a_step_takes_the_memory_of_inference() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        # Freed memory goes back to the system at once, so that each peak is that of its own work.
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT / "agent"),
            "MALLOC_MMAP_THRESHOLD_": "65536",
            "MALLOC_TRIM_THRESHOLD_": "65536",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    if found["method"] != "vmhwm_reset":
        pytest.skip("this kernel does not let a process reset its high-water mark")

    # Without the parameters' copy that the model of 15 million numbers would need.
    assert found["mezo"] <= 1.05 * found["inference"], found
