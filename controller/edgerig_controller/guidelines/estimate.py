"""Estimates with intervals: pure functions over score records and run figures.

The estimand of quality is the mean over seeds of the mean over users of the
mean over items (macro over users). Users and seeds are two crossed random
factors: an interval that resamples only items or only users would call the
luck of one training seed a finding.

Variance of the mean of a complete users x seeds table, items averaged inside
users (two-way random effects, Searle, Casella and McCulloch 1992, ch. 4; the
form V_users + V_seeds - V_users x seeds is that of multiway clustering,
Cameron, Gelbach and Miller 2011, with the intersection taken from the
interaction mean square, which makes the sum unbiased):

    V_users = MS_users / (U S),  V_seeds = MS_seeds / (U S),  V_both = MS_both / (U S)
    V       = max(V_users + V_seeds - V_both, V_users, V_seeds)

The maximum is the usual truncation of a negative variance component at zero.
Degrees of freedom after Satterthwaite (1946):

    df = V^2 / (V_users^2 / (U-1) + V_seeds^2 / (S-1) + V_both^2 / ((U-1)(S-1)))

Coverage of the nominal 95 % interval in simulation (tests/controller/
guidelines): 0.94 to 0.98 from five seeds on; with two or three seeds and a
seed effect that dominates it falls to 0.88 and 0.92, which the note says.

Nothing here knows of files, studies or the database.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from edgerig_controller.guidelines.records import Records, ScoreTuple, user_seed_table

LEVEL = 0.95
FEW_SEEDS_NOTE = {
    2: "two seeds: where seeds differ much the interval covers 0.88 instead of 0.95",
    3: "three seeds: where seeds differ much the interval covers 0.92 instead of 0.95",
}
STEADY_NOTE = "the seed changes nothing here"


@dataclass(frozen=True)
class ScoreEstimate:
    """A quality figure (or a difference of two) in score units, with its interval.

    `estimate` is None when there was nothing to estimate from; `low` and
    `high` are None when the data hold no spread to build an interval on. The
    reason stands in `note`. `micro` weighs items equally instead of users.
    """

    estimate: float | None
    low: float | None
    high: float | None
    level: float
    df: float | None
    n_users: int
    n_items: int
    n_seeds: int
    method: str
    note: str
    micro: float | None


@dataclass(frozen=True)
class MeanEstimate:
    """The mean of one figure over runs, with its t interval in the figure's unit."""

    estimate: float | None
    low: float | None
    high: float | None
    level: float
    df: float | None
    n: int
    sd: float | None
    method: str
    note: str


def t_quantile(level: float, df: float) -> float:
    """Returns the two-sided Student quantile: about 1.96 for level 0.95 and a large df.

    Raises:
        ValueError: the level is not between 0 and 1, or df is not positive.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a number between 0 and 1")
    if not df > 0:
        raise ValueError(f"df is {df}, expected a positive number")
    return float(stdtrit(df, 0.5 + level / 2))


def mean_interval(values: Sequence[float], *, level: float = LEVEL) -> MeanEstimate:
    """Estimates the mean over runs; the run is the unit (a run is one attempt).

    Raises:
        ValueError: a value is not a finite number.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size and not bool(np.all(np.isfinite(array))):
        raise ValueError("a run figure is not a finite number")
    n = int(array.size)
    method = "student t over runs"
    if n == 0:
        return MeanEstimate(None, None, None, level, None, 0, None, method, "no run has this figure")
    mean = float(array.mean())
    if n == 1:
        return MeanEstimate(mean, None, None, level, None, 1, None, method, "one run: no interval")
    sd = float(array.std(ddof=1))
    half = t_quantile(level, n - 1) * sd / math.sqrt(n)
    return MeanEstimate(mean, mean - half, mean + half, level, float(n - 1), n, sd, method, "")


def macro_mean(rows: Records | Iterable[ScoreTuple], *, level: float = LEVEL) -> ScoreEstimate:
    """Estimates the quality of one configuration from its item scores."""
    return _estimate(_records(rows).scores, level, "two-way mean", "no item was scored")


