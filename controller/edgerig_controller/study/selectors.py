"""Dotted selectors: which cells a condition such as `{method.kind: lora}` means.

Used by exclusions of the study and of the catalogue and by claims. Knows cells
only by their factors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edgerig.errors import Problem
from edgerig_controller.study.problems import nearest
from edgerig_controller.study.yaml_source import Document, Path

Factors = Mapping[str, Any]
# How `history: all` stands in trials.
ALL = -1


def matches(selector: Mapping[str, Any], factors: Factors) -> bool:
    """Tell whether a cell meets every condition; a list of values means any of them.

    No condition at all matches nothing: it is a mistake, and must not exclude everything.
    """
    return bool(selector) and all(_meets(name, wanted, factors) for name, wanted in selector.items())


def check(selector: Mapping[str, Any], path: Path, names: Iterable[str], document: Document) -> list[Problem]:
    """Find conditions on factors that the study does not have.

    Args:
        selector: the conditions.
        path: where they stand in the file.
        names: the factors and their parameters, as `names_of` lists them.
        document: the file, for the places.
    """
    known = set(names)
    return [
        Problem(document.key_place((*path, name)), f"there is no factor `{name}`", nearest(name, known))
        for name in selector
        if name not in known
    ]


def names_of(cells: Iterable[Factors]) -> set[str]:
    """List what a selector can ask for: factors, and `factor.parameter` where a factor has parameters."""
    names: set[str] = set()
    for factors in cells:
        for name, value in factors.items():
            names.add(name)
            if isinstance(value, Mapping):
                names.update(f"{name}.{key}" for key in value)
    return names


def _meets(name: str, wanted: Any, factors: Factors) -> bool:
    factor, _, parameter = name.partition(".")
    value = factors.get(factor)
    if isinstance(value, Mapping):
        # `method: lora` is short for `method.kind: lora`.
        value = value.get(parameter or "kind")
    elif parameter:
        return False
    options = wanted if isinstance(wanted, (list, tuple)) else (wanted,)
    return value is not None and any(_same(value, option) for option in options)


def _same(value: Any, wanted: Any) -> bool:
    # In Python True equals 1; in a study file they are different values.
    if isinstance(value, bool) != isinstance(wanted, bool):
        return False
    return bool(value == wanted) or {value, wanted} == {"all", ALL}
