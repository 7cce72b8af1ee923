"""Which parameters a method trains: adapters put into the model, all else frozen.

Knows peft and module names, and nothing of gradients, steps or data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model

from edgerig_workload.faults import WorkerFault
from edgerig_workload.models import Loaded

ALL_LINEAR = "all-linear"
_NAMES_SHOWN = 20


@dataclass(frozen=True)
class TrainableSet:
    """The parameters that learn, in the order of their names. The model holds them in place."""

    parameters: Sequence[Any]
    adapted: Any

    @property
    def count(self) -> int:
        """Number of trained numbers."""
        return sum(parameter.numel() for parameter in self.parameters)

    def save(self, folder: Path) -> int:
        """Write the adapter as safetensors and return the bytes of its weights."""
        folder.mkdir(parents=True, exist_ok=True)
        self.adapted.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
        return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def lora(loaded: Loaded, *, rank: int, alpha: float, dropout: float, targets: str) -> TrainableSet:
    """Put low-rank adapters into the model's linear layers; the model is a no-op of itself at first.

    Raises:
        WorkerFault: of class bad_model, where a target names no linear layer.
    """
    wanted = ALL_LINEAR if targets.strip() == ALL_LINEAR else _names(loaded.model, targets)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=wanted,
        task_type=TaskType.SEQ_2_SEQ_LM if loaded.encoder_decoder else TaskType.CAUSAL_LM,
    )
    adapted = get_peft_model(loaded.model, config)
    named = sorted((name, weight) for name, weight in adapted.named_parameters() if weight.requires_grad)
    return TrainableSet([weight for _, weight in named], adapted)


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
