"""Item scores as arrays, in the shape that the estimators need.

Knows nothing of where scores come from: rows of the store, lines of an
export and simulated worlds all become `Records` through `Records.of`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# (user_id, item_id, seed, score)
ScoreTuple = tuple[str, str, int, float]
Key = tuple[str, str, int]


@dataclass(frozen=True)
class Records:
    """Scores of one configuration on one task, keyed by user, item and seed.

    A key occurs once: repeats of the same item under the same seed are
    averaged on the way in, because they are not new evidence about items.
    """

    scores: dict[Key, float]

    @staticmethod
    def of(rows: Iterable[ScoreTuple]) -> Records:
        """Collects score rows.

        Raises:
            ValueError: a score is not a finite number.
        """
        collected: dict[Key, list[float]] = defaultdict(list)
        for user_id, item_id, seed, score in rows:
            if not np.isfinite(score):
                raise ValueError(f"score of item {item_id!r} of user {user_id!r} is {score}, not a number")
            collected[(user_id, item_id, seed)].append(float(score))
        return Records({key: sum(values) / len(values) for key, values in collected.items()})


@dataclass(frozen=True)
class UserSeedTable:
    """Means over items, one row per user and one column per seed.

    `means` has shape (users, seeds). Every user has the same items under
    every seed; `dropped_items` counts the items that some seed lacked.
    """

    means: npt.NDArray[np.float64]
    users: tuple[str, ...]
    seeds: tuple[int, ...]
    item_count: int
    # Mean over items instead of users: weighs users by how many items they have.
    micro: float
    dropped_items: int


def user_seed_table(scores: dict[Key, float]) -> UserSeedTable | None:
    """Averages items inside users; None when no item was scored under every seed.

    An item counts only if every seed has it: otherwise the difference between
    two seeds would partly be a difference between their items.
    """
    seeds = tuple(sorted({seed for _, _, seed in scores}))
    per_item: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for (user_id, item_id, seed), score in scores.items():
        per_item[(user_id, item_id)][seed] = score
    complete = {item: found for item, found in per_item.items() if len(found) == len(seeds)}
    if not complete:
        return None
    rows: dict[str, list[list[float]]] = defaultdict(list)
    for (user_id, _), found in sorted(complete.items()):
        rows[user_id].append([found[seed] for seed in seeds])
    users = tuple(sorted(rows))
    means = np.array([np.mean(np.array(rows[user]), axis=0) for user in users], dtype=np.float64)
    everything = np.array([line for user in users for line in rows[user]], dtype=np.float64)
    return UserSeedTable(
        means=means,
        users=users,
        seeds=seeds,
        item_count=len(complete),
        micro=float(everything.mean()),
        dropped_items=len(per_item) - len(complete),
    )
