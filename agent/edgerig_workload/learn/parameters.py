"""A set of parameters that learn: where the model holds them, how many they are, how they are saved.

Knows parameters and files, and nothing of adapters, gradients, steps or data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrainableSet:
    """The parameters that learn, under their names in the model, which holds them in place.

    `write` saves what was learnt into a folder; `prompt_tokens` is the room that the
    method itself takes from the model's context.
    """

    model: Any
    named: tuple[tuple[str, Any], ...]
    write: Callable[[Path], None]
    prompt_tokens: int = 0

    @property
    def parameters(self) -> list[Any]:
        """The parameters in the order of their names."""
        return [weight for _, weight in self.named]

    @property
    def count(self) -> int:
        """Number of trained numbers."""
        return sum(weight.numel() for _, weight in self.named)

    def save(self, folder: Path) -> int:
        """Write what was learnt as safetensors and return the bytes of its weights."""
        folder.mkdir(parents=True, exist_ok=True)
        self.write(folder)
        return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def learning(model: Any) -> tuple[tuple[str, Any], ...]:
    """List the parameters that take gradients, by name; a tied one stands once."""
    return tuple(sorted((name, weight) for name, weight in model.named_parameters() if weight.requires_grad))
