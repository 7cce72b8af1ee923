"""When more training stops paying: quality = a - b exp(-x / tau), and the budget of 95 % of the gain.

tau is found on a logarithmic grid and between its points by a parabola, a and
b by least squares at each tau. The interval is a delete-one jackknife over units
(tasks, or users of one task) of log x95, with Student's t (Tukey 1958).
"""

from __future__ import annotations

import math

import numpy as np

from edgerig_controller.guidelines.estimate import t_quantile
from edgerig_controller.guidelines.resources import Ratio
from edgerig_controller.guidelines.scores import Floats

GRID = 400


def x95(budgets: Floats, curves: Floats, *, level: float = 0.95) -> Ratio:
    """Estimates the budget at which 95 % of the attainable gain is reached.

    Args:
        budgets: increasing, at least four, in any unit.
        curves: quality, units x budgets.
        level: of the interval.

    Returns:
        The budget in the unit of `budgets`; without an interval below three units, and
        without an estimate where quality does not rise.

    Raises:
        ValueError: too few budgets, or budgets that do not increase from above zero.
    """
    if len(budgets) < 4 or budgets[0] <= 0 or bool(np.any(np.diff(budgets) <= 0)):
        raise ValueError("a saturation curve needs at least four increasing budgets above zero")
    n = len(curves)
    whole = _fit(budgets, curves.mean(axis=0)[None])[0]
    if math.isnan(whole):
        return Ratio(None, None, None, "quality does not rise with the budget")
    if n < 3:
        return Ratio(math.exp(whole), None, None, "fewer than three units: no interval")
    without = _fit(budgets, (curves.sum(axis=0) - curves) / (n - 1))
    if bool(np.isnan(without).any()):
        return Ratio(math.exp(whole), None, None, "without one of the units quality does not rise")
    pseudo = n * whole - (n - 1) * without
    centre, half = float(pseudo.mean()), t_quantile(level, n - 1) * float(pseudo.std(ddof=1)) / math.sqrt(n)
    return Ratio(math.exp(whole), math.exp(centre - half), math.exp(centre + half), "")


def _fit(budgets: Floats, curves: Floats) -> Floats:
    """Returns log x95 of each curve, NaN where the best curve falls."""
    taus = np.geomspace(budgets[0] / 10, budgets[-1] * 10, GRID)
    shapes = -np.exp(-budgets[None, :] / taus[:, None])
    shapes = shapes - shapes.mean(axis=1, keepdims=True)
    centred = curves - curves.mean(axis=1, keepdims=True)
    products, norms = centred @ shapes.T, (shapes**2).sum(axis=1)
    explained = np.where(products > 0, products**2 / norms, -1.0)
    best = explained.argmax(axis=1)
    at = np.arange(len(curves))
    # Between grid points the optimum is that of the parabola through the best three.
    inner = np.clip(best, 1, GRID - 2)
    left, middle, right = (explained[at, inner + step] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.divide(0.5 * (left - right), bend, out=np.zeros_like(bend), where=bend < 0)
    position = np.where(best == inner, inner + np.clip(shift, -1, 1), best)
    log_tau = np.log(taus[0]) + position * (np.log(taus[-1] / taus[0]) / (GRID - 1))
    return np.where(explained[at, best] > 0, log_tau + math.log(math.log(20.0)), np.nan)
