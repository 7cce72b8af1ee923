"""Adapters of peft that put parameters which learn into the layers of a model; all else is frozen.

Knows peft and module names, and nothing of gradients, steps or data. Which of a
model's own parameters may learn is `subsets`, what stands before its input `soft_prompts`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import IA3Config, LoraConfig, TaskType, get_peft_model

from edgerig_workload.faults import WorkerFault
from edgerig_workload.learn.parameters import TrainableSet, learning
from edgerig_workload.models import Loaded

ALL_LINEAR = "all-linear"
_NAMES_SHOWN = 20
# What a catalogue calls an initialisation, and what peft does.
_INITIALISATIONS: dict[str, bool | str] = {
    "default": True,
    "gaussian": "gaussian",
    "pissa": "pissa",
    "olora": "olora",
}


def task_type(loaded: Loaded) -> TaskType:
    """Return what peft calls this kind of model."""
    return TaskType.SEQ_2_SEQ_LM if loaded.encoder_decoder else TaskType.CAUSAL_LM


def writer(adapted: Any) -> Callable[[Path], None]:
    """Return the function that saves a peft adapter in peft's own format."""

    def write(folder: Path) -> None:
        adapted.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)

    return write


def lora(
    loaded: Loaded,
    *,
    rank: int,
    alpha: float,
    dropout: float,
    targets: str,
    rslora: bool = False,
    dora: bool = False,
    init: str = "default",
) -> TrainableSet:
    """Put low-rank adapters into the model's linear layers (LoRA, arXiv 2106.09685).

    With the initialisations `default` and `gaussian` the model is a no-op of itself
    at first; `pissa` (arXiv 2404.02948) and `olora` (arXiv 2406.01775) move a part of
    each weight into its adapter, so that the sum is the weight up to rounding.

    Args:
        rank, alpha: the update is scaled by alpha / rank.
        dropout: before the adapters, while training.
        targets: `all-linear`, or layer names separated by commas.
        rslora: scale by alpha / sqrt(rank) instead (arXiv 2312.03732).
        dora: train a magnitude for each output besides (arXiv 2402.09353).
        init: a name out of the catalogue.

    Raises:
        WorkerFault: of class bad_model, where a target names no linear layer.
    """
    wanted = ALL_LINEAR if targets.strip() == ALL_LINEAR else _names(loaded.model, targets)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=wanted,
        use_rslora=rslora,
        use_dora=dora,
        init_lora_weights=_INITIALISATIONS[init],
        task_type=task_type(loaded),
    )
    adapted = get_peft_model(loaded.model, config)
    return TrainableSet(
        loaded.model, learning(loaded.model), writer(adapted), unload=adapted.merge_and_unload
    )


def ia3(loaded: Loaded) -> TrainableSet:
    """Put a factor before or behind each number of keys, values and feed-forward layers (arXiv 2205.05638).

    All factors are 1 at first. peft knows the layers of the common model families.

    Raises:
        WorkerFault: of class bad_model, where peft does not know the family.
    """
    try:
        adapted = get_peft_model(loaded.model, IA3Config(task_type=task_type(loaded)))
    except ValueError as error:
        kind = loaded.model.config.model_type
        raise WorkerFault(
            "bad_model", f"peft knows no IA3 layers for models of type {kind!r}; use lora instead: {error}"
        ) from error
    return TrainableSet(
        loaded.model, learning(loaded.model), writer(adapted), unload=adapted.merge_and_unload
    )


def _names(model: Any, targets: str) -> list[str]:
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    wanted = [name.strip() for name in targets.split(",") if name.strip()]
    absent = [name for name in wanted if name not in linear]
    if absent or not wanted:
        there = ", ".join(sorted(linear)[:_NAMES_SHOWN])
        raise WorkerFault(
            "bad_model",
            f"LoRA targets {', '.join(absent) or '(none)'} are no linear layers of this model; "
            f"it has {there}",
        )
    return wanted
