"""Turns faults of a study file into problems that name the place, what was expected and what helps.

Also repairs what can be repaired, so that checks which need a whole study can
still run and all problems come out together. Repairs only serve that purpose:
a study with problems is never used.
"""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from edgerig.errors import Problem
from edgerig_controller.study.labels import ExpressionError
from edgerig_controller.study.labels import check as check_label
from edgerig_controller.study.schema import describe, keys_at, node_at
from edgerig_controller.study.spec import SEED_MOST, Study
from edgerig_controller.study.yaml_source import Document, Path

_ROUNDS = 4
_SHOWN_CHARACTERS = 60
# Values may be far from what was meant; a wrong suggestion is worse than none.
_CLOSE_ENOUGH = 0.6
# Sound, distinct values that stand in for faulty ones while further problems are looked for.
_FILLERS: dict[Path, Callable[[int], Any]] = {
    ("seeds",): lambda index: SEED_MOST - index,
    ("factors", "model"): lambda index: f"device:/faulty/{index}",
    ("factors", "method"): lambda index: f"faulty-{index}",
    ("factors", "compression"): lambda index: f"faulty-{index}",
    # Small: what synthetic data needs grows with it.
    ("factors", "history"): lambda index: 61 + index,
}


def nearest(word: str, known: Iterable[str]) -> str:
    """Word a suggestion for a misspelt word, with the known ones; '' when nothing is known."""
    choices = sorted(set(known))
    close = closest(word, choices)
    if close:
        return f"did you mean `{close}`?"
    shown = ", ".join(choices[:20]) + (", ..." if len(choices) > 20 else "")
    return f"known: {shown}" if choices else ""


def closest(word: str, known: Iterable[str]) -> str:
    """Return the known word closest to a misspelt one; '' when none is close."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=_CLOSE_ENOUGH)
    return matches[0] if matches else ""


def shown(value: Any) -> str:
    """Print a value of the file as short as a message can bear."""
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sort problems by line and column, each once."""

    def position(problem: Problem) -> tuple[int, int]:
        _, line, column = problem.place.rsplit(":", 2)
        return int(line), int(column)

    return sorted(dict.fromkeys(problems), key=position)


def parse(document: Document) -> tuple[Study | None, list[Problem]]:
    """Check a document against the study schema.

    Returns:
        The study, and the problems found. With problems, the study is the
        repaired one (or None where too little is left) and good only for
        finding more problems.
    """
    if not isinstance(document.value, dict):
        place = document.place(())
        found = shown(document.value)
        return None, [
            Problem(place, f"expected a mapping, found {found}", "`edgerig init` writes an example")
        ]
    value = copy.deepcopy(document.value)
    study, problems = _attempt(value, document)
    if study is not None:
        return study, []
    for _ in range(_ROUNDS):
        # What the second look finds are consequences of the repair, and not reported.
        study, further = _attempt(value, document)
        if study is not None or not further:
            break
    return study, problems


def _attempt(value: dict[str, Any], document: Document) -> tuple[Study | None, list[Problem]]:
    """Validates, and on failure repairs `value` in place."""
    try:
        return Study.model_validate_json(json.dumps(value)), []
    except ValidationError as error:
        faults = _faults(error, value)
    renamed = {_renamed(path): path for kind, path in faults if kind == "extra_forbidden"}
    problems = []
    for kind, path in faults:
        if kind == "missing" and path in renamed:
            continue
        problems.append(_problem(kind, path, value, document))
    for kind, path in sorted(faults, key=lambda fault: len(fault[1]), reverse=True):
        _repair(value, kind, path)
    return None, problems


def _faults(error: ValidationError, value: Any) -> list[tuple[str, Path]]:
    """Lists one fault for each faulty place: pydantic reports each option of a union by itself."""
    found: dict[Path, str] = {}
    for entry in error.errors(include_url=False, include_context=False, include_input=False):
        path = tuple(entry["loc"])
        kind = entry["type"]
        if kind not in {"missing", "extra_forbidden"}:
            path = _existing(path, value)
        found.setdefault(path, kind)
    # A list that is "too short" because its items are faulty is no fault of its own.
    inner = {path[:length] for path in found for length in range(len(path))}
    return [(kind, path) for path, kind in found.items() if not (kind == "too_short" and path in inner)]


def _existing(path: Path, value: Any) -> Path:
    for position, step in enumerate(path):
        if not _holds(value, step):
            return path[:position]
        value = value[step]
    return path


def _holds(value: Any, step: str | int) -> bool:
    if isinstance(value, dict):
        return step in value
    return isinstance(value, list) and isinstance(step, int) and step < len(value)


def _problem(kind: str, path: Path, value: Any, document: Document) -> Problem:
    key = str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        return Problem(document.key_place(path), f"unknown key `{key}`", nearest(key, keys_at(path[:-1])))
    node = node_at(path) or {}
    if kind == "missing":
        return Problem(document.place(path[:-1]), f"the key `{key}` is missing; expected {describe(node)}")
    found = _value_at(path, value)
    if isinstance(found, str) and kind == "value_error" and path[:2] == ("devices", "labels"):
        return Problem(
            document.place(path), _label_problem(found), "write labels: [a, b] or labels: a and not b"
        )
    if isinstance(found, str) and kind == "value_error":
        return Problem(
            document.place(path), f"expected bytes, such as 2147483648 or 2GiB, found {shown(found)}"
        )
    options = [str(option) for option in node.get("enum", ())]
    hint = nearest(found, options) if options and isinstance(found, str) else ""
    named = f"`{_dotted(path)}`: " if path else ""
    return Problem(document.place(path), f"{named}expected {describe(node)}, found {shown(found)}", hint)


def _label_problem(expression: str) -> str:
    try:
        check_label(expression)
    except ExpressionError as error:
        return f"{shown(expression)} is no expression of labels: {error}"
    return f"{shown(expression)} is no expression of labels"


def _dotted(path: Path) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _value_at(path: Path, value: Any) -> Any:
    for step in path:
        value = value[step]
    return value


def _renamed(path: Path) -> Path:
    """Returns the path with its misspelt last key put right, or an impossible one."""
    close = closest(str(path[-1]), keys_at(path[:-1]))
    return (*path[:-1], close) if close else (*path, "")


def _repair(value: Any, kind: str, path: Path) -> None:
    if not path or kind == "missing":
        return
    if _existing(path, value) != path:
        # An outer fault was mended before and took this one with it.
        return
    holder = _value_at(path[:-1], value)
    last = path[-1]
    if isinstance(holder, dict):
        removed = holder.pop(last)
        right = _renamed(path)[-1] if kind == "extra_forbidden" else ""
        if right and right not in holder:
            holder[right] = removed
    elif isinstance(last, int) and path[:-1] in _FILLERS:
        # Not deleted: the places of what follows in the list must stay right.
        holder[last] = _FILLERS[path[:-1]](last)
