"""Methods and compressions of a study against the catalogue: kinds, parameters, defaults.

Works on one level of a factor at a time; knows neither cells nor models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgerig.errors import Problem
from edgerig_controller.study import presets
from edgerig_controller.study.catalog import Catalog, Kind, Parameter
from edgerig_controller.study.problems import nearest, shown
from edgerig_controller.study.yaml_source import Document, Path

# Factor name in the study and the catalogue's section of its kinds.
SECTIONS = {"method": "methods", "compression": "compressions"}


def kinds(catalog: Catalog, factor: str) -> Mapping[str, Kind]:
    """Return the catalogue's section for a factor."""
    return catalog.methods if factor == "method" else catalog.compressions


def complete(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the defaults of a level whose parameters were checked.

    Whole numbers come out as integers, whatever the type of the parameter:
    8 and 8.0 are the same level and must have the same digest.
    """
    level: dict[str, Any] = {"kind": given["kind"]}
    for name, parameter in kind.parameters.items():
        value = given.get(name, parameter.default)
        if value is not None:
            level[name] = _whole(value)
    return level


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def check(document: Document, catalog: Catalog) -> list[Problem]:
    """Find what is wrong with the methods and compressions of a study file.

    Reads the file's values themselves, so that it can be used when other parts
    of the study are faulty. Faults of shape are left to the schema.
    """
    factors = document.value.get("factors") if isinstance(document.value, dict) else None
    problems: list[Problem] = []
    for factor in SECTIONS:
        levels = factors.get(factor) if isinstance(factors, dict) else None
        for index, level in enumerate(levels if isinstance(levels, list) else ()):
            given = presets.spelled_out(level)
            if unknown := _preset_problems(("factors", factor, index), level, document):
                problems += unknown
                continue
            named = given.get("kind") if isinstance(given, dict) else None
            for name in named if isinstance(named, list) else [named]:
                if isinstance(name, str):
                    problems += _check_level(("factors", factor, index), name, given, document, catalog)
    # What is wrong under several kinds of an entry is said once.
    return list(dict.fromkeys(problems))


def _preset_problems(path: Path, level: Any, document: Document) -> list[Problem]:
    """Finds a preset that there is not, or that belongs to another factor."""
    name = level.get(presets.KEY) if isinstance(level, dict) else None
    factor = str(path[1])
    if name is None or name in presets.names(factor):
        return []
    place = document.place((*path, presets.KEY))
    known = presets.names(factor)
    hint = nearest(name, known) if isinstance(name, str) else f"known: {', '.join(known)}"
    return [Problem(place, f"there is no {factor} preset {shown(name)}", hint)]


def _check_level(
    path: Path, name: str, given: dict[str, Any], document: Document, catalog: Catalog
) -> list[Problem]:
    factor = str(path[1])
    known = kinds(catalog, factor)
    kind = known.get(name)
    if kind is None:
        place = document.place((*path, "kind"))
        return [Problem(place, f"unknown {factor} `{name}`", nearest(name, known))]
    problems = []
    for key, value in given.items():
        if key == "kind":
            continue
        parameter = kind.parameters.get(key)
        if parameter is None:
            hint = nearest(key, kind.parameters) or f"`{name}` has no parameters"
            message = f"{factor} `{name}` has no parameter `{key}`"
            problems.append(Problem(document.key_place((*path, key)), message, hint))
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, (dict, list)) or not (expected := _expected(parameter, one)):
                continue
            message = f"`{key}` of {factor} `{name}`: expected {expected}, found {shown(one)}"
            hint = nearest(one, [str(c) for c in parameter.choices]) if isinstance(one, str) else ""
            problems.append(Problem(document.place((*path, key)), message, hint))
    for key, parameter in kind.parameters.items():
        if parameter.default is None and "default" not in parameter.model_fields_set and key not in given:
            message = f"{factor} `{name}` needs the parameter `{key}`"
            problems.append(Problem(document.place(path), message, parameter.summary))
    return problems


def _expected(parameter: Parameter, value: Any) -> str:
    """Returns what the parameter takes, '' when the value is good."""
    if parameter.choices:
        good = value in parameter.choices and isinstance(value, bool) == (parameter.type == "bool")
        return "" if good else "one of " + ", ".join(str(choice) for choice in parameter.choices)
    if parameter.type == "bool":
        return "" if isinstance(value, bool) else "true or false"
    if parameter.type == "string":
        return "" if isinstance(value, str) else "text"
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if good and parameter.type == "int":
        good = float(value).is_integer()
    low = -math.inf if parameter.minimum is None else parameter.minimum
    high = math.inf if parameter.maximum is None else parameter.maximum
    if good and low <= value <= high:
        return ""
    word = "a whole number" if parameter.type == "int" else "a number"
    return word + _range(parameter)


def _range(parameter: Parameter) -> str:
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if low is not None:
        return f" of at least {low:g}"
    return f" of at most {high:g}" if high is not None else ""
