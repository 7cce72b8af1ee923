"""Learning from a teacher's distribution: the loss, its gradient, and the distance to a teacher.

    L = alpha * CE(answer) + (1 - alpha) * T^2 * KL(p_teacher || p_student),  p = softmax(logits / T)

Hinton et al., arXiv 1503.02531, section 2: the factor T^2 keeps the size of the second
gradient, which falls with 1 / T^2. Both terms are means over the answer tokens. Knows
models and batches, and no files, steps or phases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from edgerig_workload.learn.estimators import Backpropagation
from edgerig_workload.learn.examples import IGNORED, Batch
from edgerig_workload.learn.losses import answer_logits

# Tokens whose soft-max is held at a time; the gradient itself is as large as the student's logits.
_ROWS = 64


@dataclass(frozen=True)
class SoftTargets:
    """Estimates the gradient of the loss above for a student; both models read the same token ids.

    With `alpha` 1 the teacher is not asked, and training is plain training.
    """

    student: Any
    teacher: Any
    alpha: float
    temperature: float

    def estimate(self, batch: Batch) -> float:
        """Leave the gradient on the student's parameters and return the loss, in nats."""
        if self.alpha == 1.0:
            return Backpropagation(self.student).estimate(batch)
        told = answer_logits(self.teacher, batch)
        outputs = self.student(**batch.inputs, use_cache=False)
        own = _predicting(self.student, outputs.logits, batch.inputs["labels"])
        soft = divergence(own, told, self.temperature)
        del told
        loss = self.alpha * outputs.loss + (1.0 - self.alpha) * soft
        loss.backward()
        return float(loss.item())


def divergence(own: torch.Tensor, told: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return T^2 KL(p_told || p_own), mean over rows, in nats; only `own` gets a gradient.

    Both are logits of shape (tokens, vocabulary). Models of one tokenizer may pad their
    tables differently: columns that only one of them has are left out.
    """
    shared = min(own.shape[1], told.shape[1])
    applied = _Divergence.apply(own[:, :shared], told[:, :shared].detach(), temperature)
    return cast("torch.Tensor", applied)


def mean_divergence(student: Any, teacher: Any, batches: Sequence[Batch]) -> float:
    """Return KL(p_teacher || p_student) at T = 1, mean over the answer tokens of all batches, in nats."""
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            own, told = answer_logits(student, batch), answer_logits(teacher, batch)
            total += float(divergence(own, told, 1.0)) * len(own)
            count += len(own)
    return total / count


class _Divergence(torch.autograd.Function):
    """The divergence with the gradient written out, T (p_own - p_told) / rows: no soft-max is kept."""

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor, told: torch.Tensor, temperature: float) -> torch.Tensor:
        rows = own.shape[0]
        gradient = torch.empty_like(own)
        total = torch.zeros((), dtype=torch.float64, device=own.device)
        for first in range(0, rows, _ROWS):
            part = slice(first, first + _ROWS)
            log_own = functional.log_softmax(own[part].float() / temperature, dim=-1)
            log_told = functional.log_softmax(told[part].float() / temperature, dim=-1)
            total += functional.kl_div(log_own, log_told, reduction="sum", log_target=True)
            gradient[part] = (log_own.exp() - log_told.exp()) * (temperature / rows)
        ctx.save_for_backward(gradient)
        return (total * (temperature**2 / rows)).float()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, above: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * above.to(gradient.dtype), None, None


def _predicting(model: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Picks the logits that predict an answer token; in a causal model the place before it does."""
    if not getattr(model.config, "is_encoder_decoder", False):
        logits, labels = logits[:, :-1], labels[:, 1:]
    return logits[labels != IGNORED]
