"""Which layers of a model a transform works on, and how one is exchanged for another.

Works by module names alone: a transform changes linear layers and leaves norms,
embeddings and the output head as they are. Knows no number formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from torch import nn

from edgerig_workload.faults import WorkerFault


@dataclass(frozen=True)
class Layer:
    """A linear layer and the name under which the model holds it."""

    name: str
    module: Any


@dataclass(frozen=True)
class Block:
    """Linear layers that stand in one repeated block, such as `model.layers.3`."""

    name: str
    layers: tuple[Layer, ...]


def linears(model: Any) -> list[Layer]:
    """List the linear layers inside the model, in the model's order and without its output head.

    Raises:
        WorkerFault: of class bad_model, where there are none.
    """
    head = model.get_output_embeddings()
    found = [
        Layer(name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    ]
    if not found:
        kinds = sorted({type(module).__name__ for module in model.modules() if not list(module.children())})
        raise WorkerFault(
            "bad_model",
            "this model has no torch.nn.Linear layers besides its output head, and only those are "
            f"compressed; it has {', '.join(kinds)}. Choose compression none",
        )
    return found


def blocks(layers: Sequence[Layer]) -> list[Block]:
    """Group layers by the repeated block they stand in; a layer outside of blocks is its own."""
    return [Block(name, tuple(group)) for name, group in groupby(layers, lambda layer: _block_name(layer))]


def _block_name(layer: Layer) -> str:
    parts = layer.name.split(".")
    for place, part in enumerate(parts):
        if part.isdigit():
            return ".".join(parts[: place + 1])
    return layer.name


def replace(model: Any, name: str, module: Any) -> None:
    """Put a module in the place of the linear layer called `name`, which loses its weight.

    Whoever still lists the old layer so holds no memory.
    """
    parent, _, child = name.rpartition(".")
    model.get_submodule(name).weight = None
    setattr(model.get_submodule(parent), child, module)
