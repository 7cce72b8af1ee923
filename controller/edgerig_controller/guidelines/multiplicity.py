"""Many tests at once: Holm for the registered family, BH for breakdowns, max-T inside a hypothesis.

Sources: Holm (1979); Benjamini and Hochberg (1995); Westfall and Young (1993)
for the distribution of the largest t. Knows p values and residuals only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgerig_controller.guidelines.scores import Floats

MOST_UNITS = 60


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns Holm's adjusted p values, in the order given."""
    m = len(p_values)
    adjusted, running = [0.0] * m, 0.0
    for rank, index in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        running = max(running, (m - rank) * p_values[index])
        adjusted[index] = min(1.0, running)
    return adjusted


def holm_levels(p_values: Sequence[float], *, alpha: float = 0.05) -> list[float]:
    """Returns per test the level of the interval that excludes 0 exactly when Holm rejects.

    The test at rank r (from 0) is judged at alpha / (m - r) as long as all
    before it were rejected; from the first that is not, all share its level.
    """
    m = len(p_values)
    levels, denominator, rejecting = [0.0] * m, m, True
    for rank, index in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        if rejecting:
            denominator = m - rank
            rejecting = p_values[index] <= alpha / denominator
        levels[index] = 1.0 - alpha / denominator
    return levels


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Returns Benjamini and Hochberg's adjusted p values, in the order given."""
    m = len(p_values)
    adjusted, running = [0.0] * m, 1.0
    order = sorted(range(m), key=lambda i: p_values[i], reverse=True)
    for place, index in enumerate(order):
        running = min(running, p_values[index] * m / (m - place))
        adjusted[index] = running
    return adjusted


def largest_t(residuals: Floats, df: float, *, draws: int = 4000, seed: int = 20240607) -> Floats:
    """Draws the largest t of correlated contrasts under the null, ascending; one distribution with that of
    the smallest but for its sign.

    The correlation is that of `residuals` (units x contrasts; centred here).

    Raises:
        ValueError: fewer than two units.
    """
    units = residuals.shape[0]
    if units < 2:
        raise ValueError("the correlation of contrasts needs at least two units")
    centred = residuals - residuals.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    standard = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 0)
    # The symmetric root of the correlation: as many normal numbers per draw as contrasts, not units.
    values, vectors = np.linalg.eigh(standard.T @ standard)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    return np.asarray(np.sort(_studentised(root, df, draws, np.random.default_rng(seed)).max(axis=1)))


def _studentised(root: Floats, df: float, draws: int, rng: np.random.Generator) -> Floats:
    """Draws t values that each have an error of their own, from one sample of df + 1 units.

    That is how effects over a few tasks come about; one error shared by all, as in
    the multivariate t distribution, would miss that the largest t is one whose error
    came out small. With many units the errors are as good as known, and the shared one is used.
    """
    contrasts, units = root.shape[0], round(df) + 1
    if not 2 <= units <= MOST_UNITS:
        chi = np.sqrt(rng.chisquare(df, size=(draws, 1)) / df)
        return np.asarray(rng.standard_normal((draws, contrasts)) @ root / chi)
    sample = rng.standard_normal((draws, units, contrasts)) @ root
    error = sample.std(axis=1, ddof=1) / np.sqrt(units)
    return np.asarray(
        np.divide(sample.mean(axis=1), error, out=np.zeros((draws, contrasts)), where=error > 0)
    )


def critical(largest: Floats, level: float) -> float:
    """Returns the quantile that all t stay below with probability `level`."""
    return float(np.quantile(largest, level))


def exceedance(largest: Floats, t: float) -> float:
    """Returns the max-T adjusted p of the extreme t, whichever its sign; never 0: draws are finite."""
    above = len(largest) - int(np.searchsorted(largest, abs(t), side="left"))
    return (above + 1) / (len(largest) + 1)
