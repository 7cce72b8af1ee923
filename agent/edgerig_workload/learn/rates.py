"""Peak rates and step widths where a study names none. Pure; knows kinds of the catalogue by name.

A rate is given for a hidden size of 4096 and grows as the model gets narrower, up to a
cap. Rates and caps of exact gradients lower the loss of the starter models in 60 steps
of 16 samples; those of zeroth-order ones are published settings where there are any.
"""

from __future__ import annotations

REFERENCE_HIDDEN = 4096
# Rate at the reference width, and the cap: of exact gradients under AdamW ...
_EXACT = {
    "full": (1e-5, 1e-3),
    "last-k": (3e-5, 3e-3),
    "layer-norm": (1e-3, 0.03),
    "bitfit": (1e-3, 0.03),
    "lora": (2e-4, 0.01),
    "ia3": (3e-3, 0.05),
    "prompt": (0.3, 0.3),
    "prefix": (1e-2, 0.1),
}
# ... and of zeroth-order ones (arXiv 2305.17333, appendix E, for full, lora and prefix).
_ZEROTH = {
    "full": (1e-7, 1e-5),
    "last-k": (1e-6, 1e-4),
    "layer-norm": (1e-4, 1e-2),
    "bitfit": (1e-4, 1e-2),
    "lora": (5e-5, 1e-3),
    "ia3": (1e-4, 1e-2),
    "prompt": (1e-3, 1e-2),
    "prefix": (1e-3, 1e-2),
}
# A gradient along a random direction points mostly aside, and AdamW makes its steps as
# long as those of an exact one.
_FORWARD_SHARE = 0.1


def default_rate(kind: str, gradient: str, hidden: int) -> float:
    """Return the peak rate of a trainable set in a model of this hidden size."""
    at_reference, largest = (_ZEROTH if gradient == "mezo" else _EXACT)[kind]
    rate = min(largest, at_reference * REFERENCE_HIDDEN / hidden)
    return rate * _FORWARD_SHARE if gradient == "forward" else rate


def default_epsilon(kind: str) -> float:
    """Return how far the zeroth-order estimator moves each number (arXiv 2305.17333, appendix E)."""
    if kind in ("prompt", "prefix"):
        return 1e-1
    return 1e-2 if kind in ("lora", "ia3") else 1e-3
