"""Difficulties that studies tell themselves: D2 to D5 of data, D1 of a model compared with nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgerig_controller.data import synthetic
from edgerig_controller.evidence import difficulties
from edgerig_controller.evidence.build import build
from edgerig_controller.evidence.judge import judge
from edgerig_controller.report.data import StudyData
from tests.controller.evidence.made import LORA, NONE, RAG, study

TASKS = tuple(f"lamp-{n}" for n in (1, 2, 3, 4, 5, 7))
USERS = [f"u{n}" for n in range(12)]


def known(hard: float) -> dict[str, Any]:
    return {"measures": {"D3": 1 - hard, "D5": 0.1}, "development_users": USERS[1::2], "chance": 0.2}


def six_tasks() -> StudyData:
    """RAG and LoRA on one model, and a reference that runs without a method only."""
    data = study(tasks=TASKS, models=("org/compared", "org/reference"), methods=(NONE, RAG, LORA))
    kept = {
        cell.cell_index
        for cell in data.cells
        if cell.factors["model"] == "org/compared" or cell.factors["method"] == NONE
    }

    def mine(rows: Any) -> Any:
        return tuple(row for row in rows if row.cell_index in kept)

    return replace(
        data,
        cells=mine(data.cells),
        trials=mine(data.trials),
        attempts=mine(data.attempts),
        measurements=mine(data.measurements),
        scores=mine(data.scores),
        difficulty={task: known(0.1 * n) for n, task in enumerate(TASKS)},
    )


def test_the_reference_is_a_model_that_is_compared_with_nothing() -> None:
    assert difficulties.reference_model([six_tasks()]) == "org/reference"
    assert difficulties.reference_model([study()]) == ""
    # Alone there is nobody whom it is a reference for.
    assert difficulties.reference_model([study(models=("org/a",), methods=(NONE,))]) == ""


def test_d1_is_the_headroom_on_development_users_of_the_reference() -> None:
    data = six_tasks()
    found = difficulties.of_studies([data])["lamp-2"]
    cells = {c.cell_index for c in data.cells if c.factors["model"] == "org/reference"}
    cells &= {c.cell_index for c in data.cells if c.factors["task"] == "lamp-2"}
    scores = [row.score for row in data.scores if row.cell_index in cells and row.user_id in USERS[1::2]]
    assert len(scores) == 6 * 3 * 3
    mean = sum(scores) / len(scores)
    assert found.measures["D1"] == pytest.approx(1 - (mean - 0.2) / 0.8)
    assert (found.reference, found.development_users) == ("org/reference", tuple(USERS[1::2]))


def test_h1_is_tested_on_the_other_users_without_being_asked() -> None:
    guide = judge(build([six_tasks()]))
    h1 = next(found for found in guide.guidelines if found.claim_id == "H1")
    assert h1.verdict != "not tested" and h1.facts["cross_fitted"] is True
    # Six of twelve users on each of six tasks.
    assert h1.n_users == 36
    assert h1.origin.difficulty["lamp-2"]["reference"] == "org/reference"
    assert any(notice.code == "difficulty" and "org/reference" in notice.text for notice in guide.notices)


def test_difficulties_that_are_given_replace_those_of_the_studies() -> None:
    guide = judge(build([six_tasks()], difficulty={}))
    h1 = next(found for found in guide.guidelines if found.claim_id == "H1")
    assert h1.verdict == "not tested" and "--difficulty" in h1.statement
    assert h1.origin.difficulty == {}


def test_without_a_reference_there_is_no_d1() -> None:
    data = replace(study(tasks=TASKS), difficulty={task: known(0.5) for task in TASKS})
    assert "D1" not in difficulties.of_studies([data])["lamp-2"].measures


def test_data_give_d2_to_d5_and_the_chance_level(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    synthetic.write(synthetic.generate("lamp-2", users=12, items_per_user=3, history=8, seed=1), path)
    found = difficulties.of_data("classification", path)
    assert found is not None
    assert set(found["measures"]) == {"D2", "D3", "D4", "D5"}
    assert len(found["development_users"]) == 6 and 0 < found["chance"] < 1
    assert json.loads(json.dumps(found)) == found


def test_data_that_cannot_be_used_give_nothing(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_text("no json\n")
    assert difficulties.of_data("classification", path) is None
    synthetic.write(synthetic.generate("lamp-2", users=1, items_per_user=3, history=8, seed=1), path)
    assert difficulties.of_data("classification", path) is None
    assert difficulties.of_data("", path) is None
