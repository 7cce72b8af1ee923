"""The inverted U: how far a gain in the middle of difficulty lies above its ends.

gain = b0 + b1 x + b2 x^2 with difficulty x mapped to [-1, 1]; then -b2 is the
middle minus the mean of the two ends, in the gain's own unit. Interval by
Student's t(T - 3) over tasks; p the larger of that and a permutation of the
gains over tasks (2,000 fixed permutations), because T is small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgerig_controller.guidelines.effects import Effect
from edgerig_controller.guidelines.scores import Floats

PERMUTATIONS = 2000
FEWEST_ON_A_SIDE = 3


@dataclass(frozen=True)
class Bend:
    """The bend, and at which difficulty (own scale) the fitted curve turns; None where it is straight."""

    effect: Effect
    vertex: float | None
    vertex_inside: bool


def curvature(difficulty: Floats, gains: Floats, *, seed: int = 20240607) -> Bend:
    """Estimates the bend of gains over difficulty.

    Raises:
        ValueError: fewer than five tasks, or fewer than three different difficulties.
    """
    if len(gains) < 5 or len(np.unique(difficulty)) < 3:
        raise ValueError("a bend needs at least five tasks of at least three difficulties")
    low, high = float(difficulty.min()), float(difficulty.max())
    x = 2 * (difficulty - low) / (high - low) - 1
    design = np.stack([np.ones_like(x), x, x**2], axis=1)
    inverse: Floats = np.asarray(np.linalg.pinv(design), dtype=np.float64)
    df = len(gains) - 3
    leverage = float(np.linalg.inv(design.T @ design)[2, 2])
    coefficients, t = _fit(design, inverse, gains[None, :], leverage, df)
    b1, b2 = float(coefficients[0, 1]), float(coefficients[0, 2])
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.tile(gains, (PERMUTATIONS, 1)), axis=1)
    _, null = _fit(design, inverse, shuffled, leverage, df)
    p = (1 + int((np.abs(null) >= abs(t[0]) * (1 - 1e-12)).sum())) / (PERMUTATIONS + 1)
    se = abs(b2 / float(t[0])) if t[0] else None
    vertex = -b1 / (2 * b2) if b2 else None
    return Bend(
        effect=Effect(-b2, se, float(df) if se else None, "points", (), p_other=p, is_mean=False),
        vertex=None if vertex is None else low + (vertex + 1) / 2 * (high - low),
        vertex_inside=vertex is not None and abs(vertex) <= 1,
    )


def _fit(design: Floats, inverse: Floats, gains: Floats, leverage: float, df: int) -> tuple[Floats, Floats]:
    """Returns coefficients (rows of gains x 3) and the t value of the squared term."""
    coefficients = gains @ inverse.T
    rest = gains - coefficients @ design.T
    error = np.sqrt((rest**2).sum(axis=1) / df * leverage)
    t = np.divide(coefficients[:, 2], error, out=np.zeros(len(gains)), where=error > 0)
    return coefficients, t


def two_lines(difficulty: Floats, gains: Floats, vertex: float | None) -> tuple[float, float] | None:
    """Returns the slopes of straight lines left and right of the vertex, in points per unit of difficulty.

    A curve with a maximum inside may come from values that merely level off; lines
    of opposite sign may not (Simonsohn 2018). None where a side has fewer than three tasks.
    """
    if vertex is None:
        return None
    slopes = []
    for side in (difficulty <= vertex, difficulty >= vertex):
        if int(side.sum()) < FEWEST_ON_A_SIDE or len(np.unique(difficulty[side])) < 2:
            return None
        slopes.append(float(np.polyfit(difficulty[side], gains[side], 1)[0]))
    return slopes[0], slopes[1]
