"""The loss of a batch, with its gradient or without, in little more memory than the logits that it needs.

Knows a model and a batch. Where the model can, logits are made from the first
answer token on alone, and the soft-max runs over a few rows at a time. The usual way,
a model's own `loss`, makes logits of the whole prompt and holds three copies of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from edgerig_workload.learn.examples import IGNORED, Batch

# Logits whose soft-max is made at once: on a processor 1 MB in float32, which stays in a core's own
# cache; on a GPU 128 MB, because there the cost is the number of kernels that are started.
_LOGITS_AT_ONCE = {"cpu": 1 << 18}
_LOGITS_AT_ONCE_ELSEWHERE = 1 << 25
# What passes its gradient on without its result: the end of a plain output layer, and views of it.
_VIEWS = ("ViewBackward0", "UnsafeViewBackward0", "SliceBackward0", "AliasBackward0")
_PRODUCTS = ("MmBackward0", "AddmmBackward0")


def backward(model: Any, batch: Batch) -> torch.Tensor:
    """Leave the gradient of the mean loss of the answer tokens on the parameters; return the loss, in nats.

    The figure is that of the model's own `loss`, and a tensor of one number: forward and backward
    pass are queued without waiting for the device. A model that makes its decoder's input out of
    the labels is asked for its own loss.
    """
    if getattr(model.config, "is_encoder_decoder", False):
        loss: torch.Tensor = model(**batch.inputs, use_cache=False).loss
        loss.backward()
        return loss.detach()
    loss = mean_loss(*_from_first_answer(model, batch))
    loss.backward()
    return loss.detach()


def mean_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy over targets in nats; its gradient may take the logits' place.

    d loss / d logits = (softmax(logits) - onehot(target)) / number of targets, made in float32
    whatever the type of the logits is. One way back is possible, no second one.

    Args:
        logits: of shape (batch, places, vocabulary), with the graph that they came from. They
            are overwritten where the last step of that graph does not need them any more.
        targets: token ids of shape (batch, places), IGNORED where nothing is to be learnt.
    """
    applied = _MeanLoss.apply(logits, targets, _is_free(logits))
    return cast("torch.Tensor", applied)


class _MeanLoss(torch.autograd.Function):
    """Holds the gradient until the way back begins, and nobody holds it after that."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, targets: torch.Tensor, is_free: bool) -> torch.Tensor:
        loss, ctx.gradient = _loss_and_gradient(logits.detach(), targets, is_free=is_free)
        return loss

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, above: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        gradient, ctx.gradient = ctx.gradient, None
        # Where the loss itself is what goes back, a pass over the table is spared.
        if above.device.type != "cpu" or above.item() != 1.0:
            gradient.mul_(above.to(gradient.dtype))
        return gradient, None, None


def _loss_and_gradient(
    values: torch.Tensor, targets: torch.Tensor, *, is_free: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    gradient = values if is_free else torch.empty_like(values)
    count = (targets != IGNORED).sum()
    total = torch.zeros((), dtype=torch.float64, device=values.device)
    for place in _parts(values):
        part, wanted = values[place], targets[place][:, None]
        # Of float32 that may be overwritten there is no second copy at any time.
        wide = part.float() if is_free else part.to(torch.float32, copy=True)
        normaliser = torch.logsumexp(wide, dim=-1, keepdim=True)
        kept = wanted.clamp(min=0)
        total += (normaliser - wide.gather(1, kept)).masked_fill_(wanted == IGNORED, 0.0).sum()
        wide.sub_(normaliser).exp_().scatter_add_(1, kept, -torch.ones_like(normaliser))
        gradient[place] = wide.masked_fill_(wanted == IGNORED, 0.0).div_(count)
    return (total / count).float(), gradient


def _parts(values: torch.Tensor) -> Iterator[tuple[int, slice]]:
    """Yields where the places of each row lie that are worked on at once."""
    most = _LOGITS_AT_ONCE.get(values.device.type, _LOGITS_AT_ONCE_ELSEWHERE)
    size = max(1, most // values.shape[-1])
    for row in range(len(values)):
        for first in range(0, values.shape[1], size):
            yield row, slice(first, first + size)


def _is_free(logits: torch.Tensor) -> bool:
    """Says whether nothing reads the logits on the way back.

    A model that caps its logits, for instance, still needs what came of it.
    """
    step = logits.grad_fn
    while step is not None and step.name() in _VIEWS:
        step = step.next_functions[0][0]
    return step is not None and step.name() in _PRODUCTS


def answer_loss(model: Any, batch: Batch) -> float:
    """Return the mean loss of the answer tokens in nats, the same figure as the model's own `loss`.

    Runs in inference mode. A model that makes its decoder's input out of the labels is
    asked for its own loss.
    """
    with torch.inference_mode():
        if getattr(model.config, "is_encoder_decoder", False):
            return float(model(**batch.inputs, use_cache=False).loss)
        logits, targets = _from_first_answer(model, batch)
        return _mean(logits, targets)


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
    for place in _parts(logits):
        part = functional.cross_entropy(
            logits[place].float(), targets[place], ignore_index=IGNORED, reduction="sum"
        )
        total += part.to(total)
    return float(total) / int((targets != IGNORED).sum())
