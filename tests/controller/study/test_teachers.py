"""Teachers of a study: found like models, part of the trials that distil, and told apart by vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgerig.errors import StudyProblems
from edgerig_controller.data.models import FoundModel
from edgerig_controller.data.vocabulary import digest
from edgerig_controller.study.catalog import local_catalog
from tests.controller.study.building import planned, write_model

STUDY = """\
edgerig: 1
name: taught
protocol: quick
tasks: [{name: lamp-2, source: synthetic, users: 2, items_per_user: 1}]
factors:
  model: [./small]
  method: [none]
  compression: [none, {kind: [distilled-logits, distilled-sequence], teacher: ./large}]
"""


@pytest.fixture(scope="module")
def catalog() -> dict[str, object]:
    return local_catalog()


def models(
    folder: Path, *, words: tuple[str, ...] = ("a", "b"), others: tuple[str, ...] = ("a", "b")
) -> None:
    for name, tokens, hidden in (("small", words, 16), ("large", others, 64)):
        write_model(folder / name, hidden=hidden, intermediate_size=64)
        table = {token: place for place, token in enumerate(tokens)}
        (folder / name / "tokenizer.json").write_text(json.dumps({"model": {"vocab": table}}))


def test_only_trials_that_distil_carry_the_teacher(tmp_path: Path, catalog: dict[str, object]) -> None:
    models(tmp_path)

    study = planned(tmp_path, STUDY, catalog=catalog)

    plain, logits, sequence = (one.trial for one in study.trials)
    assert not plain.HasField("teacher")
    for taught in (logits, sequence):
        assert taught.teacher.name == "./large"
        assert {file.sha256 for file in taught.teacher.files} <= study.blobs
    assert study.resolved["resolved_models"]["./large"]["digest"] == logits.teacher.digest


def test_other_weights_of_a_teacher_make_another_trial(tmp_path: Path, catalog: dict[str, object]) -> None:
    models(tmp_path)
    first = planned(tmp_path, STUDY, catalog=catalog)
    write_model(tmp_path / "large", hidden=96)
    models_tokenizer = json.dumps({"model": {"vocab": {"a": 0, "b": 1}}})
    (tmp_path / "large" / "tokenizer.json").write_text(models_tokenizer)

    second = planned(tmp_path, STUDY, catalog=catalog)

    assert [
        one.trial.digest == other.trial.digest for one, other in zip(first.trials, second.trials, strict=True)
    ] == [
        True,
        False,
        False,
    ]


def test_a_teacher_that_is_not_there_is_told_at_its_place(tmp_path: Path, catalog: dict[str, object]) -> None:
    write_model(tmp_path / "small")

    with pytest.raises(StudyProblems) as caught:
        planned(tmp_path, STUDY, catalog=catalog)

    assert "there is no model `./large`" in str(caught.value)
    assert ":8:" in str(caught.value)


def test_a_distillation_without_a_teacher_is_left_out_with_the_reason(
    tmp_path: Path, catalog: dict[str, object]
) -> None:
    models(tmp_path)

    study = planned(tmp_path, STUDY.replace(", teacher: ./large", ""), catalog=catalog)

    assert {exclusion.reason for exclusion in study.exclusions} == {
        "a distillation needs a second model to learn from: give `teacher`"
    }
    assert len(study.exclusions) == 2


def test_a_teacher_of_another_vocabulary_is_left_out_where_single_tokens_are_compared(
    tmp_path: Path, catalog: dict[str, object]
) -> None:
    models(tmp_path, others=("a", "c"))

    study = planned(tmp_path, STUDY, catalog=catalog)

    [left_out] = study.exclusions
    assert left_out.factors["compression"]["kind"] == "distilled-logits"
    assert left_out.source == "catalogue"
    assert "another vocabulary" in left_out.reason
    assert [cell.factors["compression"]["kind"] for cell in study.cells] == ["none", "distilled-sequence"]


def test_a_study_of_nothing_but_strangers_is_refused(tmp_path: Path, catalog: dict[str, object]) -> None:
    models(tmp_path, others=("a", "c"))
    text = STUDY.replace("[none, {kind: [distilled-logits, distilled-sequence]", "[{kind: distilled-logits")

    with pytest.raises(StudyProblems, match="every combination is excluded"):
        planned(tmp_path, text, catalog=catalog)


def test_the_teacher_is_part_of_the_predicted_peak(tmp_path: Path, catalog: dict[str, object]) -> None:
    models(tmp_path)
    small = planned(tmp_path, STUDY, catalog=catalog)
    write_model(tmp_path / "large", hidden=20_000, intermediate_size=80_000)
    (tmp_path / "large" / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0, "b": 1}}}))

    large = planned(tmp_path, STUDY, catalog=catalog)

    peaks = [[cell.ram_peak_bytes.value for cell in study.cells] for study in (small, large)]
    assert peaks[0][0] == peaks[1][0]
    for before, after in zip(peaks[0][1:], peaks[1][1:], strict=True):
        assert before is not None and after is not None
        assert after > before


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"model": {"vocab": {"a": 0, "b": 1}}}, {"model": {"vocab": {"b": 1, "a": 0}}}, True),
        ({"model": {"vocab": {"a": 0, "b": 1}}}, {"model": {"vocab": [["a", -1.0], ["b", -2.0]]}}, True),
        ({"model": {"vocab": {"a": 0, "b": 1}}}, {"model": {"vocab": {"a": 1, "b": 0}}}, False),
        (
            {"model": {"vocab": {"a": 0}}, "added_tokens": [{"content": "<s>", "id": 1}]},
            {"model": {"vocab": {"a": 0}}},
            False,
        ),
    ],
)
def test_vocabularies_are_told_apart_by_tokens_and_ids(
    one: object, other: object, same: bool, tmp_path: Path
) -> None:
    digests = []
    for name, content in (("one.json", one), ("other.json", other)):
        (tmp_path / name).write_text(json.dumps(content))
        digests.append(digest(FoundModel(name, files=(("tokenizer.json", tmp_path / name),))))

    assert (digests[0] == digests[1]) is same
    assert all(digests)


@pytest.mark.parametrize("text", ["no json", "{}", '{"model": {"vocab": 3}}', '{"model": {"vocab": [[]]}}'])
def test_a_vocabulary_that_cannot_be_read_is_not_known(text: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(text)

    assert digest(FoundModel("m", files=(("tokenizer.json", tmp_path / "tokenizer.json"),))) == ""
    assert digest(FoundModel("m", device_path="/models/m")) == ""
