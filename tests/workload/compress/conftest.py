"""A loaded tiny model, ready to be compressed, and choices as the trial check makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

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
