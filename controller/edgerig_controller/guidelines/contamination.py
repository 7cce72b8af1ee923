"""Contamination: does a model prefer the test answers more than skill explains?

From losses per item (nats per token) to three differences with t intervals over
users. Nothing here can show that a model never saw the data: `no sign` says that its answers
are no better known than other answers of the same user, so that no result can rest on a memory of them.
Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgerig_controller.guidelines.estimate import MeanEstimate, mean_interval

State = Literal["no sign", "not excluded", "sign", "unknown"]
FEWEST_USERS = 5


@dataclass(frozen=True)
class ItemLosses:
    """Losses of one item; see `edgerig_workload.contamination`. None where its question lists no options."""

    user_id: str
    own: float
    other: float
    own_k: float
    other_k: float
    own_reordered: float | None
    other_reordered: float | None


Figure = Callable[[ItemLosses], float]


@dataclass(frozen=True)
class Contamination:
    """What the probe says of one model on one task.

    `gap` is how much less the expected answers cost than other answers of the same user, `gap_k`
    the same over the least likely tokens (Min-k%), `wording` how much of the gap goes when the
    options of the question stand in another order. All in nats per token, users being the units.
    """

    model: str
    task: str
    state: State
    gap: MeanEstimate
    gap_k: MeanEstimate
    wording: MeanEstimate | None
    n_items: int
    reason: str


def probe(model: str, task: str, losses: Sequence[ItemLosses]) -> Contamination:
    """Judges one model on one task.

    `sign`: right answers are preferred, and less so when options are reordered. `not excluded`:
    they are preferred, by skill or by memory. `no sign`: the interval of the gap holds 0 or lies below it.
    """
    gap = _over_users(losses, lambda row: row.other - row.own)
    gap_k = _over_users(losses, lambda row: row.other_k - row.own_k)
    listed = [row for row in losses if row.own_reordered is not None and row.other_reordered is not None]
    wording = _over_users(listed, _lost) if listed else None
    state, reason = _state(gap, wording)
    return Contamination(model, task, state, gap, gap_k, wording, len(losses), reason)


def _lost(row: ItemLosses) -> float:
    assert row.own_reordered is not None and row.other_reordered is not None
    return (row.other - row.own) - (row.other_reordered - row.own_reordered)


def _state(gap: MeanEstimate, wording: MeanEstimate | None) -> tuple[State, str]:
    if gap.n < FEWEST_USERS or gap.low is None or gap.estimate is None:
        return "unknown", f"{gap.n} users with two different answers; {FEWEST_USERS} are needed"
    if gap.low <= 0:
        return "no sign", "the right answers are not preferred to other answers of the same user"
    if wording is not None and wording.low is not None and wording.low > 0:
        return "sign", "the right answers are preferred, and less so when the options stand in another order"
    control = (
        "the question lists no options whose order could be changed"
        if wording is None
        else "reordering the options does not change that"
    )
    return "not excluded", f"the right answers are preferred, by skill or by memory; {control}"


def _over_users(losses: Sequence[ItemLosses], figure: Figure) -> MeanEstimate:
    by_user: Mapping[str, list[float]] = defaultdict(list)
    for row in losses:
        by_user[row.user_id].append(figure(row))
    return mean_interval([sum(values) / len(values) for values in by_user.values()])
