"""Difficulties of the tasks of stored studies, without being asked: what H1 and decision rules need.

D2 to D5 come from the task's data when a study is read; they need no model. D1 is the headroom that a
reference model leaves zero-shot, and the reference must be compared with nothing: a model
of the studies that only has cells without method and compression is one. All of it is
taken on one half of the users; contrasts that it is to explain use the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from edgerig.errors import EdgerigError
from edgerig_controller.data import questions
from edgerig_controller.evidence.hardness import Hardness, recorded
from edgerig_controller.guidelines import difficulty as engine
from edgerig_controller.report.data import StudyData

# As many users as the command takes by itself.
USERS = 200
NEEDED_KINDS = frozenset({"rag", "lora"})


def asked_for(data: StudyData) -> bool:
    """Tells whether a claim on difficulty could be tested: the study runs RAG and LoRA."""
    kinds = {str((cell.factors.get("method") or {}).get("kind")) for cell in data.cells}
    return kinds >= NEEDED_KINDS


def of_data(kind: str, path: Path) -> dict[str, Any] | None:
    """Returns D2 to D5, the development users and the chance level; None where the data do not allow it.

    Args:
        kind: classification, rating or generation.
        path: its data, JSON lines.
    """
    if kind not in ("classification", "rating", "generation"):
        return None
    known = cast("Literal['classification', 'rating', 'generation']", kind)
    try:
        found = questions.read(str(path), users=USERS, kind=known)[0]
    except EdgerigError:
        return None
    half, _ = engine.development_half(found.questions)
    if not half:
        return None
    closed, score = kind != "generation", engine.score_of(kind)
    measured = engine.measure(half, score, closed_set=closed)
    return {
        "measures": measured.as_mapping(),
        "development_users": sorted({question.user for question in half}),
        "chance": engine.chance(half, score, closed_set=closed),
    }


def of_studies(studies: Sequence[StudyData]) -> dict[str, Hardness]:
    """Brings the difficulties of studies together and adds D1 where there is a reference model."""
    documents: dict[str, Mapping[str, Any]] = {}
    for data in studies:
        documents |= data.difficulty
    reference = reference_model(studies)
    return {
        task: _with_reference(task, found, studies, reference) for task, found in recorded(documents).items()
    }


def reference_model(studies: Sequence[StudyData]) -> str:
    """Returns the model that is compared with nothing, the first by name; '' where there is none."""
    cells: dict[str, list[bool]] = defaultdict(list)
    for data in studies:
        for cell in data.cells:
            cells[str(cell.factors.get("model", ""))].append(_is_zero_shot(cell.factors))
    alone = sorted(model for model, plain in cells.items() if all(plain))
    return alone[0] if alone and len(cells) > 1 else ""


def _is_zero_shot(factors: Mapping[str, Any]) -> bool:
    return all(
        value == "none" or (isinstance(value, Mapping) and value.get("kind") == "none")
        for value in (factors.get("method"), factors.get("compression", "none"))
    )


def _with_reference(task: str, found: Hardness, studies: Sequence[StudyData], reference: str) -> Hardness:
    if not reference or found.chance is None or found.chance >= 1:
        return found
    users, scores = set(found.development_users), []
    for data in studies:
        mine = {
            cell.cell_index
            for cell in data.cells
            if (cell.factors.get("model"), cell.factors.get("task")) == (reference, task)
        }
        ok = {row.attempt_id for row in data.results() if row.status == "ok" and row.cell_index in mine}
        scores += [row.score for row in data.scores if row.attempt_id in ok and row.user_id in users]
    if not scores:
        return found
    headroom = engine.headroom(sum(scores) / len(scores), found.chance)
    return replace(found, measures={"D1": headroom, **found.measures}, reference=reference)
