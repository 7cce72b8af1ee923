"""Pooling over tasks: random effects, Hartung-Knapp intervals, the prediction interval.

A guideline is a statement about tasks that nobody has measured yet, so tasks
are a random effect. Between-task variance after DerSimonian and Laird (1986);
standard error and t(k-1) after Hartung and Knapp (2001) and Sidik and Jonkman
(2002); prediction interval for a new task after Higgins, Thompson and
Spiegelhalter (2009), t(k-2). Knows numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, polygamma, psi, stdtr

from edgerig_controller.guidelines.estimate import t_quantile


@dataclass(frozen=True)
class Pooled:
    """A mean over tasks; `tau2` is the variance of true effects between tasks, in unit^2."""

    estimate: float
    se: float
    df: float
    tau2: float
    q: float
    k: int

    @property
    def heterogeneity_p(self) -> float:
        """Returns Cochran's test that all tasks have one true effect."""
        return float(chdtrc(self.k - 1, self.q))

    def interval(self, level: float) -> tuple[float, float]:
        """Returns the interval of the mean effect."""
        half = t_quantile(level, self.df) * self.se
        return self.estimate - half, self.estimate + half

    def prediction(self, level: float = 0.95) -> tuple[float, float] | None:
        """Returns the interval for the effect on one new task; None below three tasks."""
        if self.k < 3:
            return None
        half = t_quantile(level, self.k - 2) * math.sqrt(self.tau2 + self.se**2)
        return self.estimate - half, self.estimate + half


def pool(estimates: Sequence[float], variances: Sequence[float]) -> Pooled:
    """Pools the effects of at least two tasks.

    Raises:
        ValueError: fewer than two tasks, a variance that is not positive, or lengths that differ.
    """
    y, v = np.asarray(estimates, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if len(y) != len(v) or len(y) < 2:
        raise ValueError("pooling needs the effect and the variance of at least two tasks")
    if not (bool(np.all(np.isfinite(y))) and bool(np.all(v > 0)) and bool(np.all(np.isfinite(v)))):
        raise ValueError("a task has an effect that is no number or a variance that is not positive")
    k, w = len(y), 1.0 / v
    fixed = float((w * y).sum() / w.sum())
    q = float((w * (y - fixed) ** 2).sum())
    tau2 = max(0.0, (q - (k - 1)) / float(w.sum() - (w**2).sum() / w.sum()))
    w = 1.0 / (v + tau2)
    mean = float((w * y).sum() / w.sum())
    se = math.sqrt(float((w * (y - mean) ** 2).sum()) / ((k - 1) * float(w.sum())))
    # Tasks that agree to the last digit would claim a certainty that their own errors deny.
    if se == 0.0:
        se = math.sqrt(1.0 / float(w.sum()))
    return Pooled(mean, se, float(k - 1), tau2, q, k)


def smoothed(variances: Sequence[float], dfs: Sequence[float]) -> list[float]:
    """Returns variances drawn towards their common level, by as much as their own noise explains them.

    Weights of noisy variances make pooled intervals too short: a task that by
    luck looks precise counts too much. Empirical Bayes after Smyth (2004,
    "Linear models and empirical Bayes methods", section 6): log variances less
    their known sampling spread give the prior's degrees of freedom; where tasks
    differ no more than by chance, all get one value.

    Raises:
        ValueError: lengths differ, or a variance or df is not positive.
    """
    v, df = np.asarray(variances, dtype=np.float64), np.asarray(dfs, dtype=np.float64)
    if len(v) != len(df) or not (bool(np.all(v > 0)) and bool(np.all(df > 0))):
        raise ValueError("smoothing needs a positive variance and positive degrees of freedom of every task")
    if len(v) < 3:
        return [float(value) for value in v]
    level = np.log(v) - psi(df / 2) + np.log(df / 2)
    centre = float(level.mean())
    excess = float(level.var(ddof=1) - polygamma(1, df / 2).mean())
    if excess <= 0:
        return [math.exp(centre)] * len(v)
    prior_df = 2.0 * _inverse_trigamma(excess)
    prior = math.exp(centre + float(psi(prior_df / 2)) - math.log(prior_df / 2))
    return [float(value) for value in (prior_df * prior + df * v) / (prior_df + df)]


def _inverse_trigamma(value: float) -> float:
    """Solves trigamma(x) = value by Newton's method on its reciprocal (Smyth 2004, appendix)."""
    x = 0.5 + 1.0 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-10:
            break
    return x


def p_value(estimate: float, se: float, df: float) -> float:
    """Returns the two-sided p of estimate = 0 under Student's t."""
    return 2.0 * float(stdtr(df, -abs(estimate) / se))


def sign_test_p(positive: int, negative: int) -> float:
    """Returns the exact two-sided sign test: 7 of 7 tasks give 0.016, 6 of 7 give 0.125."""
    n, least = positive + negative, min(positive, negative)
    if n == 0:
        return 1.0
    tail = math.fsum(float(math.comb(n, i)) * 0.5**n for i in range(least + 1))
    return min(1.0, 2.0 * tail)


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Returns the exact McNemar test of discordant pairs (the sign test of who alone was right)."""
    return sign_test_p(only_a, only_b)
