"""A loaded tiny model, ready to be compressed, and choices as the trial check makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from edgerig_workload import compress, models, trial
from edgerig_workload.learn.context import Questions
from edgerig_workload.models import Loaded
from edgerig_workload.tasks.items import load
from edgerig_workload.tasks.spec import TaskSpec

torch.set_num_threads(1)


@pytest.fixture
def llama(llama_folder: Path) -> Loaded:
    return models.load(llama_folder, "float32", torch.device("cpu"))


@pytest.fixture
def wide() -> LlamaForCausalLM:
    """A model whose layers are as wide as the blocks of NF4, 64 weights."""
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def adapted() -> Callable[[Any], tuple[list[Any], list[float]]]:
    """Trains adapters on all linear layers for eight steps; gives their weights and the losses."""

    def train(model: Any) -> tuple[list[Any], list[float]]:
        ids = torch.arange(4, 36)[None]
        wrapped = get_peft_model(model, LoraConfig(r=2, lora_alpha=4, target_modules="all-linear"))
        weights = [weight for weight in wrapped.parameters() if weight.requires_grad]
        optimiser = torch.optim.Adam(weights, lr=0.02)
        losses = []
        for _ in range(8):
            optimiser.zero_grad()
            loss = wrapped(input_ids=ids, labels=ids).loss
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return weights, losses

    return train


@pytest.fixture
def t5(t5_folder: Path) -> Loaded:
    return models.load(t5_folder, "float32", torch.device("cpu"))


@pytest.fixture
def material(trial_document: dict[str, Any], data_file: Path) -> compress.Material:
    return compress.Material(Questions(TaskSpec.from_trial(trial_document["task"]), load(data_file)), seed=3)


@pytest.fixture
def choose(trial_document: dict[str, Any]) -> Callable[..., trial.Choice]:
    """Returns a choice with the catalogue's defaults filled in."""

    def choice(kind: str, **parameters: Any) -> trial.Choice:
        parsed = trial.parse({**trial_document, "compression": {"kind": kind, "parameters": parameters}})
        return parsed.compression

    return choice
