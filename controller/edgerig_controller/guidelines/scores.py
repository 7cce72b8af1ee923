"""Item scores of many configurations as one array, and contrasts between them.

`ScoreTable` holds one task: scores[configuration, item, seed], with NaN where
a score is missing. A contrast is a weight per configuration (+1 and -1 for a
pair, halves for an average of two pairs); it is taken item by item before
anything is averaged, so that every configuration is judged on the same users,
items and seeds. A million scores are contrasted in milliseconds.

Failed cells are rows too (`FailedCell`): a configuration that ran out of
memory is a finding and must not vanish with its scores. Knows nothing of
files, studies or the store: codes and arrays come in.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from edgerig_controller.guidelines.estimate import spread_of_mean, t_quantile

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
POINTS = 100.0


@dataclass(frozen=True)
class Config:
    """One configuration: the factors of its cells, and figures known of it beforehand.

    `facts` may hold `parameters`, `ram_tier_bytes` and `train_samples`.
    """

    config_id: str
    factors: Mapping[str, Any]
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FailedCell:
    """A cell that gave no scores: status is oom, timeout, diverged, invalid or not_run."""

    config_id: str
    task: str
    seed: int
    status: str


@dataclass(frozen=True)
class UserMeans:
    """A contrast averaged over items: `means` has shape (users, seeds), in score units."""

    means: Floats
    n_items: int
    note: str
    # The same with items instead of users weighed equally.
    micro: float | None = None


@dataclass(frozen=True)
class Contrast:
    """A signed difference on one task, with its standard error; no error = no interval.

    `estimate` and `se` are in `unit`. The components are variances of one
    user, of one seed and of one user-seed cell (items averaged inside), in unit^2.
    """

    task: str
    estimate: float
    se: float | None
    df: float | None
    unit: str
    n_users: int
    n_items: int
    n_seeds: int
    components: tuple[float, float, float] | None
    note: str
    # What was contrasted, by configuration, and on which device where that matters.
    weights: Mapping[str, float] = field(default_factory=dict)
    device: str = ""
    # The estimate with items instead of users weighed equally, in `unit`; None where it has no items.
    micro: float | None = None

    def interval(self, level: float) -> tuple[float, float] | None:
        """Returns estimate ± t(df) SE, or None where there is no standard error."""
        if self.se is None or self.df is None:
            return None
        half = t_quantile(level, self.df) * self.se
        return self.estimate - half, self.estimate + half


@dataclass(frozen=True)
class McNemar:
    """How many items the claim's side alone answers (`won`) and the other alone (`lost`), under one seed."""

    seed: int
    won: int
    lost: int
    p: float


