"""What records hold about one claim, and how a single contrast becomes such a finding.

Every measure of a claim returns a `Finding`: the effect, what is missing, and
further conditions. Knows contrasts and tasks; which contrasts a claim is about
is in `hypotheses` and `claims`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from edgerig_controller.guidelines.effects import Effect, effect_of
from edgerig_controller.guidelines.matching import (
    Selector,
    StudyRecords,
    Weights,
    averaged_pairs,
    free_names,
)
from edgerig_controller.guidelines.scores import Contrast, ScoreTable

NOTHING_COMMON = "on a task no item was scored on all sides under every seed"
ONE_USER = "a task has one user: nothing can be chosen on another half"


@dataclass(frozen=True)
class Finding:
    """What the records hold about one claim."""

    effect: Effect | None
    missing: tuple[str, ...] = ()
    checks: tuple[tuple[str, bool], ...] = ()
    # The same claim under other registered definitions.
    alternates: tuple[tuple[str, Effect], ...] = ()
    # What was chosen, and other figures that the report prints.
    facts: Mapping[str, Any] = field(default_factory=dict)
    # Every configuration that the claim looks at, chosen or not: an open claim needs all of them.
    cells: frozenset[str] = frozenset()


Measure = Callable[[StudyRecords, float], Finding]


def absent(what: str) -> Finding:
    """The finding when the study has no cells for a claim."""
    return Finding(None, (what,))


def measured(records: StudyRecords, weights: Weights | None, what: str, **facts: Any) -> Finding:
    """Measures one contrast on all tasks; a task on which a required cell has no score is said."""
    if not weights:
        return absent(f"the study has no matched cells: {what}")
    missing = records.failures_of(weights)
    if missing:
        return Finding(None, missing)
    contrasts = contrasts_of([task.table for task in records.tasks], weights)
    if len(contrasts) < len(records.tasks):
        return absent(f"{NOTHING_COMMON}: {what}")
    checks = {
        task.table.task: asdict(check) for task in records.tasks if (check := task.table.mcnemar(weights))
    }
    facts |= {"mcnemar": checks} if checks else {}
    return Finding(effect_of(contrasts), facts=facts, cells=frozenset(weights))


def difference(better: Selector, than: Selector, what: str) -> Measure:
    """Makes the measure of: cells of one selector against matched cells of the other."""

    def measure(records: StudyRecords, delta: float) -> Finding:
        del delta
        free = free_names(better, than)
        return measured(records, averaged_pairs(records.select(better), records.select(than), free), what)

    return measure


def contrasts_of(tables: Sequence[ScoreTable], weights: Weights) -> list[Contrast]:
    """Takes a contrast on every task that has it."""
    found = [table.contrast(weights) for table in tables]
    return [entry for entry in found if entry is not None]


def mean_of(tables: Sequence[ScoreTable], weights: Weights) -> float:
    """Returns the plain mean of a contrast over tasks, in points; 0 where no task has it."""
    contrasts = contrasts_of(tables, weights)
    return float(np.mean([entry.estimate for entry in contrasts])) if contrasts else 0.0


def halves_of(tables: Sequence[ScoreTable]) -> tuple[list[ScoreTable], list[ScoreTable]] | None:
    """Splits every task into a half that chooses and one that estimates; None where a task has one user."""
    if any(len(np.unique(table.user_of_item)) < 2 for table in tables):
        return None
    return [table.half(True) for table in tables], [table.half(False) for table in tables]
