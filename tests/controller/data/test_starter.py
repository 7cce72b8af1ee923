"""The starter models in the package: complete, safe to load, and as good as their reports say."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgerig_controller.data import synthetic

ROOT = Path(__file__).resolve().parents[3]
STARTER = Path(synthetic.__file__).parent / "starter"
SIZES = ("tiny", "small", "large")
FILES = {
    "MODEL_CARD.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "training.json",
}
TOTAL_BYTES = 4_500_000


def report(size: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((STARTER / size / "training.json").read_text())
    return loaded


@pytest.fixture(scope="module")
def trainer() -> ModuleType:
    pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location("train_starter", ROOT / "examples/train_starter.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_models_are_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in STARTER.rglob("*") if path.is_file()) < TOTAL_BYTES


@pytest.mark.parametrize("size", SIZES)
def test_a_folder_has_its_files_and_nothing_else(size: str) -> None:
    assert {path.name for path in (STARTER / size).iterdir()} == FILES


@pytest.mark.parametrize("size", SIZES)
def test_the_report_is_that_of_the_weights(size: str) -> None:
    weights = (STARTER / size / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == report(size)["weights_sha256"]


@pytest.mark.parametrize("size", SIZES)
def test_the_report_is_that_of_the_script(size: str, trainer: ModuleType) -> None:
    found = report(size)
    wanted = vars(trainer.SIZES[size])
    assert {name: found[name] for name in wanted} == wanted
    assert (found["seed"], found["batch"]) == (trainer.SEED, trainer.BATCH)


@pytest.mark.parametrize("size", SIZES)
def test_the_held_out_loss_is_at_most_half_of_guessing(size: str) -> None:
    found = report(size)
    assert found["held_out_loss_nats_per_token"] <= 0.5 * math.log(found["vocabulary"])


def test_the_held_out_loss_falls_with_size() -> None:
    losses = [report(size)["held_out_loss_nats_per_token"] for size in SIZES]
    assert losses[0] > losses[1] > losses[2]


def test_parameters_grow_with_size() -> None:
    counts = [report(size)["parameters"] for size in SIZES]
    assert counts == sorted(counts)
    assert 80_000 < counts[0] < 160_000 < 300_000 < counts[1] < 500_000 < 1_200_000 < counts[2] < 1_800_000


def test_the_reported_loss_is_found_again(trainer: ModuleType) -> None:
    loss, vocabulary = trainer.stored_loss(STARTER / "tiny")
    assert loss == pytest.approx(report("tiny")["held_out_loss_nats_per_token"], abs=2e-3)
    assert vocabulary == report("tiny")["vocabulary"]


@pytest.mark.parametrize("size", SIZES)
def test_weights_are_stored_in_bfloat16(size: str) -> None:
    safetensors = pytest.importorskip("safetensors")
    with safetensors.safe_open(STARTER / size / "model.safetensors", framework="pt") as stored:
        kinds = {str(stored.get_slice(name).get_dtype()) for name in stored.keys()}  # noqa: SIM118
    assert kinds == {"BF16"}


@pytest.mark.parametrize("size", SIZES)
def test_the_library_loads_the_folder(size: str) -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(STARTER / size)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.config.max_position_embeddings >= 512
    assert model.config.vocab_size == report(size)["vocabulary"]


@pytest.mark.parametrize("size", SIZES)
def test_any_text_survives_the_tokenizer(size: str) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(STARTER / size)
    text = 'Zażółć 漢字 🙂\n\t"quoted", 3.14'
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert max(ids) < report(size)["vocabulary"]


def test_special_tokens_are_four_different_ones() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(STARTER / "tiny")
    ids = {tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}
    assert None not in ids
    assert len(ids) == 4


@pytest.mark.parametrize("size", SIZES)
def test_the_tokenizers_class_is_known_to_both_lines_of_the_library(size: str) -> None:
    config = json.loads((STARTER / size / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