def paired_contrast(
    a: Records | Iterable[ScoreTuple], b: Records | Iterable[ScoreTuple], *, level: float = LEVEL
) -> ScoreEstimate:
    """Estimates quality of `a` minus quality of `b` on identical items and seeds.

    Rows are (user_id, item_id, seed, score). Only keys that both sides have
    enter; `n_users`, `n_items` and `n_seeds` count what entered.

    Raises:
        ValueError: a score is not a finite number, or the level is not in (0, 1).
    """
    left, right = _records(a).scores, _records(b).scores
    difference = {key: left[key] - right[key] for key in left.keys() & right.keys()}
    unpaired = len(left) + len(right) - 2 * len(difference)
    estimate = _estimate(difference, level, "two-way paired", "the two sides share no item and seed")
    if not unpaired or not difference:
        return estimate
    return replace(estimate, note=_join(estimate.note, f"{unpaired} scores without a partner left out"))


def _records(rows: Records | Iterable[ScoreTuple]) -> Records:
    return rows if isinstance(rows, Records) else Records.of(rows)


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _estimate(
    scores: dict[tuple[str, str, int], float], level: float, method: str, empty_note: str
) -> ScoreEstimate:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a number between 0 and 1")
    table = user_seed_table(scores)
    if table is None:
        note = "no item was scored under every seed" if scores else empty_note
        return ScoreEstimate(None, None, None, level, None, 0, 0, 0, method, note, None)
    spread = spread_of_mean(table.means)
    dropped = f"{table.dropped_items} items that some seed lacks left out" if table.dropped_items else ""
    estimate = float(table.means.mean())
    half = None if spread.variance is None else t_quantile(level, spread.df) * math.sqrt(spread.variance)
    return ScoreEstimate(
        estimate=estimate,
        low=None if half is None else estimate - half,
        high=None if half is None else estimate + half,
        level=level,
        df=None if half is None else spread.df,
        n_users=len(table.users),
        n_items=table.item_count,
        n_seeds=len(table.seeds),
        method=f"{method} ({spread.kind})" if half is not None else method,
        note=_join(spread.note, dropped),
        micro=table.micro,
    )


@dataclass(frozen=True)
class Spread:
    """Variance of the mean and its degrees of freedom; no variance = no interval."""

    variance: float | None
    df: float
    kind: str
    note: str


def spread_of_mean(means: npt.NDArray[np.float64]) -> Spread:
    """Estimates the variance of the mean of a users x seeds table (formulae in the module's text)."""
    users, seeds = means.shape
    if users == 1:
        return Spread(None, math.nan, "", "one user: nothing is known about other users, so no interval")
    rows, columns = means.mean(axis=1), means.mean(axis=0)
    v_users = float(rows.var(ddof=1)) / users
    # Scores are of order 1; anything below this is rounding of identical rows.
    negligible = 1e-24
    if seeds == 1:
        if v_users < negligible:
            return _no_spread()
        note = "one seed: the spread between seeds is not in the interval"
        return Spread(v_users, float(users - 1), "users", note)
    v_seeds = float(columns.var(ddof=1)) / seeds
    residual = means - rows[:, None] - columns[None, :] + means.mean()
    v_both = float((residual**2).sum()) / ((users - 1) * (seeds - 1)) / (users * seeds)
    variance = max(v_users + v_seeds - v_both, v_users, v_seeds)
    if variance < negligible:
        return _no_spread()
    if v_seeds < negligible and v_both < negligible:
        return Spread(variance, float(users - 1), "users", STEADY_NOTE)
    uncertainty = (
        v_users**2 / (users - 1) + v_seeds**2 / (seeds - 1) + v_both**2 / ((users - 1) * (seeds - 1))
    )
    df = max(variance**2 / uncertainty, 1.0)
    return Spread(variance, df, "users and seeds", FEW_SEEDS_NOTE.get(seeds, ""))


def _no_spread() -> Spread:
    note = "every user has the same value: there is no spread to build an interval on"
    return Spread(None, math.nan, "", note)
