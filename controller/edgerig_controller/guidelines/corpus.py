"""Figures of a whole corpus (RMSE, macro-F1) through the crossed bootstrap.

Such a figure is no mean of item scores, so its error comes from resampling:
users and seeds independently, a user's items staying with the user, and one
draw shared by all configurations, so that differences stay paired. Items are
not resampled inside users: that would count their spread twice (Davison and
Hinkley 1997, section 3.8). Everything that a figure needs is a sum over
items, so a draw is a weighted sum of per-user sums, which is exact and fast.

The replicate variance goes into a t interval, for a percentile interval of
five seeds covers only about 0.9. Each one-way part of the bootstrap variance
is (n-1)/n of the unbiased one; that share is added back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgerig_controller.guidelines.scores import Codes, Contrast, Floats, ScoreTable

FEWEST_CLUSTERS = 20
DRAWS = 2000
HEADLINE_DRAWS = 10_000
# From sums (..., statistics) to the figure (...).
Figure = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Draws:
    """How often each user and each seed occurs in each draw: (draws, users) and (draws, seeds)."""

    users: Floats
    seeds: Floats

    @staticmethod
    def of(n_users: int, n_seeds: int, *, draws: int = DRAWS, seed: int = 20240607) -> Draws:
        """Draws with replacement; a lone seed is kept as it is."""
        rng = np.random.default_rng(seed)
        users = rng.multinomial(n_users, np.full(n_users, 1 / n_users), size=draws)
        seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=draws)
        return Draws(users.astype(np.float64), seeds.astype(np.float64))

    def figures(self, sums: Floats, figure: Figure) -> Floats:
        """Recomputes a figure in every draw.

        Args:
            sums: per configuration, user, seed and statistic.
            figure: from summed statistics to the figure.

        Returns:
            Shape (draws, configurations).
        """
        configs, users, seeds, statistics = sums.shape
        by_user = np.moveaxis(sums, 1, 0).reshape(users, -1)
        weighted = (self.users @ by_user).reshape(-1, configs, seeds, statistics)
        return figure(np.einsum("bcsk,bs->bck", weighted, self.seeds))

    def only_users(self) -> Draws:
        """The same draws of users with every seed once."""
        return Draws(self.users, np.ones_like(self.seeds))

    def only_seeds(self) -> Draws:
        """The same draws of seeds with every user once."""
        return Draws(np.ones_like(self.users), self.seeds)


def percentile_allowed(n_users: int, n_seeds: int, *, seed_is_factor: bool = True) -> bool:
    """Tells whether a percentile interval may stand: at least 20 users, and 20 seeds where seeds matter."""
    return n_users >= FEWEST_CLUSTERS and (not seed_is_factor or n_seeds >= FEWEST_CLUSTERS)


def squared_error_sums(table: ScoreTable, *, scale: float) -> Floats:
    """Sums squared errors and counts per user, from item scores 1 - |error| / scale.

    Returns:
        Shape (configurations, users, seeds, 2).

    Raises:
        ValueError: a score is missing; the caller takes complete configurations only.
    """
    if not bool(np.isfinite(table.scores).all()):
        raise ValueError("a figure of the whole corpus needs every item scored under every seed")
    starts = np.flatnonzero(np.r_[True, np.diff(table.user_of_item) != 0])
    squared = np.add.reduceat((scale * (1 - table.scores)) ** 2, starts, axis=1)
    counts = np.diff(np.r_[starts, len(table.user_of_item)])
    return np.stack([squared, np.broadcast_to(counts[None, :, None], squared.shape)], axis=-1)


def rmse(sums: Floats) -> Floats:
    """Returns the root mean squared error of summed squares and counts."""
    return np.asarray(np.sqrt(sums[..., 0] / sums[..., 1]))


def confusion_sums(predicted: Codes, gold: Codes, user_of_item: Codes, n_labels: int) -> Floats:
    """Counts hits, predictions and golds of each label per user.

    Args:
        predicted: label codes (configurations, items, seeds); a code outside the labels is wrong.
        gold: label codes (items,).
        user_of_item: ascending.
        n_labels: how many labels there are.

    Returns:
        Shape (configurations, users, seeds, 3 n_labels).
    """
    starts = np.flatnonzero(np.r_[True, np.diff(user_of_item) != 0])
    columns = []
    for label in range(n_labels):
        said, true = predicted == label, (gold == label)[None, :, None]
        columns += [said & true, said, np.broadcast_to(true, said.shape)]
    summed = [np.add.reduceat(column.astype(np.float64), starts, axis=1) for column in columns]
    return np.stack(summed, axis=-1)


def macro_f1(sums: Floats) -> Floats:
    """Returns the mean over labels of 2 hits / (predictions + golds); a label never met counts 0."""
    counts = sums.reshape(*sums.shape[:-1], -1, 3)
    met = counts[..., 1] + counts[..., 2]
    f1 = np.divide(2 * counts[..., 0], met, out=np.zeros_like(met), where=met > 0)
    return np.asarray(f1.mean(axis=-1))


def corpus_contrast(
    task: str, sums: Floats, weights: Floats, figure: Figure, draws: Draws, *, n_items: int, unit: str
) -> Contrast:
    """Estimates a weighted sum of the configurations' figures, with the replicate variance.

    Raises:
        ValueError: there is one user only.
    """
    users, seeds = sums.shape[1:3]
    if users < 2:
        raise ValueError("one user: nothing is known about other users, so no interval")
    estimate = float(figure(sums.sum(axis=(1, 2))) @ weights)
    crossed = float((draws.figures(sums, figure) @ weights).var(ddof=1))
    v_users = float((draws.only_users().figures(sums, figure) @ weights).var(ddof=1))
    v_seeds = float((draws.only_seeds().figures(sums, figure) @ weights).var(ddof=1)) if seeds > 1 else 0.0
    v_users_missed = v_users / (users - 1)
    v_seeds_missed = v_seeds / (seeds - 1) if seeds > 1 else 0.0
    variance = crossed + v_users_missed + v_seeds_missed
    parts = (v_users + v_users_missed) ** 2 / (users - 1)
    if seeds > 1:
        parts += (v_seeds + v_seeds_missed) ** 2 / (seeds - 1)
    spread = variance > 0 and parts > 0
    return Contrast(
        task=task,
        estimate=estimate,
        se=math.sqrt(variance) if spread else None,
        df=max(1.0, variance**2 / parts) if spread else None,
        unit=unit,
        n_users=users,
        n_items=n_items,
        n_seeds=seeds,
        components=None,
        note="" if spread else "every draw gives the same figure: there is no spread",
    )
