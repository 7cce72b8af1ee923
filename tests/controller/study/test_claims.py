"""Claims that no result could answer are problems; the others are stored with their direction."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerig.errors import StudyProblems
from tests.controller.study.building import STUDY, planned

GOOD = "{id: a, better: {method.kind: rag}, than: {method: none}, metric: accuracy, margin: 2}"


def with_claims(*claims: str) -> str:
    return STUDY + f"claims: [{', '.join(claims)}]\n"


def test_a_claim_gets_its_direction_from_the_metric(tmp_path: Path) -> None:
    (claim,) = planned(tmp_path, with_claims(GOOD)).claims
    assert claim == {
        "id": "a",
        "better": {"method.kind": "rag"},
        "than": {"method": "none"},
        "metric": "accuracy",
        "margin": 2.0,
        "direction": "larger",
    }


def test_a_measured_figure_keeps_its_given_direction(tmp_path: Path) -> None:
    text = with_claims(GOOD.replace("metric: accuracy", "metric: ttft_s, direction: smaller"))
    assert planned(tmp_path, text).claims[0]["direction"] == "smaller"


def test_energy_per_unit_is_a_figure(tmp_path: Path) -> None:
    text = with_claims(GOOD.replace("metric: accuracy", "metric: j_per_request, direction: smaller"))
    assert planned(tmp_path, text).claims[0]["metric"] == "j_per_request"


def test_the_smaller_rmse_of_ratings_is_better(tmp_path: Path) -> None:
    text = with_claims(GOOD.replace("accuracy", "rmse")).replace("name: lamp-2", "name: lamp-3")
    assert planned(tmp_path, text).claims[0]["direction"] == "smaller"


def test_a_list_of_values_means_any_of_them(tmp_path: Path) -> None:
    text = with_claims(GOOD.replace("method.kind: rag", "method.kind: [rag, lora]"))
    assert planned(tmp_path, text).claims[0]["better"] == {"method.kind": ["rag", "lora"]}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("method.kind: rag", "method.kind: raag", "`better` of the claim `a` matches no cell"),
        ("method: none", "method.r: 99", "`than` of the claim `a` matches no cell"),
        (
            "method.kind: rag",
            "metod.kind: rag",
            "there is no factor `metod.kind` (did you mean `method.kind`?)",
        ),
        ("method: none", "model: ./small", "a cell is on both sides of the claim `a`"),
        ("metric: accuracy", "metric: acuracy", "unknown metric `acuracy` (did you mean `accuracy`?)"),
        ("metric: accuracy", "metric: rating", "no task of this study is scored by `rating`"),
        ("metric: accuracy", "metric: ttft_s", "`direction` is missing"),
        ("margin: 2", "direction: smaller", "of `accuracy` the larger is better"),
        ("metric: accuracy", "metric: rmse", "no task of this study has ratings"),
        ("metric: accuracy", "metric: rmse, direction: larger", "of `rmse` the smaller is better"),
        ("metric: accuracy", "metric: j_per_", "unknown metric `j_per_`"),
    ],
)
def test_a_claim_that_nothing_can_answer_is_a_problem(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in GOOD
    with pytest.raises(StudyProblems) as caught:
        planned(tmp_path, with_claims(GOOD.replace(old, new)))
    assert any(expected in str(problem) for problem in caught.value.problems), str(caught.value)


def test_two_claims_need_two_ids(tmp_path: Path) -> None:
    with pytest.raises(StudyProblems, match="the claim `a` was made before"):
        planned(tmp_path, with_claims(GOOD, GOOD))
