"""Parameters of the model itself that learn while the rest is frozen: all, biases, norms or last layers.

Knows module names and kinds, and nothing of gradients, steps or data.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from edgerig_workload.faults import WorkerFault
from edgerig_workload.learn.parameters import TrainableSet, learning
from edgerig_workload.models import Loaded

FILE = "trained.safetensors"


def full(loaded: Loaded) -> TrainableSet:
    """Let every parameter learn.

    Raises:
        WorkerFault: of class precondition, where the layers are compressed.
    """
    return _only(loaded, "full", loaded.model.parameters())


def last_layers(loaded: Loaded, count: int) -> TrainableSet:
    """Let the last `count` blocks learn, those of the decoder where there are two stacks.

    Raises:
        WorkerFault: of class bad_model, where the model has no list of blocks; of class
            precondition, where their layers are compressed.
    """
    blocks = _blocks(loaded.model)
    return _only(loaded, "last-k", (weight for block in blocks[-count:] for weight in block.parameters()))


def norms(loaded: Loaded) -> TrainableSet:
    """Let the scales and shifts of all normalisation layers learn (arXiv 2312.11420).

    Raises:
        WorkerFault: of class bad_model, where no module is called a norm.
    """
    found = [
        weight
        for module in loaded.model.modules()
        if "norm" in type(module).__name__.lower() and not list(module.children())
        for weight in module.parameters()
    ]
    return _only(loaded, "layer-norm", found)


def biases(loaded: Loaded) -> TrainableSet:
    """Let all biases learn (BitFit, arXiv 2106.10199).

    Linear layers without a bias get one of zeros, which changes nothing at first: most
    models of today have none. The output head is left as it is.
    """
    model = loaded.model
    head = model.get_output_embeddings()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and module is not head and module.bias is None:
            zeros = torch.zeros(module.out_features, dtype=module.weight.dtype, device=module.weight.device)
            module.bias = torch.nn.Parameter(zeros)
    return _only(loaded, "bitfit", [weight for name, weight in model.named_parameters() if _is_bias(name)])


def _is_bias(name: str) -> bool:
    return name.rpartition(".")[2] == "bias"


def _blocks(model: Any) -> list[Any]:
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    lists: list[Any] = [module for module in decoder.modules() if isinstance(module, torch.nn.ModuleList)]
    if not lists:
        raise WorkerFault("bad_model", "this model has no list of layers of which the last could be trained")
    # Blocks may hold lists of their own; the stack is the list with the most parameters.
    sizes = [sum(weight.numel() for weight in found.parameters()) for found in lists]
    return list(lists[sizes.index(max(sizes))])


def _only(loaded: Loaded, kind: str, chosen: Iterable[Any]) -> TrainableSet:
    weights = [weight for weight in chosen if weight.is_floating_point()]
    loaded.model.requires_grad_(False)
    for weight in weights:
        weight.requires_grad_(True)
    if not weights:
        raise WorkerFault("bad_model", f"this model has no parameters that method {kind} could train")
    named = learning(loaded.model)

    def write(folder: Path) -> None:
        save_file({name: weight.detach().contiguous().cpu() for name, weight in named}, folder / FILE)

    return TrainableSet(loaded.model, named, write)
