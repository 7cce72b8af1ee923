"""Prefill and decode of one batch, one call of the model each, greedy.

`Steps` hides whether a model is causal or an encoder with a decoder. Each call
returns the next token ids on the host, so that a stamp taken after it is a stamp
of tokens that a reader could have. Knows nothing of text, stopping or timing.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from edgerig_workload.models import Loaded


class Steps(Protocol):
    """One batch in the making. `cache` holds keys and values from the first call on."""

    cache: Any

    def prefill(self) -> list[int]:
        """Run the prompts and return the first token of each row."""
        ...

    def decode(self) -> list[int]:
        """Feed the tokens returned last and return the next of each row."""
        ...


def begin(loaded: Loaded, prompts: Sequence[Sequence[int]], cache: Any = None) -> Steps:
    """Put a batch of prompts (token ids, at least one each) on the device.

    `cache` is what keys and values go into; None leaves it to the model.
    """
    longest = max(len(prompt) for prompt in prompts)
    if loaded.encoder_decoder:
        rows = [[*prompt, *[loaded.pad_id] * (longest - len(prompt))] for prompt in prompts]
        masks = [[1] * len(prompt) + [0] * (longest - len(prompt)) for prompt in prompts]
    else:
        rows = [[*[loaded.pad_id] * (longest - len(prompt)), *prompt] for prompt in prompts]
        masks = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    ids = torch.tensor(rows, device=loaded.device)
    # Without padding no mask is given: the attention kernel is the faster one then.
    padded = any(len(prompt) != longest for prompt in prompts)
    mask = torch.tensor(masks, device=loaded.device) if padded else None
    if loaded.encoder_decoder:
        return _EncoderDecoder(loaded, ids, mask, cache)
    return _Causal(loaded, ids, mask, cache)


class _Causal:
    """A causal model with left padding; rows keep their own positions."""

    def __init__(self, loaded: Loaded, ids: torch.Tensor, mask: torch.Tensor | None, cache: Any) -> None:
        self._model = loaded.model
        self._ids = ids
        self._mask = mask
        self.cache = cache
        accepted = inspect.signature(loaded.model.forward).parameters
        self._takes_positions = "position_ids" in accepted
        self._options = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    def prefill(self) -> list[int]:
        positions = None
        if self._mask is not None:
            positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        return self._forward(positions)

    def decode(self) -> list[int]:
        positions = None
        if self._mask is not None:
            self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._mask), 1)], dim=-1)
            positions = self._mask.sum(-1, keepdim=True) - 1
        return self._forward(positions)

    def _forward(self, positions: torch.Tensor | None) -> list[int]:
        given = {} if self._mask is None else {"attention_mask": self._mask}
        if positions is not None and self._takes_positions:
            given["position_ids"] = positions
        with torch.inference_mode():
            out = self._model(
                input_ids=self._ids, past_key_values=self.cache, use_cache=True, **given, **self._options
            )
        self.cache = out.past_key_values
        best = out.logits[:, -1].argmax(-1)
        self._ids = best[:, None]
        tokens: list[int] = best.tolist()
        return tokens


class _EncoderDecoder:
    """An encoder with a decoder; prefill is the encoder and the decoder's first token."""

    def __init__(self, loaded: Loaded, ids: torch.Tensor, mask: torch.Tensor | None, cache: Any) -> None:
        self._model = loaded.model
        self._ids = ids
        self._mask = mask
        self._encoded: Any = None
        self.cache = cache
        start = loaded.model.config.decoder_start_token_id
        start_id = loaded.pad_id if start is None else int(start)
        self._next = torch.full((len(ids), 1), start_id, device=ids.device)

    def prefill(self) -> list[int]:
        given = {} if self._mask is None else {"attention_mask": self._mask}
        with torch.inference_mode():
            self._encoded = self._model.get_encoder()(input_ids=self._ids, **given)
        return self.decode()

    def decode(self) -> list[int]:
        given = {} if self._mask is None else {"attention_mask": self._mask}
        with torch.inference_mode():
            out = self._model(
                encoder_outputs=self._encoded,
                decoder_input_ids=self._next,
                past_key_values=self.cache,
                use_cache=True,
                **given,
            )
        self.cache = out.past_key_values
        best = out.logits[:, -1].argmax(-1)
        self._next = best[:, None]
        tokens: list[int] = best.tolist()
        return tokens
