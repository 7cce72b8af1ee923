"""Joint replicates of the quality of several configurations: what else their means could have been.

Multivariate t around the estimated means, with the covariance of configurations over
the users and over the seeds that all of them share. Users who are hard for every
configuration move all of them together, so they do not blur differences. A crossed
bootstrap would cover too little with few users or seeds (its percentile interval covers
0.90 to 0.92 with five seeds), which is why none is drawn here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgerig_controller.guidelines.scores import Floats

DRAWS, DRAW_SEED = 4000, 20240607
NO_SEEDS = "; the luck of training seeds is not in them (one seed, or not the same seeds)"


@dataclass(frozen=True)
class Replicates:
    """Draws (draws, configurations) in the unit of the means, their degrees of freedom and a note."""

    draws: Floats
    df: float
    note: str


def replicates(per_config: Sequence[Floats], *, draws: int = DRAWS, seed: int = DRAW_SEED) -> Replicates:
    """Draws the mean quality of each configuration.

    Args:
        per_config: means over items, one table (users, seeds) per configuration; the same users
            in all of them.
        draws: how many.
        seed: of the generator.

    Raises:
        ValueError: there is one user, or the tables differ in their users.
    """
    users = {means.shape[0] for means in per_config}
    if len(users) != 1 or users == {1}:
        raise ValueError("joint replicates need the same two users or more for all configurations")
    by_user = np.array([means.mean(axis=1) for means in per_config])
    n_users = by_user.shape[1]
    covariance = np.atleast_2d(np.cov(by_user)) / n_users
    df, note = float(n_users - 1), ""
    seeds = {means.shape[1] for means in per_config}
    if len(seeds) == 1 and max(seeds) > 1:
        count = max(seeds)
        by_seed = np.array([means.mean(axis=0) for means in per_config])
        over_seeds = np.atleast_2d(np.cov(by_seed)) / count
        if float(np.trace(over_seeds)) > 0:
            # Satterthwaite's df of the sum, taken over all configurations together.
            a, b = float(np.trace(covariance)), float(np.trace(over_seeds))
            df = (a + b) ** 2 / (a**2 / (n_users - 1) + b**2 / (count - 1))
            covariance = covariance + over_seeds
    else:
        note = NO_SEEDS
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((draws, len(per_config))) @ root.T
    scale = np.sqrt(rng.chisquare(df, size=(draws, 1)) / df)
    return Replicates(by_user.mean(axis=1) + normal / scale, df, note)
