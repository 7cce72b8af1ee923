"""On real weights: stories260K of llama2.c, where its files are present.

Losses are means over a story that the model tells itself and a few plain English
sentences, in nats a token.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("edgerig_controller.data.llama2c")

import torch

from edgerig_controller.data.llama2c import convert
from edgerig_workload import compress, models
from edgerig_workload.compress import calibration
from edgerig_workload.compress.layers import linears
from edgerig_workload.infer.generate import generate
from edgerig_workload.learn.context import Questions
from edgerig_workload.models import Loaded
from edgerig_workload.tasks.items import Item, ProfileItem
from edgerig_workload.tasks.spec import TaskSpec

ENGLISH = (
    "One day, a little girl named Lily found a needle in her room. She knew it was sharp, so she gave it "
    "to her mom. Tom and his dog went to the park to play with a big red ball. They were very happy."
)
# Beginnings of the stories to calibrate on; losses are measured on other ones.
BEGINNINGS = [
    *(
        "One day, a little",
        "Tom and his",
        "The big dog",
        "Sam saw a",
        "There was a",
        "Mom said",
        "In the park",
    ),
    *("The bird", "Ben had a", "A small cat", "Sara and Tim", "The sun was", "He wanted to", "She was very"),
]
CALIBRATION_TOKENS = 100
STORY_TOKENS = 160


@pytest.fixture(scope="module")
def stories_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = os.environ.get("EDGERIG_TEST_DATA", "")
    source = Path(root) / "models" / "stories260k"
    if not root or not source.is_dir():
        pytest.skip("EDGERIG_TEST_DATA is not set, or holds no models/stories260k")
    out = tmp_path_factory.mktemp("imported") / "stories"
    convert(source / "stories260K.bin", source / "tok512.bin", out)
    return out


@pytest.fixture(scope="module")
def fresh(stories_folder: Path) -> Callable[[], Loaded]:
    return lambda: models.load(stories_folder, "float32", torch.device("cpu"))


@pytest.fixture(scope="module")
def texts(fresh: Callable[[], Loaded]) -> list[list[int]]:
    loaded = fresh()
    begin = loaded.encode("Once upon a time")
    story = generate(loaded, [begin], STORY_TOKENS, lambda text: False)[0]
    return [[*begin, *story], loaded.encode(ENGLISH)]


@pytest.fixture(scope="module")
def material(fresh: Callable[[], Loaded]) -> compress.Material:
    loaded = fresh()
    prompts = [loaded.encode(text) for text in BEGINNINGS]
    stories = generate(loaded, prompts, CALIBRATION_TOKENS, lambda text: False)
    profile = tuple(
        ProfileItem(text, text, loaded.decode(story)) for text, story in zip(BEGINNINGS, stories, strict=True)
    )
    spec = TaskSpec.from_trial(
        {
            "name": "stories",
            "kind": "TASK_KIND_GENERATION",
            "metric": "rouge1_f",
            "prompt": "plain",
            "answer_tokens": 8,
        }
    )
    return compress.Material(Questions(spec, [Item("1", "reader", "Tell a story.", "One.", profile)]), seed=1)


@pytest.fixture
def loss(
    fresh: Callable[[], Loaded], texts: list[list[int]], material: compress.Material, choose: Any
) -> Callable[..., float]:
    def of(kind: str, **parameters: Any) -> float:
        done = compress.transform(kind)(fresh(), choose(kind, **parameters), material)
        return mean_loss(done.loaded, texts)

    return of


def mean_loss(loaded: Loaded, texts: list[list[int]]) -> float:
    total, count = 0.0, 0
    with torch.no_grad():
        for ids in texts:
            batch = torch.tensor([ids])
            total += float(loaded.model(input_ids=batch, labels=batch).loss) * (len(ids) - 1)
            count += len(ids) - 1
    return total / count


def test_fewer_bits_lose_more(loss: Any) -> None:
    found = [loss("none"), *(loss(f"rtn-int{bits}", group=32) for bits in (8, 4, 3))]

    assert all(math.isfinite(value) for value in found)
    assert found[1] == pytest.approx(found[0], abs=0.01)
    assert found[0] < found[2] < found[3]
    # Guessing among 512 tokens would lose 6.2.
    assert found[3] < math.log(512)


def test_more_zeros_lose_more(loss: Any) -> None:
    found = [loss("magnitude", sparsity=share) for share in (0.0, 0.2, 0.4, 0.6)]

    assert all(math.isfinite(value) for value in found)
    assert found == sorted(found)
    assert found[0] == loss("none")


def test_calibrated_pruning_loses_less_than_magnitude(loss: Any) -> None:
    by_size, by_wanda, by_sparsegpt = (loss(kind) for kind in ("magnitude", "wanda", "sparsegpt"))

    assert by_wanda < by_size
    assert by_sparsegpt < by_size


def test_gptq_loses_less_than_rounding_in_three_bits(loss: Any) -> None:
    assert loss("gptq-int3", group=32) < loss("rtn-int3", group=32)


def test_outputs_of_layers_are_ordered_as_published(
    fresh: Callable[[], Loaded], material: compress.Material, choose: Any
) -> None:
    """Summed over the layers of the first block, whose inputs are those of the calibration itself."""
    dense = fresh()
    first = [layer for layer in linears(dense.model) if layer.name.startswith("model.layers.0.")]
    heard: dict[str, list[torch.Tensor]] = {layer.name: [] for layer in first}
    for layer in first:
        layer.module.register_forward_pre_hook(
            lambda module, args, rows=heard[layer.name]: rows.append(args[0].flatten(0, 1)) and None
        )
    with torch.no_grad():
        for sample in calibration.inputs(dense, choose("wanda"), material):
            dense.model(**sample)

    def error(kind: str, **parameters: Any) -> float:
        done = compress.transform(kind)(fresh(), choose(kind, **parameters), material)
        total = 0.0
        for layer in first:
            new = done.loaded.model.get_submodule(layer.name).weight
            x = torch.cat(heard[layer.name])
            total += float((x @ (new - layer.module.weight).detach().T).square().sum())
        return total

    # Wanda compares within rows, and so does the magnitude that it is held against: with one
    # threshold for a layer, magnitude does better on this model's queries and keys.
    assert error("sparsegpt") < error("wanda") < error("magnitude", scope="row")
    assert error("gptq-int4", group=32) < error("rtn-int4", group=32)
