"""What a study file says of stopping early, and of budgets as a factor."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerig.errors import StudyProblems
from tests.controller.study.building import STUDY, planned

CLAIM = "claims: [{id: c, better: {method.kind: rag}, than: {method.kind: none}, metric: accuracy}]\n"
THREE = STUDY.replace("[1, 2]", "[1, 2, 3]")


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(StudyProblems) as caught:
        planned(tmp_path, text)
    return [problem.message for problem in caught.value.problems]


def test_stopping_is_part_of_the_registration(tmp_path: Path) -> None:
    never = planned(tmp_path, THREE + CLAIM)
    settled = planned(tmp_path, THREE + CLAIM + "stop: when_settled\n")
    assert settled.resolved["stop"] == "when_settled" and never.resolved["stop"] == "never"
    assert settled.digest != never.digest
    assert [t.trial.digest for t in settled.trials] == [t.trial.digest for t in never.trials]


def test_everything_that_stopping_lacks_is_said_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, STUDY + "stop: when_settled\nrepeats: 2\n")
    assert len(found) == 3
    assert any("needs claims" in text for text in found)
    assert any("fewer than three" in text for text in found)
    assert any("repeats: 1" in text for text in found)


def test_precision_must_leave_something_to_leave_out(tmp_path: Path) -> None:
    assert "nothing is left" in problems(tmp_path, STUDY + "repeats: 3\nprecision: {repeats: 3}\n")[0]
    kept = planned(tmp_path, STUDY + "repeats: 5\nprecision: {repeats: 3}\n")
    assert kept.resolved["precision"] == {"repeats": 3, "latency": 0.03, "energy": 0.05}


def test_a_budget_is_a_factor_of_methods_that_train(tmp_path: Path) -> None:
    text = STUDY.replace("budgets: {train: {steps: 5}}\n", "  train_samples: [25, 50, 100]\n")
    study = planned(tmp_path, text)
    cells = {(cell.factors["method"]["kind"], cell.factors["train_samples"]) for cell in study.cells}
    assert cells == {("none", 100), ("rag", 100), ("lora", 25), ("lora", 50), ("lora", 100)}
    samples = {
        study.cells[one.cell_index].factors["train_samples"]: one.trial.budgets.train.samples
        for one in study.trials
    }
    assert samples == {25: 25, 50: 50, 100: 100}
    assert any("does not train" in excluded.reason for excluded in study.exclusions)


def test_the_same_budget_twice_is_a_problem(tmp_path: Path) -> None:
    text = STUDY.replace("budgets: {train: {steps: 5}}\n", "  train_samples: [25, 25]\n")
    assert any("stands in the list twice" in found for found in problems(tmp_path, text))
