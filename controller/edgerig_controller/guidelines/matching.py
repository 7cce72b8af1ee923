"""Which configurations are compared with which: equal in everything but what the claim names.

A factor that a selector names is free on both sides (the whole factor for
`method.kind`, the parameter alone for any other parameter); all other factors
must be equal, so that a difference cannot be that of another factor.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgerig_controller.guidelines.resources import RunTable
from edgerig_controller.guidelines.scores import Config, FailedCell, ScoreTable, average
from edgerig_controller.study.selectors import matches

Selector = Mapping[str, Any]
Weights = dict[str, float]
# How the catalogue's compressions begin.
FAMILIES = {
    "none": ("none",),
    "quantised": ("rtn-", "gptq-", "awq-", "bnb-", "torchao-"),
    "pruned": ("magnitude", "wanda", "sparsegpt"),
    "distilled": ("distilled",),
}


@dataclass(frozen=True)
class TaskEvidence:
    """All records of one task: scores, figures of runs, failed cells, difficulty measured beforehand.

    `difficulty` maps D1 to D5 to values computed on development items only.
    """

    table: ScoreTable
    runs: tuple[RunTable, ...] = ()
    failed: tuple[FailedCell, ...] = ()
    difficulty: Mapping[str, float] | None = None
    emulated: bool = False
    # Name of the item score; '' where it is not known.
    metric: str = ""
    # User (as the table numbers them) -> items of history before any cut by the factor `history`.
    history_of_user: Mapping[int, int] | None = None


@dataclass(frozen=True)
class StudyRecords:
    """The records that claims are tested on; `instrument_check`: the models only test the instrument."""

    configs: tuple[Config, ...]
    tasks: tuple[TaskEvidence, ...]
    instrument_check: bool = False

    def select(self, selector: Selector) -> list[Config]:
        """Returns the configurations that meet every condition."""
        return [config for config in self.configs if matches(selector, config.factors)]

    def failures_of(self, names: Iterable[str]) -> tuple[str, ...]:
        """Words the cells of these configurations that gave no score at all on a task."""
        wanted = set(names)
        found = []
        for task in self.tasks:
            for name in sorted(wanted):
                if not task.table.has(name):
                    states = sorted({cell.status for cell in task.failed if cell.config_id == name})
                    found.append(f"{name} on {task.table.task}: {', '.join(states) or 'not_run'}")
        return tuple(found)


def matched_pairs(better: Sequence[Config], than: Sequence[Config], free: Iterable[str]) -> list[Weights]:
    """Returns one contrast per group of configurations that agree in everything that is not free.

    Several configurations on one side of a group are averaged.
    """
    names = set(free)
    sides: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for side, configs in enumerate((better, than)):
        for config in configs:
            sides[_key(config, names)][side].append(config.config_id)
    contrasts = []
    for left, right in sides.values():
        if left and right and not set(left) & set(right):
            weights = {name: 1.0 / len(left) for name in left}
            contrasts.append(weights | {name: -1.0 / len(right) for name in right})
    return contrasts


def free_names(*selectors: Selector) -> set[str]:
    """Returns what selectors leave free: a kind frees its whole factor."""
    return {name.removesuffix(".kind") for selector in selectors for name in selector}


def averaged_pairs(better: Sequence[Config], than: Sequence[Config], free: Iterable[str]) -> Weights | None:
    """Returns the average of all matched pairs, or None when nothing matches."""
    found = matched_pairs(better, than, free)
    return average(found) if found else None


def level(config: Config, name: str) -> Any:
    """Returns the value of a factor or of a factor's parameter; None where the factor lacks it."""
    factor, _, parameter = name.partition(".")
    value = config.factors.get(factor)
    if isinstance(value, Mapping):
        return value.get(parameter or "kind")
    return None if parameter else value


def compression_family(config: Config) -> str:
    """Returns none, quantised, pruned, distilled or other, from how the compression's kind begins."""
    kind = str(level(config, "compression.kind") or "none")
    return next((name for name, beginnings in FAMILIES.items() if kind.startswith(beginnings)), "other")


def _key(config: Config, free: set[str]) -> str:
    fixed: dict[str, Any] = {}
    for name, value in config.factors.items():
        if name in free:
            continue
        if isinstance(value, Mapping):
            fixed[name] = {key: entry for key, entry in value.items() if f"{name}.{key}" not in free}
        else:
            fixed[name] = value
    return json.dumps(fixed, sort_keys=True, default=str)
