"""What the data could have found, and how much more data would settle a claim.

Minimal detectable effect at 80 % power of a two-sided 5 % test:
(t_0.975 + t_0.8) SE. Two one-sided tests at 5 % with 80 % power at a true zero
need delta >= (t_0.95 + t_0.9) SE (Schuirmann 1987; about 2.93 SE for large df).
Projections scale the variance components that were found; they are estimates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import stdtrit

POWER = 0.8


@dataclass(frozen=True)
class Spread:
    """Variance components of one task's contrast (unit^2) and its sizes; `tau2` between `n_tasks` tasks."""

    user: float
    seed: float
    both: float
    n_users: int
    n_items: int
    n_seeds: int
    tau2: float = 0.0
    n_tasks: int = 1

    def se(self, users: int, seeds: int, tasks: int) -> float:
        """Returns the standard error of the mean at other sizes (users, seeds per task)."""
        within = self.user / users + self.seed / seeds + self.both / (users * seeds)
        return math.sqrt(max(self.tau2 + within, 0.0) / tasks)


@dataclass(frozen=True)
class Needed:
    """How many more of one kind, the others unchanged, would settle a claim; None: no number would."""

    items: int | None
    users: int | None
    seeds: int | None
    tasks: int | None


def mde(se: float, df: float, *, alpha: float = 0.05) -> float:
    """Returns the minimal detectable effect at 80 % power, in the unit of the standard error.

    Raises:
        ValueError: se is negative or df is not positive.
    """
    if se < 0 or not df > 0:
        raise ValueError(f"standard error {se} and df {df} give no minimal detectable effect")
    return se * float(stdtrit(df, 1 - alpha / 2) + stdtrit(df, POWER))


def equivalence_reach(se: float, df: float) -> float:
    """Returns the smallest delta within which equivalence would be shown with 80 % power at a true zero."""
    return se * float(stdtrit(df, 0.95) + stdtrit(df, 0.5 + POWER / 2))


def needed(spread: Spread, se_target: float) -> Needed:
    """Projects what would bring the standard error down to a target, one kind at a time.

    Items are added as new users with as many items each as now, because more
    items of the same users leave the users' own spread where it is.

    Raises:
        ValueError: the target is not positive.
    """
    if not se_target > 0:
        raise ValueError(f"a standard error of {se_target} cannot be reached")
    allowed = spread.n_tasks * se_target**2 - spread.tau2
    per_user = spread.user + spread.both / spread.n_seeds
    users = _count(per_user, allowed - spread.seed / spread.n_seeds, spread.n_users)
    per_seed = spread.seed + spread.both / spread.n_users
    seeds = _count(per_seed, allowed - spread.user / spread.n_users, spread.n_seeds)
    one_task = spread.se(spread.n_users, spread.n_seeds, 1)
    tasks = _count(one_task**2, se_target**2, spread.n_tasks)
    items = None if users is None else math.ceil(users * spread.n_items / spread.n_users)
    return Needed(items, users, seeds, tasks)


def _count(variance_of_one: float, allowed: float, present: int) -> int | None:
    if allowed <= 0:
        return None
    return max(0, math.ceil(variance_of_one / allowed - 1e-9) - present)
