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
    method itself takes from the model's context; `unload` adds adapters to the weights
    beside which they stand and takes them out, None where there are none.
    """

    model: Any
    named: tuple[tuple[str, Any], ...]
    write: Callable[[Path], None]
    prompt_tokens: int = 0
    unload: Callable[[], Any] | None = None

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

    def merge(self) -> None:
        """Leave a model that is dense again, holds what was learnt in its weights, and learns no more.

        Not for what stands before the input (`prompt_tokens`): it is in no weight.
        """
        assert not self.prompt_tokens, "virtual tokens are in no weight"
        if self.unload is not None:
            self.unload()
        for weight in self.model.parameters():
            weight.grad = None
        self.model.requires_grad_(False)


def learning(model: Any) -> tuple[tuple[str, Any], ...]:
    """List the parameters that take gradients, by name; a tied one stands once."""
    return tuple(sorted((name, weight) for name, weight in model.named_parameters() if weight.requires_grad))
