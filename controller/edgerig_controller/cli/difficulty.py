"""`edgerig task difficulty`: how hard a task is, before anything is trained on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from edgerig.errors import StorageError
from edgerig_controller.cli.options import Context, common_options
from edgerig_controller.cli.output import Column
from edgerig_controller.cli.reference import complete_studies

if TYPE_CHECKING:
    from edgerig_controller.data.questions import Kind, TaskQuestions
    from edgerig_controller.guidelines.difficulty import Score
    from edgerig_controller.report.data import StudyData

NO_REFERENCE = "needs the zero-shot scores of a model: --reference STUDY"
MEANINGS = {
    "D1": "headroom of a reference model, zero-shot: 0 solved, 1 no better than chance",
    "D2": "bits per label of a small probe that learns as it goes",
    "D3": "score of copying the best matching profile item",
    "D4": "entropy of labels in bits, or words of an output that its input lacks",
    "D5": "D3 minus the same with another user's profile",
}


@click.command()
@click.argument("tasks", metavar="TASK...", nargs=-1, required=True)
@click.option(
    "--kind", type=click.Choice(["classification", "rating", "generation"]), help="Of a file's outputs."
)
@click.option(
    "--users", type=click.IntRange(2, 100_000), default=200, show_default=True, help="The most taken."
)
@click.option(
    "--reference", metavar="STUDY", shell_complete=complete_studies, help="For D1: a study without training."
)
@click.option("--reference-model", metavar="MODEL", help="For D1: which of its models.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write a file for `guide --difficulty`."
)
@common_options
def difficulty(
    context: Context,
    tasks: tuple[str, ...],
    kind: str | None,
    users: int,
    reference: str | None,
    reference_model: str | None,
    out: Path | None,
) -> None:
    """Compute D1 to D5 of each TASK: a synthetic task, a file of JSON lines, a folder of LaMP data.

    Half of the users are used, the development half, so that the other half may be compared.
    """
    from edgerig_controller.data import questions

    data = _study(context, reference) if reference else None
    found = [
        measured(task, data, reference_model)
        for given in tasks
        for task in questions.read(given, users=users, kind=cast("Kind | None", kind))
    ]
    rows = [(entry["task"], *(_words(entry["measures"][name]) for name in MEANINGS)) for entry in found]
    context.out.table([Column("task"), *(Column(name, right=True) for name in MEANINGS)], rows)
    for name, meaning in MEANINGS.items():
        context.out.text(context.out.style(f"{name}: {meaning}", "dim"))
    for entry in found:
        for name, measure in entry["measures"].items():
            if measure["value"] is None:
                context.out.text(f"{entry['task']}: {name} unavailable: {measure['unavailable_reason']}")
    if out is not None:
        _write(out, found)
    context.out.document({"tasks": found, "rank_correlations": correlations(found)})


def measured(task: TaskQuestions, data: StudyData | None, model: str | None) -> dict[str, Any]:
    """Computes the measures of one task on its development users, with a reason for each that is missing."""
    from edgerig_controller.guidelines import difficulty as engine

    half, _ = engine.development_half(task.questions)
    closed = task.kind != "generation"
    score = engine.score_of(task.kind)
    users = {question.user for question in half}
    reasons = {
        "D2": "outputs are free text" if not closed else "",
        "D3": "no user has a history whose outputs are answers",
        "D5": "no user has a history whose outputs are answers, or there is one development user",
    }
    if not half:
        nothing = {
            name: _measure(None, "there is one user: nobody is left to develop on") for name in MEANINGS
        }
        return _entry(task, 0, users, nothing)
    first, reasons["D1"] = _reference(task, half, users, score, closed, data, model)
    found = engine.measure(half, score, closed_set=closed, reference=first)
    values = found.as_mapping()
    measures = {name: _measure(values.get(name), reasons.get(name, "")) for name in MEANINGS}
    return _entry(task, len(half), users, measures)


def correlations(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns Spearman's correlation of every two measures; nothing below three tasks."""
    from edgerig_controller.guidelines.difficulty import rank_correlation

    if len(found) < 3:
        return []
    known = [
        {name: entry["value"] for name, entry in task["measures"].items() if entry["value"] is not None}
        for task in found
    ]
    return [{"a": a, "b": b, "spearman": value} for (a, b), value in rank_correlation(known).items()]


def _reference(
    task: TaskQuestions,
    half: list[Any],
    users: set[str],
    score: Score,
    closed: bool,
    data: StudyData | None,
    model: str | None,
) -> tuple[tuple[float, float] | None, str]:
    from edgerig_controller.guidelines.difficulty import chance

    if data is None:
        return None, NO_REFERENCE
    cells = {
        cell.cell_index: str(cell.factors.get("model"))
        for cell in data.cells
        if cell.factors.get("task") == task.task and _is_zero_shot(cell.factors)
    }
    models = sorted(set(cells.values()))
    if model is None and len(models) > 1:
        return None, f"{data.study.name} has several models ({', '.join(models)}): --reference-model"
    wanted = {index for index, name in cells.items() if model in (None, name)}
    if not wanted:
        return None, f"{data.study.name} has no cell of {task.task} without method and compression"
    ids = {
        item for item, question in zip(task.item_ids, task.questions, strict=True) if question.user in users
    }
    scores = [row.score for row in data.scores if row.cell_index in wanted and row.item_id in ids]
    if not scores:
        return None, f"{data.study.name} scored none of the development items of {task.task}"
    lowest = chance(half, score, closed_set=closed)
    if lowest >= 1.0:
        return None, "all answers are the same: nothing can be better than chance"
    return (sum(scores) / len(scores), lowest), ""


def _is_zero_shot(factors: dict[str, Any]) -> bool:
    return all(
        value == "none" or (isinstance(value, dict) and value.get("kind") == "none")
        for value in (factors.get("method"), factors.get("compression", "none"))
    )


def _study(context: Context, reference: str) -> StudyData:
    from edgerig_controller.cli.guide import load

    return load(context, (reference,), ())[0]


def _measure(value: float | None, reason: str) -> dict[str, Any]:
    return {"value": value, "unavailable_reason": "" if value is not None else reason or "not computed"}


def _entry(
    task: TaskQuestions, count: int, users: set[str], measures: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    return {
        "task": task.task,
        "kind": task.kind,
        "question_count": count,
        "development_users": sorted(users),
        "measures": measures,
    }


def _words(measure: dict[str, Any]) -> str:
    return "–" if measure["value"] is None else f"{measure['value']:.3f}"


def _write(path: Path, found: list[dict[str, Any]]) -> None:
    # With the users that it was measured on, so that claims can be tested on the others.
    document = {"tasks": found}
    try:
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror}", hint=f"ls -ld {path.parent}"
        ) from error
