"""Kinds of key-value caches: how each is made for a request, and what it takes.

A kind that this board or this version of a library cannot do is found by doing it,
with numbers, and is an error of its own; nothing is put in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import torch
import transformers

from edgerig_workload.engines.catalog import KV_CACHES
from edgerig_workload.faults import WorkerFault, memory_class
from edgerig_workload.models import Loaded

# Given rows and tokens of a request, the cache to give to the model; None = the model's own.
Maker = Callable[[int, int], Any]

# Back end and bits of transformers' QuantizedCache; quanto and hqq differ in their axes.
_QUANTISED: dict[str, dict[str, Any]] = {
    "fp8": {"backend": "fp8"},
    "quanto-int4": {"backend": "quanto", "nbits": 4},
    "quanto-int2": {"backend": "quanto", "nbits": 2},
    "hqq-int8": {"backend": "hqq", "nbits": 8, "axis_key": 1, "axis_value": 1},
    "hqq-int4": {"backend": "hqq", "nbits": 4, "axis_key": 1, "axis_value": 1},
}
_INSTALL = {"optimum.quanto": "pip install --no-deps optimum-quanto", "hqq": "pip install hqq"}
# Enough tokens for a quantised cache to be written, read and written again.
_TRIAL_TOKENS = 3


def maker(kind: str, loaded: Loaded, taken_tokens: int = 0) -> Maker:
    """Return what makes caches of a kind for a model, after it was tried on that model.

    `taken_tokens` is the room that what was learnt takes before the tokens of every request.

    Raises:
        WorkerFault: of class not_installed, where its library is missing; kernel_missing, where
            it cannot be done on this device or with this model.
    """
    if kind == "dynamic":
        return partial(_made, None)
    if loaded.encoder_decoder:
        raise _missing(kind, "an encoder-decoder runs with its own cache here: use kv_cache dynamic")
    if kind == "offloaded" and loaded.device.type != "cuda":
        raise _missing(kind, "keys and values are taken out of a CUDA device's memory, and there is none")
    for module in KV_CACHES[kind]["requires"]:
        _import(kind, module)
    make = _maker(kind, loaded, taken_tokens)
    _try(kind, make, loaded)
    return make


def stored_bytes(cache: Any) -> int | None:
    """Return the bytes of all tensors that a cache holds; None where it shows none."""
    layers = getattr(cache, "layers", None) or getattr(
        getattr(cache, "self_attention_cache", None), "layers", None
    )
    if layers is None:
        return None
    seen: dict[tuple[str, int], int] = {}
    for layer in layers:
        for tensor in _tensors(vars(layer)):
            seen[str(tensor.device), tensor.data_ptr()] = tensor.numel() * tensor.element_size()
    return sum(seen.values())


def _maker(kind: str, loaded: Loaded, taken_tokens: int) -> Maker:
    config = loaded.model.config
    if kind == "static":
        return partial(_static, config, taken_tokens)
    if kind == "offloaded":
        return partial(_made, partial(transformers.DynamicCache, config=config, offloading=True))
    # Groups are runs of numbers of one head; those of a small model are shorter than the usual 64.
    chosen = dict(_QUANTISED[kind])
    if "nbits" in chosen:
        chosen["q_group_size"] = _group(loaded)
    return partial(_made, partial(transformers.QuantizedCache, config=config, **chosen))


def _made(make: Callable[[], Any] | None, _rows: int, _tokens: int) -> Any:
    return None if make is None else make()


def _static(config: Any, taken_tokens: int, _rows: int, tokens: int) -> Any:
    return transformers.StaticCache(config=config, max_cache_len=taken_tokens + tokens)


def _group(loaded: Loaded) -> int:
    config = loaded.model.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    size = 64
    while size > 1 and int(head) % size:
        size //= 2
    return size


def _try(kind: str, make: Maker, loaded: Loaded) -> None:
    ids = torch.zeros((1, 2), dtype=torch.long, device=loaded.device)
    try:
        with torch.inference_mode():
            cache = make(1, 2 + _TRIAL_TOKENS)
            for _ in range(_TRIAL_TOKENS):
                out = loaded.model(input_ids=ids, past_key_values=cache, use_cache=True)
                cache, ids = out.past_key_values, out.logits[:, -1:].argmax(-1)
    except Exception as error:
        if memory_class(error):
            raise
        # Libraries say by any exception that a format, a board or a kind of model is not for them.
        raise _missing(kind, f"{type(error).__name__}: {error}") from error


def _import(kind: str, module: str) -> None:
    try:
        import_module(module)
    except ImportError as error:
        if memory_class(error):
            raise
        raise WorkerFault(
            "not_installed", f"kv_cache {kind} needs {module} ({error}); install it: {_INSTALL[module]}"
        ) from error


def _missing(kind: str, reason: str) -> WorkerFault:
    return WorkerFault("kernel_missing", f"kv_cache {kind} cannot be done here: {reason}")


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yields the plain tensors inside attributes, pairs, dictionaries and tensors made of tensors."""
    if isinstance(value, torch.Tensor):
        if hasattr(value, "__tensor_flatten__"):
            for inner in value.__tensor_flatten__()[0]:
                yield from _tensors(getattr(value, inner))
        elif value.numel():
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _tensors(inner)
