"""Rows of a task, wherever they come from, as the questions that difficulty is computed of.

Synthetic tasks by name, a user's JSON lines, and folders of LaMP's published
files. Sizes are bounded; at most so many users are taken, always the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgerig.errors import DataError, UsageError
from edgerig_controller.data import lamp, lamp_rows, rows, synthetic
from edgerig_controller.data.lamp_shapes import SHAPES
from edgerig_controller.data.tasks import DATA_SEED, DEFAULT_HISTORY, DEFAULT_ITEMS_PER_USER, DEFAULT_USERS
from edgerig_controller.guidelines.difficulty import ProfileItem, Question

Kind = Literal["classification", "rating", "generation"]


@dataclass(frozen=True)
class TaskQuestions:
    """The questions of one task; `item_ids` stand in the same order."""

    task: str
    kind: Kind
    questions: tuple[Question, ...]
    item_ids: tuple[str, ...]


def read(given: str, *, users: int, kind: Kind | None = None) -> tuple[TaskQuestions, ...]:
    """Reads what a person names: a synthetic task, a file of JSON lines, or a folder of LaMP data.

    Args:
        given: a name or a path.
        users: the most users to take.
        kind: of a file's outputs; needed there and only there.

    Raises:
        UsageError: it is neither, or the kind is missing.
        DataError: the data cannot be used.
    """
    path = Path(given)
    if path.is_dir():
        return tuple(_lamp(path, users))
    if path.is_file():
        return (_file(path, users, kind),)
    if given in synthetic.TASKS:
        return (_synthetic(given, users),)
    raise UsageError(
        f"{given} is no file, no folder and no synthetic task",
        hint=f"synthetic tasks: {', '.join(synthetic.TASKS)}",
    )


def _synthetic(name: str, users: int) -> TaskQuestions:
    # The same data that a study of this task is run on.
    made = synthetic.generate(
        name,
        users=min(users, DEFAULT_USERS),
        items_per_user=DEFAULT_ITEMS_PER_USER,
        history=DEFAULT_HISTORY,
        seed=DATA_SEED,
    )
    return _questions(name, SHAPES[name].kind, made)


def _file(path: Path, users: int, kind: Kind | None) -> TaskQuestions:
    if kind is None:
        raise UsageError(
            f"what are the outputs of {path}?", hint="give --kind classification, rating or generation"
        )
    rows.check(path, lambda _: "")
    names = {str(row["user"]) for row in _lines(path)}
    kept = lamp_rows.chosen_users(names, users, DATA_SEED) if len(names) > users else names
    return _questions(path.stem, kind, (row for row in _lines(path) if str(row["user"]) in kept))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


def _lamp(folder: Path, users: int) -> Iterator[TaskQuestions]:
    parts = [found for found in lamp.found_parts(folder) if found[2] == "dev"]
    if not parts:
        raise DataError(f"{folder} holds no dev part of LaMP", hint=f"edgerig task check {folder}")
    for name, _, _, files in parts:
        findings = lamp.check(files, name)
        if refusal := lamp.refusal(files, findings):
            raise refusal
        few = len(findings.users) > users
        kept = lamp_rows.chosen_users(findings.users, users, DATA_SEED) if few else None
        yield _questions(name, SHAPES[name].kind, lamp_rows.rows(files, name, kept, None))


def _questions(task: str, kind: Kind, made: Iterable[dict[str, Any]]) -> TaskQuestions:
    questions, ids = [], []
    for row in made:
        profile = tuple(ProfileItem(str(item["text"]), str(item["output"])) for item in row["profile"])
        questions.append(Question(str(row["user"]), str(row["input"]), str(row["output"]), profile))
        ids.append(str(row["id"]))
    return TaskQuestions(task, kind, tuple(questions), tuple(ids))
