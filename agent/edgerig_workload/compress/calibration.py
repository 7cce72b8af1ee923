"""Shows a model real inputs, block by block, so that a transform sees what its layers are given.

A block is looked at after all earlier ones were transformed, as in Frantar & Alistarh,
arXiv 2301.00774. The published code keeps the inputs of a block for all samples; here
every block begins again at the tokens and stops behind itself, which costs time and
next to no memory, and works for every order of layers. Knows no scores or grids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from typing import Any, Protocol, TypeVar

import torch

from edgerig_workload.compress import Material
from edgerig_workload.compress.layers import Block, Layer, blocks
from edgerig_workload.faults import WorkerFault
from edgerig_workload.learn.examples import Sample, collate, pooled_pairs, shuffled, tokenise
from edgerig_workload.models import Loaded
from edgerig_workload.trial import Choice

HISTORIES = "histories"
# All of every user's history, whatever part of it the trial's method is given:
# cells that differ in history alone are then calibrated on the same samples.
_WHOLE_HISTORY = -1


class Statistic(Protocol):
    """Something that is learnt of a layer's inputs."""

    def add(self, inputs: torch.Tensor) -> None:
        """Take inputs of shape (tokens, columns) in."""
        ...


S = TypeVar("S", bound=Statistic)


def inputs(loaded: Loaded, choice: Choice, material: Material) -> list[dict[str, Any]]:
    """Make the model inputs of a calibration, one sample each and so without padding.

    Raises:
        WorkerFault: of class bad_data, where the histories of a task are asked for and there are none.
    """
    count, tokens = choice.integer("samples"), min(choice.integer("tokens"), loaded.max_tokens)
    if choice.text("calibration") == HISTORIES:
        samples = _histories(loaded, material, count, tokens)
    else:
        samples = _random(loaded, material.seed, count, tokens)
    return [_model_inputs(loaded, sample) for sample in samples]


def _histories(loaded: Loaded, material: Material, count: int, tokens: int) -> list[Sample]:
    if material.questions is None:
        raise WorkerFault(
            "bad_data",
            "this compression calibrates on the histories of a task, and the trial names no task; "
            "name one, or set calibration: random-tokens",
        )
    pairs = pooled_pairs(material.questions, _WHOLE_HISTORY)
    places = islice(shuffled(len(pairs), material.seed), min(count, len(pairs)))
    return tokenise(loaded, [pairs[place] for place in places], tokens)


def _random(loaded: Loaded, seed: int, count: int, tokens: int) -> list[Sample]:
    generator = torch.Generator().manual_seed(seed % 2**63)
    vocabulary = len(loaded.tokenizer)
    ids = torch.randint(0, vocabulary, (count, tokens), generator=generator).tolist()
    # An encoder reads the prompt and its decoder the answer: both are given tokens.
    return [Sample(tuple(row[: tokens // 2]), tuple(row[tokens // 2 :])) for row in ids]


def _model_inputs(loaded: Loaded, sample: Sample) -> dict[str, Any]:
    given = collate(loaded, [sample]).inputs
    if not loaded.encoder_decoder:
        # Nothing behind the layers is computed, the loss least of all.
        del given["labels"]
    return given


def walk(
    loaded: Loaded,
    layers: Sequence[Layer],
    given: Sequence[Mapping[str, Any]],
    new: Callable[[int, torch.device], S],
    change: Callable[[Layer, S], None],
) -> None:
    """Go through the blocks: observe the inputs of a block's layers, change each, go on.

    Args:
        loaded: the model, which is changed by `change`.
        layers: the layers to change, in the order of the model.
        given: model inputs.
        new: makes an empty statistic for a number of columns on a device.
        change: is given each layer with the statistic of its inputs.
    """
    for block in blocks(layers):
        found = _observe(loaded, block, given, new)
        for layer in block.layers:
            change(layer, found[layer.name])


def _observe(
    loaded: Loaded,
    block: Block,
    given: Sequence[Mapping[str, Any]],
    new: Callable[[int, torch.device], S],
) -> dict[str, S]:
    found = {layer.name: new(layer.module.in_features, loaded.device) for layer in block.layers}
    with ExitStack() as hooks, torch.no_grad():
        for layer in block.layers:
            hooks.enter_context(_listening(layer, found[layer.name]))
        stop = loaded.model.get_submodule(block.name).register_forward_hook(_stop)
        hooks.callback(stop.remove)
        for batch in given:
            with suppress(_BlockEnd):
                loaded.model(**batch, use_cache=False)
    return found


class _BlockEnd(Exception):  # noqa: N818 - ends a forward pass on purpose, is no error
    """Nothing behind the block is needed."""


def _stop(*_: Any) -> None:
    raise _BlockEnd


@contextmanager
def _listening(layer: Layer, statistic: Statistic) -> Iterator[None]:
    def take(module: Any, arguments: tuple[torch.Tensor, ...]) -> None:
        # A hook that returned something would replace the layer's input.
        statistic.add(arguments[0].detach().reshape(-1, module.in_features))

    handle = layer.module.register_forward_pre_hook(take)
    try:
        yield
    finally:
        handle.remove()
