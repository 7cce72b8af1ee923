"""The loss of a batch without a gradient, in little more memory than the logits that it needs.

Knows a model and a batch. Where the model can, logits are made from the first
answer token on alone, and the soft-max runs over a few rows at a time.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from edgerig_workload.learn.examples import IGNORED, Batch

_ROWS = 16


def answer_loss(model: Any, batch: Batch) -> float:
    """Return the mean loss of the answer tokens in nats, the same figure as the model's own `loss`.

    Runs in inference mode. A model that makes its decoder's input out of the labels is
    asked for its own loss.
    """
    with torch.inference_mode():
        if getattr(model.config, "is_encoder_decoder", False):
            return float(model(**batch.inputs, use_cache=False).loss)
        logits, targets = _from_first_answer(model, batch)
        return _mean(logits.flatten(0, 1), targets.flatten())


def answer_logits(model: Any, batch: Batch) -> torch.Tensor:
    """Return the logits that predict the answer tokens, of shape (answer tokens, vocabulary).

    Runs without gradients; rows of the batch follow each other, in each the tokens in order.
    """
    with torch.no_grad():
        if getattr(model.config, "is_encoder_decoder", False):
            logits, targets = model(**batch.inputs, use_cache=False).logits, batch.inputs["labels"]
        else:
            logits, targets = _from_first_answer(model, batch)
        picked: torch.Tensor = logits[targets != IGNORED]
        return picked


def _from_first_answer(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns a causal model's logits from the first answer token of any row on, and what they predict."""
    inputs = {name: value for name, value in batch.inputs.items() if name != "labels"}
    # The token at a place is predicted by the place before it; nothing follows the last.
    labels = batch.inputs["labels"]
    targets = torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], IGNORED)], dim=1)
    first = int((targets != IGNORED).any(dim=0).nonzero()[0, 0])
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        # The number of last places, and not a list of places, which would copy what it picks.
        kept = targets.shape[1] - first
        logits = model(**inputs, logits_to_keep=kept, use_cache=False).logits
    else:
        logits = model(**inputs, use_cache=False).logits[:, first:]
    return logits, targets[:, first:]


def mean_answer_loss(model: Any, batches: Sequence[Batch]) -> float:
    """Return the mean loss of the answer tokens of several batches, in nats; NaN where one is not finite."""
    counts = [_answer_tokens(model, batch) for batch in batches]
    losses = (answer_loss(model, batch) for batch in batches)
    total = sum(loss * count for loss, count in zip(losses, counts, strict=True))
    return total / sum(counts)


def _answer_tokens(model: Any, batch: Batch) -> int:
    labels = batch.inputs["labels"]
    # A causal model does not predict the token of the first place.
    predicted = labels if getattr(model.config, "is_encoder_decoder", False) else labels[:, 1:]
    return int((predicted != IGNORED).sum())


def _mean(logits: torch.Tensor, targets: torch.Tensor) -> float:
    total = torch.zeros((), dtype=torch.float64, device=logits.device)
    for first in range(0, len(targets), _ROWS):
        part = functional.cross_entropy(
            logits[first : first + _ROWS].float(),
            targets[first : first + _ROWS],
            ignore_index=IGNORED,
            reduction="sum",
        )
        total += part.to(total)
    return float(total) / int((targets != IGNORED).sum())
