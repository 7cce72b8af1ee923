"""Crosses the factors of a study to cells, leaving out what is excluded.

Pure: no files, no catalogue other than its exclusions, no trials.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgerig_controller.study.prepared import Exclusion
from edgerig_controller.study.selectors import matches

CELLS = 100_000
TRIALS = 200_000


@dataclass(frozen=True)
class Rule:
    """Excludes the cells that a selector matches."""

    selector: Mapping[str, Any]
    reason: str
    from_study: bool


@dataclass(frozen=True)
class Expansion:
    """Cells to run, in the order of the file, and what was left out."""

    cells: tuple[dict[str, Any], ...]
    exclusions: tuple[Exclusion, ...]
    # Positions in the rules of those that matched no combination.
    idle_rules: tuple[int, ...]


def crossed(levels: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Yield every combination of levels; the last factor changes fastest."""
    for values in itertools.product(*levels.values()):
        yield dict(zip(levels, values, strict=True))


def expand(levels: Mapping[str, Sequence[Any]], rules: Sequence[Rule]) -> Expansion:
    """Cross the levels and apply the rules; a combination is excluded by the first rule that matches."""
    cells: list[dict[str, Any]] = []
    exclusions: list[Exclusion] = []
    used: set[int] = set()
    for factors in crossed(levels):
        matching = [number for number, rule in enumerate(rules) if matches(rule.selector, factors)]
        used.update(matching)
        if matching:
            rule = rules[matching[0]]
            exclusions.append(Exclusion(factors, rule.reason, "study" if rule.from_study else "catalogue"))
        else:
            cells.append(factors)
    idle = tuple(number for number in range(len(rules)) if number not in used)
    return Expansion(tuple(cells), tuple(exclusions), idle)


def labels(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name each cell shortly and uniquely: model and method, and whatever else varies in the study."""
    if not cells:
        return []
    names = list(cells[0])
    varying = [name for name in names if any(cell[name] != cells[0][name] for cell in cells)]
    shown = [name for name in names if name in varying or name in {"model", "method"}]
    differing = {name: _differing_parameters([cell[name] for cell in cells]) for name in shown}
    return [" ".join(_word(name, cell[name], differing[name]) for name in shown) for cell in cells]


def _differing_parameters(values: Sequence[Any]) -> dict[str, set[str]]:
    """Tells, for each kind, which parameters have more than one value in the study."""
    first: dict[str, Mapping[str, Any]] = {}
    differing: dict[str, set[str]] = {}
    for value in values:
        if isinstance(value, Mapping):
            known = first.setdefault(value["kind"], value)
            keys = {key for key in {*known, *value} if known.get(key) != value.get(key)}
            differing.setdefault(value["kind"], set()).update(keys)
    return differing


def _word(name: str, value: Any, differing: Mapping[str, set[str]]) -> str:
    if isinstance(value, Mapping):
        kind = value["kind"]
        # A server is known by what the study calls it.
        called = value.get("name", kind) if name == "engine" else kind
        shown = ",".join(
            f"{key}={value[key]}" for key in value if key in differing.get(kind, ()) and key != "name"
        )
        word = f"{called}({shown})" if shown else str(called)
        return f"{name}={word}" if name != "method" else word
    return f"{name}={value}" if name not in {"model", "task"} else str(value)
