"""`edgerig task difficulty` on synthetic tasks, a user's file and LaMP's formats."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edgerig_controller.cli.difficulty import measured
from edgerig_controller.data import questions, synthetic
from edgerig_controller.data.tasks import DATA_SEED
from edgerig_controller.evidence import hardness
from edgerig_controller.guidelines.difficulty import chance, headroom, score_of
from tests.controller.cli.conftest import Edgerig
from tests.controller.evidence import made


def test_the_measures_of_synthetic_tasks(edgerig: Edgerig) -> None:
    ran = edgerig("task", "difficulty", "lamp-1", "lamp-2", "lamp-3", "lamp-4", "--json")
    assert ran.code == 0
    by_task = {entry["task"]: entry for entry in ran.document["tasks"]}
    measures = by_task["lamp-2"]["measures"]
    assert measures["D1"] == {
        "value": None,
        "unavailable_reason": "needs the zero-shot scores of a model: --reference STUDY",
    }
    assert 0 < measures["D5"]["value"] < measures["D3"]["value"] < 1
    assert by_task["lamp-4"]["measures"]["D2"]["unavailable_reason"] == "outputs are free text"
    # The histories of lamp-1 hold titles, and its answers are [1] and [2].
    assert "outputs are answers" in by_task["lamp-1"]["measures"]["D3"]["unavailable_reason"]
    assert len(by_task["lamp-2"]["development_users"]) == 20
    assert {pair["a"] for pair in ran.document["rank_correlations"]} <= {"D2", "D3", "D4", "D5"}


def test_what_was_planted_shows(tmp_path: Path) -> None:
    def of(name: str, **knobs: float) -> dict[str, float]:
        rows = synthetic.generate(
            "lamp-2",
            users=40,
            items_per_user=4,
            history=16,
            seed=3,
            knobs=synthetic.Knobs(**knobs),  # type: ignore[arg-type]
        )
        synthetic.write(rows, tmp_path / f"{name}.jsonl")
        (task,) = questions.read(str(tmp_path / f"{name}.jsonl"), users=100, kind="classification")
        found = measured(task, None, None)["measures"]
        return {key: entry["value"] for key, entry in found.items()}

    easy, hard = of("easy", personal_signal=0.0), of("hard", personal_signal=0.9)
    assert hard["D5"] > easy["D5"]
    assert of("noisy", label_noise=0.9)["D3"] < easy["D3"]


def test_a_reference_study_gives_the_headroom(edgerig: Edgerig, tmp_path: Path) -> None:
    (task,) = questions.read("lamp-2", users=100)
    data = made.study(models=("org/one",), methods=(made.NONE,), seeds=(1,))
    ids = task.item_ids
    score = data.scores[0]

    rows = tuple(
        dataclasses.replace(score, item_id=item, score=float(at % 4 == 0)) for at, item in enumerate(ids)
    )
    found = measured(task, dataclasses.replace(data, scores=rows), None)["measures"]["D1"]
    from edgerig_controller.guidelines.difficulty import development_half

    development, _ = development_half(task.questions)
    users = {question.user for question in development}
    kept = [
        row.score
        for row in rows
        if row.item_id in {i for i, q in zip(task.item_ids, task.questions, strict=True) if q.user in users}
    ]
    lowest = chance(development, score_of("classification"), closed_set=True)
    assert found["value"] == pytest.approx(headroom(sum(kept) / len(kept), lowest))


def test_several_models_need_a_choice() -> None:
    (task,) = questions.read("lamp-2", users=100)
    found = measured(task, made.study(), None)["measures"]["D1"]
    assert found["value"] is None and "--reference-model" in found["unavailable_reason"]


def test_the_file_is_what_guide_reads(edgerig: Edgerig, tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    assert edgerig("task", "difficulty", "lamp-3", "--out", str(path)).code == 0
    assert set(hardness.read(path)["lamp-3"].measures) == {"D2", "D3", "D4", "D5"}


def test_lamp_data_are_read_as_published(edgerig: Edgerig, tmp_path: Path) -> None:
    assert edgerig("task", "make", "lamp-3", "--out", str(tmp_path), "--users", "12").code == 0
    ran = edgerig("task", "difficulty", str(tmp_path), "--json")
    assert ran.code == 0, ran.stderr
    (entry,) = ran.document["tasks"]
    assert entry["task"] == "lamp-3" and entry["measures"]["D3"]["value"] > 0


def test_what_cannot_be_read_is_said_with_the_next_step(edgerig: Edgerig, tmp_path: Path) -> None:
    assert "synthetic tasks: lamp-1" in edgerig("task", "difficulty", "nope").stderr
    path = tmp_path / "mine.jsonl"
    row = {"id": "1", "user": "u", "input": "a", "output": "b", "profile": []}
    path.write_text(json.dumps(row) + "\n")
    assert "--kind" in edgerig("task", "difficulty", str(path)).stderr
    ran = edgerig("task", "difficulty", str(path), "--kind", "classification", "--json")
    assert "one user" in ran.document["tasks"][0]["measures"]["D2"]["unavailable_reason"]
    path.write_text("{}\n")
    assert edgerig("task", "difficulty", str(path), "--kind", "classification").code == 2


@pytest.mark.parametrize(
    ("kind", "output", "expected", "score"),
    [
        ("classification", " a ", "a", 1.0),
        ("classification", "b", "a", 0.0),
        ("rating", "2", "5", 0.25),
        ("rating", "none", "5", 0.0),
        # ROUGE-1: two of three words common on either side.
        ("generation", "the red car", "the red bus", 2 / 3),
        ("generation", "", "the", 0.0),
    ],
)
def test_copies_are_scored_as_the_metric_does(kind: str, output: str, expected: str, score: float) -> None:
    assert score_of(kind)(output, expected) == pytest.approx(score)


def test_a_user_data_seed_is_that_of_studies() -> None:
    (task,) = questions.read("lamp-2", users=100)
    rows = synthetic.generate("lamp-2", users=40, items_per_user=4, history=16, seed=DATA_SEED)
    assert task.item_ids == tuple(row["id"] for row in rows)