@dataclass(frozen=True)
class ScoreTable:
    """Scores of all configurations on one task; `user_of_item` ascends."""

    task: str
    configs: tuple[str, ...]
    seeds: tuple[int, ...]
    user_of_item: Codes
    scores: Floats

    @staticmethod
    def of_codes(
        task: str,
        configs: tuple[str, ...],
        seeds: tuple[int, ...],
        *,
        config: Codes,
        user: Codes,
        item: Codes,
        seed: Codes,
        score: Floats,
    ) -> ScoreTable:
        """Builds the table from one row per score; the codes index configs, users, items and seeds.

        Repeats of an item under the same seed are averaged: they are no new
        evidence about items. Items are told apart by (user, item).

        Raises:
            ValueError: a score is not a finite number, or the columns differ in length.
        """
        if len({len(column) for column in (config, user, item, seed, score)}) != 1:
            raise ValueError("the columns of scores differ in length")
        if not bool(np.all(np.isfinite(score))):
            raise ValueError(f"task {task!r} has a score that is not a finite number")
        width = int(item.max()) + 1 if len(item) else 1
        keys, position = np.unique(user * width + item, return_inverse=True)
        shape = (len(configs), len(keys), len(seeds))
        flat = (config * shape[1] + position) * shape[2] + seed
        size = math.prod(shape)
        total = np.bincount(flat, weights=score, minlength=size)
        count = np.bincount(flat, minlength=size)
        cube = np.full(size, np.nan)
        np.divide(total, count, out=cube, where=count > 0)
        return ScoreTable(task, configs, seeds, keys // width, cube.reshape(shape))

    def has(self, config_id: str) -> bool:
        """Tells whether the configuration has any score here."""
        return config_id in self.configs and bool(
            np.isfinite(self.scores[self.configs.index(config_id)]).any()
        )

    def users(self, kept: Codes) -> ScoreTable:
        """Returns the table of some of the users."""
        keep = np.isin(self.user_of_item, kept)
        return ScoreTable(self.task, self.configs, self.seeds, self.user_of_item[keep], self.scores[:, keep])

    def of_seeds(self, seeds: Collection[int]) -> ScoreTable:
        """Returns the table of some of the seeds."""
        columns = [at for at, seed in enumerate(self.seeds) if seed in seeds]
        return ScoreTable(
            self.task,
            self.configs,
            tuple(self.seeds[at] for at in columns),
            self.user_of_item,
            self.scores[:, :, columns],
        )

    def half(self, first: bool) -> ScoreTable:
        """Returns one of two halves that share no user and, from four seeds on, no seed.

        What is chosen on one half can be estimated on the other without the
        winner's luck. With fewer than four seeds both halves keep all of them.
        """
        users, rank = np.unique(self.user_of_item, return_inverse=True)
        if len(users) < 2:
            raise ValueError(f"task {self.task!r} has one user: it cannot be split into halves")
        keep = (rank % 2 == 1) if first else (rank % 2 == 0)
        at = np.arange(len(self.seeds))
        columns = at if len(at) < 4 else at[at % 2 == (1 if first else 0)]
        return ScoreTable(
            self.task,
            self.configs,
            tuple(self.seeds[i] for i in columns),
            self.user_of_item[keep],
            self.scores[:, keep][:, :, columns],
        )

    def user_means(self, weights: Mapping[str, float]) -> UserMeans | None:
        """Averages a contrast over the items of each user; None when nothing is complete.

        A seed counts if every configuration of the contrast ran under it, an
        item if it was scored under all of those seeds: else the difference of
        two seeds would partly be a difference of their items.
        """
        rows = [self.configs.index(name) for name in weights]
        cube = self.scores[rows]
        alive = np.isfinite(cube).any(axis=1).all(axis=0)
        if not bool(alive.any()):
            return None
        difference = np.tensordot(np.array(list(weights.values())), cube[:, :, alive], axes=1)
        complete = np.isfinite(difference).all(axis=1)
        if not bool(complete.any()):
            return None
        users = self.user_of_item[complete]
        starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]])
        counts = np.diff(np.r_[starts, len(users)])
        means = np.add.reduceat(difference[complete], starts, axis=0) / counts[:, None]
        lost_items, lost_seeds = int((~complete).sum()), int((~alive).sum())
        notes = [f"{lost_items} items left out that some seed lacks"] if lost_items else []
        notes += [f"{lost_seeds} seeds left out that some configuration lacks"] if lost_seeds else []
        return UserMeans(means, int(complete.sum()), "; ".join(notes), float(difference[complete].mean()))

    def mcnemar(self, weights: Mapping[str, float]) -> McNemar | None:
        """Counts the items that one side alone answers, by the first seed that both have.

        None unless the contrast is of one pair and every score is 0 or 1. Exact two-sided p
        (McNemar 1947): a check beside the interval, for items of one user are not independent.
        """
        if sorted(weights.values()) != [-1.0, 1.0]:
            return None
        names = sorted(weights, key=lambda name: weights[name])
        minus, plus = (self.scores[self.configs.index(name)] for name in names)
        for at, seed in enumerate(self.seeds):
            both = np.isfinite(plus[:, at]) & np.isfinite(minus[:, at])
            a, b = plus[both, at], minus[both, at]
            if not len(a):
                continue
            if not bool(np.isin(np.r_[a, b], (0.0, 1.0)).all()):
                return None
            won, lost = int((a > b).sum()), int((a < b).sum())
            p = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
            return McNemar(seed, won, lost, p)
        return None

    def contrast(self, weights: Mapping[str, float], *, scale: float = POINTS) -> Contrast | None:
        """Estimates a weighted sum of qualities, in points of a hundred unless scaled otherwise.

        Raises:
            ValueError: a configuration is not in the table.
        """
        unknown = set(weights) - set(self.configs)
        if unknown:
            raise ValueError(f"task {self.task!r} has no configuration {sorted(unknown)[0]!r}")
        found = self.user_means(weights)
        if found is None:
            return None
        return replace(contrast_of_means(self.task, found, scale=scale), weights=dict(weights))


def contrast_of_means(task: str, found: UserMeans, *, scale: float = POINTS) -> Contrast:
    """Turns a users x seeds table into a contrast with the two-way standard error."""
    means = found.means * scale
    spread = spread_of_mean(means)
    users, seeds = means.shape
    note = "; ".join(text for text in (spread.note, found.note) if text)
    return Contrast(
        task=task,
        estimate=float(means.mean()),
        se=None if spread.variance is None else math.sqrt(spread.variance),
        df=None if spread.variance is None else spread.df,
        unit="points" if scale == POINTS else "score",
        n_users=users,
        n_items=found.n_items,
        n_seeds=seeds,
        components=_components(means) if spread.variance is not None else None,
        note=note,
        micro=None if found.micro is None else found.micro * scale,
    )


def _components(means: Floats) -> tuple[float, float, float]:
    """Splits the variance into that of a user, a seed and their meeting (ANOVA estimates).

    Not cut at zero, so that the mean over tasks stays unbiased; one may be negative.
    """
    users, seeds = means.shape
    rows, columns = means.mean(axis=1), means.mean(axis=0)
    if seeds == 1:
        return float(rows.var(ddof=1)), 0.0, 0.0
    rest = means - rows[:, None] - columns[None, :] + means.mean()
    both = float((rest**2).sum()) / ((users - 1) * (seeds - 1))
    user = float(rows.var(ddof=1)) - both / seeds
    seed = float(columns.var(ddof=1)) - both / users
    return user, seed, both


def average(weights: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Averages several contrasts into one."""
    total: dict[str, float] = {}
    for entry in weights:
        for name, weight in entry.items():
            total[name] = total.get(name, 0.0) + weight / len(weights)
    return total
