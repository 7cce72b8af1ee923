"""What must hold between the keys of a study file, beyond the shape of each.

Everything here is about one file and the catalogue. Whether models and data
exist is found out by `sources`, what cells come out by `plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from edgerig.errors import Problem
from edgerig_controller.data.tasks import (
    DEFAULT_HISTORY,
    DEFAULT_ITEMS_PER_USER,
    DEFAULT_USERS,
    PLAIN,
    largest_history,
)
from edgerig_controller.study.catalog import Catalog
from edgerig_controller.study.crossed import TaskEntry
from edgerig_controller.study.problems import nearest
from edgerig_controller.study.spec import Study
from edgerig_controller.study.yaml_source import Document, Path

# A synthetic row repeats its user's profile, and all rows are made in memory.
SYNTHETIC_PROFILE_ITEMS = 2_000_000
# Keys that a source has no use for.
_UNWANTED = {
    "synthetic": ("path", "kind", "labels", "split", "part"),
    "jsonl": ("users", "items_per_user", "split", "part"),
    "lamp": ("items_per_user", "kind", "labels"),
}

# The order of a compression in which the model that learns is not the one that is evaluated.
_TUNE_FIRST = "tune-then-compress"
# The scope of a method in which there are as many trainings as users.
_PER_USER = "per_user"


def check(study: Study, catalog: Catalog, document: Document) -> list[Problem]:
    """Find contradictions inside a study file, those inside single tasks left out."""
    problems = [
        *_devices(study, document),
        *_units(study, document),
        *_budgets(study, catalog, document),
        *_stopping(study, document),
    ]
    problems += _repeated(enumerate(study.seeds), ("seeds",), "seed", document)
    problems += _repeated(enumerate(study.factors.model), ("factors", "model"), "model", document)
    problems += _repeated(enumerate(study.factors.history), ("factors", "history"), "history", document)
    budgets = study.factors.train_samples
    problems += _repeated(enumerate(budgets), ("factors", "train_samples"), "budget", document)
    modes = study.factors.power_mode
    problems += _repeated(enumerate(modes), ("factors", "power_mode"), "power mode", document)
    return problems


def check_tasks(study: Study, catalog: Catalog, document: Document) -> dict[int, list[Problem]]:
    """Find contradictions inside the tasks of a study, by the position of the task."""
    names = [task.name for task in study.tasks]
    found: dict[int, list[Problem]] = {}
    for index, task in enumerate(study.tasks):
        path: Path = ("tasks", index)
        problems = _task(task, path, study, catalog, document)
        if task.name in names[:index]:
            place = document.place((*path, "name"))
            problems.append(
                Problem(place, f"the task `{task.name}` was given before", "give it another name")
            )
        if problems:
            found[index] = problems
    return found


def has_own_file(task: TaskEntry) -> bool:
    """Tell whether a task says enough to look at its file, whatever else is wrong with it."""
    return task.source == "jsonl" and task.path is not None and task.kind is not None


def repeated_levels(levels: Sequence[tuple[int, Any]], path: Path, document: Document) -> list[Problem]:
    """Find levels of a factor, each with the position of its entry, that are the same with their defaults."""
    return _repeated(levels, path, str(path[-1]), document)


def metrics_of_kind(kind: str, catalog: Catalog) -> list[str]:
    """List the item scores that fit a kind of task."""
    families = [family for name, family in catalog.tasks.items() if family.kind == kind and name != PLAIN]
    return list(
        dict.fromkeys(metric for family in families for metric in (family.metrics or (family.metric,)))
    )


def _repeated(values: Iterable[tuple[int, Any]], path: Path, what: str, document: Document) -> list[Problem]:
    problems = []
    seen: list[Any] = []
    for index, value in values:
        if value in seen:
            place = document.place((*path, index))
            problems.append(Problem(place, f"this {what} stands in the list twice", "remove one of the two"))
        seen.append(value)
    return problems


def _devices(study: Study, document: Document) -> list[Problem]:
    if bool(study.devices.names) != bool(study.devices.labels):
        return []
    place = document.place(("devices",))
    return [Problem(place, "`devices` needs either `names` or `labels`", "write devices: {labels: [local]}")]


def _units(study: Study, document: Document) -> list[Problem]:
    if study.units == 1:
        return []
    problems = []
    place = document.place(("units",))
    if study.devices.names and len(study.devices.names) < study.units:
        message = f"{study.units} units need as many devices, and {len(study.devices.names)} are named"
        problems.append(Problem(place, message, "name more devices, or choose them by labels"))
    if study.stop != "never" or study.precision is not None:
        message = "a study that compares units runs to its end: nothing is left out by `stop` or `precision`"
        problems.append(Problem(place, message, "remove `stop` and `precision`"))
    return problems


def _budgets(study: Study, catalog: Catalog, document: Document) -> list[Problem]:
    problems = []
    train = study.budgets.train
    if list(train.points) != sorted(set(train.points)):
        place = document.place(("budgets", "train", "points"))
        problems.append(Problem(place, "`points` must ascend", "write points: [0.25, 0.5]"))
    compressions = [level for entry in study.factors.compression for level in entry.levels()]
    if train.points and any(level.get("order") == _TUNE_FIRST for level in compressions):
        place = document.place(("budgets", "train", "points"))
        message = f"with `order: {_TUNE_FIRST}` points are scored on the dense model, the end is not"
        problems.append(Problem(place, message, "remove `points`, or give that order a study of its own"))
    methods = [level for entry in study.factors.method for level in entry.levels()]
    if train.points and any(level.get("scope") == _PER_USER for level in methods):
        place = document.place(("budgets", "train", "points"))
        message = f"`points` are those of one training; with `scope: {_PER_USER}` there is one for each user"
        problems.append(Problem(place, message, "remove `points`, or give that scope a study of its own"))
    if train.patience_points and not train.points:
        place = document.key_place(("budgets", "train", "patience_points"))
        message = "`patience_points` compares points, and there are none"
        problems.append(Problem(place, message, "add points: [0.25, 0.5, 0.75]"))
    if train.held_out_share and not train.patience_points:
        place = document.key_place(("budgets", "train", "held_out_share"))
        problems.append(Problem(place, "nothing is held out without `patience_points`", "remove it"))
    limits = (train.samples, train.tokens, train.steps, train.duration_s, train.energy_j)
    limited = any((*limits, study.factors.train_samples))
    trained = [
        name
        for entry in study.factors.method
        for name in entry.kinds
        if (kind := catalog.methods.get(name)) is not None and kind.trains and kind.needs_model
    ]
    if trained and not limited:
        place = document.place(("budgets",) if document.has(("budgets",)) else ())
        message = f"`{trained[0]}` trains, and nothing says when to stop"
        problems.append(Problem(place, message, "add budgets: {train: {steps: 60}}"))
    return problems


def _stopping(study: Study, document: Document) -> list[Problem]:
    problems = []
    if study.stop == "when_settled":
        place = document.place(("stop",))
        if not study.claims:
            problems.append(Problem(place, "`stop: when_settled` needs claims to settle", "add claims"))
        if len(study.seeds) < 3:
            message = "looks begin after two seeds: with fewer than three nothing can be left out"
            problems.append(Problem(place, message, "give at least three seeds"))
        if study.repeats > 1:
            message = "`stop: when_settled` goes with `repeats: 1`; seeds are its blocks"
            problems.append(Problem(place, message, "use more seeds, or `precision` without `stop`"))
    if study.precision is not None and study.precision.repeats >= study.repeats:
        place = document.place(("precision",))
        message = f"`repeats` is {study.repeats}: after {study.precision.repeats} nothing is left"
        problems.append(Problem(place, message, "set repeats to the most, such as 15"))
    return problems


def _task(task: TaskEntry, path: Path, study: Study, catalog: Catalog, document: Document) -> list[Problem]:
    problems = [
        Problem(
            document.key_place((*path, key)), f"`{key}` does not go with `source: {task.source}`", "remove it"
        )
        for key in _UNWANTED[task.source]
        if getattr(task, key) is not None
    ]
    if task.source == "synthetic":
        problems += _synthetic(task, path, study, catalog, document)
    elif task.source == "lamp":
        problems += _lamp(task, path, catalog, document)
    else:
        problems += _own_file(task, path, document)
    kind = task.kind if task.source == "jsonl" else _kind_of(task.name, catalog)
    fitting = metrics_of_kind(kind, catalog) if kind else []
    if task.metric is not None and fitting and task.metric not in fitting:
        message = f"`{task.metric}` does not score a {kind}"
        problems.append(Problem(document.place((*path, "metric")), message, nearest(task.metric, fitting)))
    return problems


def _kind_of(name: str, catalog: Catalog) -> str:
    return catalog.tasks[name].kind if name in catalog.tasks else ""


def _synthetic(
    task: TaskEntry, path: Path, study: Study, catalog: Catalog, document: Document
) -> list[Problem]:
    if task.name not in catalog.tasks or task.name == PLAIN:
        known = [name for name in catalog.tasks if name != PLAIN]
        place = document.place((*path, "name"))
        return [Problem(place, f"there is no synthetic task `{task.name}`", nearest(task.name, known))]
    rows = (task.users or DEFAULT_USERS) * (task.items_per_user or DEFAULT_ITEMS_PER_USER)
    total = rows * max(1, largest_history(study.factors.history) or DEFAULT_HISTORY)
    if total > SYNTHETIC_PROFILE_ITEMS:
        message = f"users x items_per_user x history is {total}; {SYNTHETIC_PROFILE_ITEMS} is the most"
        return [Problem(document.place(path), message, "ask for fewer users or items")]
    return []


def _lamp(task: TaskEntry, path: Path, catalog: Catalog, document: Document) -> list[Problem]:
    problems = []
    if task.path is None:
        hint = "see docs/how-to/lamp.md"
        problems.append(Problem(document.place(path), "a task of `source: lamp` needs `path`", hint))
    if task.name not in catalog.tasks or task.name == PLAIN:
        known = [name for name in catalog.tasks if name != PLAIN]
        place = document.place((*path, "name"))
        problems.append(Problem(place, f"there is no LaMP task `{task.name}`", nearest(task.name, known)))
    return problems


def _own_file(task: TaskEntry, path: Path, document: Document) -> list[Problem]:
    problems = [
        Problem(
            document.place(path), f"a task of `source: jsonl` needs `{key}`", "see docs/how-to/own-task.md"
        )
        for key in ("path", "kind")
        if getattr(task, key) is None
    ]
    if task.labels is not None and task.kind not in {None, "classification"}:
        place = document.key_place((*path, "labels"))
        problems.append(Problem(place, f"`labels` does not go with `kind: {task.kind}`", "remove it"))
    problems += _repeated(enumerate(task.labels or ()), (*path, "labels"), "label", document)
    return problems
