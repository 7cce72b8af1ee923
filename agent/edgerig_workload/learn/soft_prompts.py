"""Virtual tokens before every input that learn: as embeddings, or as keys and values of every layer.

The model that later answers is the one that the worker loaded, so the tokens are put
before its inputs by hooks of the model itself. peft makes the parameters and saves
them in its own format. Knows nothing of gradients, steps or data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model

from edgerig_workload.faults import WorkerFault
from edgerig_workload.learn.examples import IGNORED
from edgerig_workload.learn.parameters import TrainableSet, learning
from edgerig_workload.learn.trainables import task_type, writer
from edgerig_workload.models import VIRTUAL_TOKENS, Loaded

Inputs = dict[str, Any]


def prompt(loaded: Loaded, *, tokens: int, init: str, text: str) -> TrainableSet:
    """Put `tokens` learnt embeddings before the input (prompt tuning, arXiv 2104.08691).

    An encoder-decoder gets them before the encoder's input.

    Args:
        tokens: how many; they take their room from the context.
        init: `text` begins with the embeddings of `text`, repeated or cut to fit,
            `vocabulary` with those of tokens drawn at random, `random` with N(0, 1).
        text: for `init` text.

    Raises:
        WorkerFault: of class precondition, where the text has no tokens.
    """
    config = PromptTuningConfig(
        task_type=task_type(loaded), num_virtual_tokens=tokens, num_transformer_submodules=1
    )
    adapted = get_peft_model(loaded.model, config)
    encoder = adapted.prompt_encoder[adapted.active_adapter]
    embedding = loaded.model.get_input_embeddings()
    if init != "random":
        ids = _text_ids(loaded, text, tokens) if init == "text" else _drawn_ids(embedding, tokens)
        with torch.no_grad():
            encoder.embedding.weight.copy_(embedding(ids.to(loaded.device)))

    def soft(rows: int) -> torch.Tensor:
        found: torch.Tensor = adapted.get_prompt(batch_size=rows)
        return found

    if loaded.encoder_decoder:
        loaded.model.get_encoder().register_forward_pre_hook(
            _encoder_hook(embedding, soft, tokens), with_kwargs=True
        )
        loaded.model.register_forward_pre_hook(_mask_hook(tokens), with_kwargs=True)
    else:
        loaded.model.register_forward_pre_hook(_prompt_hook(embedding, soft, tokens), with_kwargs=True)
        loaded.model.register_forward_hook(_trim_hook(tokens), with_kwargs=True)
    return _installed(loaded, adapted, tokens)


def prefix(loaded: Loaded, *, tokens: int, init: str) -> TrainableSet:
    """Put `tokens` learnt keys and values before those of every layer (prefix tuning, arXiv 2101.00190).

    An encoder-decoder gets them in the self-attention of its decoder, as in peft; there they
    take no room from the prompt.

    Args:
        tokens: how many; they take their room from the context.
        init: `activations` begins with what tokens drawn at random leave in the cache
            (as the MeZO authors do), `random` with N(0, 1).
    """
    embedding = loaded.model.get_input_embeddings()
    begins = _drawn_ids(embedding, tokens) if init == "activations" else torch.zeros(1, dtype=torch.long)
    layers = _cached(loaded, begins)
    # From a cache, because not every model's heads are its width divided by their number.
    heads, head_size = layers[0].keys.shape[1], layers[0].keys.shape[3]
    config = PrefixTuningConfig(
        task_type=task_type(loaded),
        num_virtual_tokens=tokens,
        num_layers=len(layers),
        num_attention_heads=heads,
        token_dim=heads * head_size,
    )
    adapted = get_peft_model(loaded.model, config)
    if init == "activations":
        with torch.no_grad():
            adapted.prompt_encoder[adapted.active_adapter].embedding.weight.copy_(_as_rows(layers))

    def cache(rows: int) -> Any:
        return adapted.get_prompt(batch_size=rows)

    hook = _decoder_hook(cache, tokens) if loaded.encoder_decoder else _prefix_hook(cache, tokens)
    loaded.model.register_forward_pre_hook(hook, with_kwargs=True)
    return _installed(loaded, adapted, 0 if loaded.encoder_decoder else tokens)


def _installed(loaded: Loaded, adapted: Any, tokens: int) -> TrainableSet:
    loaded.model.add_module(VIRTUAL_TOKENS, adapted.prompt_encoder)
    return TrainableSet(loaded.model, learning(loaded.model), writer(adapted), tokens)


def _text_ids(loaded: Loaded, text: str, tokens: int) -> torch.Tensor:
    ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    if not ids:
        raise WorkerFault("precondition", f"the initial text {text!r} has no tokens; give a longer init_text")
    return torch.tensor((ids * (tokens // len(ids) + 1))[:tokens])


def _drawn_ids(embedding: Any, tokens: int) -> torch.Tensor:
    return torch.randint(0, embedding.weight.shape[0], (tokens,))


def _cached(loaded: Loaded, tokens: torch.Tensor) -> list[Any]:
    """Returns what some tokens leave in the cache of each layer, of the decoder where there is one."""
    ids = tokens.to(loaded.device)[None]
    with torch.no_grad():
        if loaded.encoder_decoder:
            made = loaded.model(input_ids=ids, decoder_input_ids=ids, use_cache=True).past_key_values
            return list(made.self_attention_cache.layers)
        return list(loaded.model(input_ids=ids, use_cache=True).past_key_values.layers)


def _as_rows(layers: Sequence[Any]) -> torch.Tensor:
    """Returns cached keys and values one row a token, as peft lays them out."""
    # Each is (1, heads, tokens, head size); a row is layer by layer its key, then its value.
    rows = [part[0].transpose(0, 1).flatten(1) for layer in layers for part in (layer.keys, layer.values)]
    return torch.cat(rows, dim=1)


def _begins(inputs: Mapping[str, Any]) -> bool:
    """Says whether nothing is cached yet, so that the virtual tokens still have to come."""
    cache = inputs.get("past_key_values")
    return cache is None or cache.get_seq_length() == 0


def _prompt_hook(embedding: Any, soft: Callable[[int], torch.Tensor], tokens: int) -> Any:
    def hook(_module: Any, args: tuple[Any, ...], inputs: Inputs) -> tuple[tuple[Any, ...], Inputs]:
        changed = _moved(inputs, tokens)
        if not _begins(inputs):
            return args, changed
        ids = changed.pop("input_ids")
        words = embedding(ids)
        changed["inputs_embeds"] = torch.cat([soft(len(ids)).to(words.dtype), words], dim=1)
        positions = changed.get("position_ids")
        if positions is not None:
            first = torch.arange(tokens, device=positions.device).expand(len(positions), -1)
            changed["position_ids"] = torch.cat([first, positions], dim=1)
        if changed.get("labels") is not None:
            changed["labels"] = _before(changed["labels"], tokens, IGNORED)
        return args, changed

    return hook


def _prefix_hook(cache: Callable[[int], Any], tokens: int) -> Any:
    def hook(_module: Any, args: tuple[Any, ...], inputs: Inputs) -> tuple[tuple[Any, ...], Inputs]:
        changed = _moved(inputs, tokens)
        if _begins(inputs):
            changed["past_key_values"] = cache(len(inputs["input_ids"]))
        return args, changed

    return hook


def _decoder_hook(cache: Callable[[int], Any], tokens: int) -> Any:
    def hook(_module: Any, args: tuple[Any, ...], inputs: Inputs) -> tuple[tuple[Any, ...], Inputs]:
        changed = dict(inputs)
        mask = changed.get("decoder_attention_mask")
        if mask is not None:
            changed["decoder_attention_mask"] = _before(mask, tokens, 1)
        if _begins(inputs):
            encoded = inputs.get("encoder_outputs")
            changed["past_key_values"] = cache(len(inputs["input_ids"] if encoded is None else encoded[0]))
        return args, changed

    return hook


def _encoder_hook(embedding: Any, soft: Callable[[int], torch.Tensor], tokens: int) -> Any:
    def hook(_module: Any, args: tuple[Any, ...], inputs: Inputs) -> tuple[tuple[Any, ...], Inputs]:
        ids = inputs["input_ids"]
        words = embedding(ids)
        changed = {**inputs, "input_ids": None}
        changed["inputs_embeds"] = torch.cat([soft(len(ids)).to(words.dtype), words], dim=1)
        mask = inputs.get("attention_mask")
        # Called by the whole model, whose own hook has lengthened the mask.
        if mask is not None and mask.shape[1] == ids.shape[1]:
            changed["attention_mask"] = _before(mask, tokens, 1)
        return args, changed

    return hook


def _mask_hook(tokens: int) -> Any:
    def hook(_module: Any, args: tuple[Any, ...], inputs: Inputs) -> tuple[tuple[Any, ...], Inputs]:
        return args, _moved(inputs, tokens)

    return hook


def _trim_hook(tokens: int) -> Any:
    """Takes the logits of virtual tokens away, so that places in input and output agree."""

    def hook(_module: Any, _args: tuple[Any, ...], inputs: Inputs, output: Any) -> Any:
        embedded = inputs.get("inputs_embeds")
        if embedded is not None and output.logits.shape[1] == embedded.shape[1]:
            output.logits = output.logits[:, tokens:]
        return output

    return hook


def _moved(inputs: Inputs, tokens: int) -> Inputs:
    """Lengthens the mask and moves positions by the virtual tokens."""
    changed = dict(inputs)
    if changed.get("attention_mask") is not None:
        changed["attention_mask"] = _before(changed["attention_mask"], tokens, 1)
    if changed.get("position_ids") is not None:
        changed["position_ids"] = changed["position_ids"] + tokens
    return changed


def _before(rows: torch.Tensor, tokens: int, fill: int) -> torch.Tensor:
    return torch.cat([rows.new_full((len(rows), tokens), fill), rows], dim=1)
