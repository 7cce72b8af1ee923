"""Item scores: exact labels, ratings with a worst case, ROUGE as rouge-score computes it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerig_workload.tasks.metrics import accuracy, rating, rouge1_f, rougel_f, score
from edgerig_workload.tasks.spec import TaskSpec

WORDS = st.lists(st.sampled_from(["the", "Cat", "sat", "mat", "é", "a-b", "x1", "!"]), max_size=12).map(
    " ".join
)


def spec(metric: str, labels: tuple[str, ...] = ()) -> TaskSpec:
    return TaskSpec("t", "classification", metric, "plain", labels)


def test_a_label_is_right_after_stripping() -> None:
    assert accuracy(" comedy\n", "comedy", ("comedy", "action")) == 1.0


def test_a_label_is_compared_exactly() -> None:
    assert accuracy("Comedy", "comedy", ("comedy", "action")) == 0.0


def test_a_label_outside_the_set_is_wrong_even_if_expected() -> None:
    assert accuracy("drama", "drama", ("comedy", "action")) == 0.0


@pytest.mark.parametrize(
    ("output", "expected", "value"),
    [("4", "4", 1.0), ("3", "4", 0.75), (" 5 ", "1", 0.0), ("4.0", "4", 1.0), ("9", "5", 0.0)],
)
def test_a_rating_loses_a_quarter_a_step(output: str, expected: str, value: float) -> None:
    assert rating(output, expected) == value


@pytest.mark.parametrize(
    ("expected", "value"), [("1", 0.0), ("2", 0.25), ("3", 0.5), ("4", 0.25), ("5", 0.0)]
)
@pytest.mark.parametrize("output", ["", "good", "nan", "inf"])
def test_an_output_that_is_no_rating_gets_the_farther_end(output: str, expected: str, value: float) -> None:
    assert rating(output, expected) == value


@pytest.mark.parametrize("expected", ["", "6", "good"])
def test_an_expected_rating_must_be_one(expected: str) -> None:
    with pytest.raises(ValueError, match="no number from 1 to 5"):
        rating("3", expected)


def test_rouge1_counts_shared_words() -> None:
    assert rouge1_f("the cat sat", "the cat lay down") == pytest.approx(4 / 7)


def test_rouge1_counts_a_word_at_most_as_often_as_expected() -> None:
    assert rouge1_f("cat cat cat", "cat") == pytest.approx(0.5)


def test_rougel_minds_the_order() -> None:
    assert rougel_f("c b a", "a b c") == pytest.approx(1 / 3)


@pytest.mark.parametrize(("output", "expected"), [("", "cat"), ("cat", ""), ("", ""), ("!", "?")])
def test_rouge_of_nothing_is_zero(output: str, expected: str) -> None:
    assert rouge1_f(output, expected) == rougel_f(output, expected) == 0.0


@settings(deadline=None)  # the first call imports the package
@given(output=WORDS, expected=WORDS)
def test_rouge_equals_the_rouge_score_package(output: str, expected: str) -> None:
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    theirs = rouge_scorer.RougeScorer(["rouge1", "rougeL"], use_stemmer=False).score(expected, output)
    assert rouge1_f(output, expected) == pytest.approx(theirs["rouge1"].fmeasure)
    assert rougel_f(output, expected) == pytest.approx(theirs["rougeL"].fmeasure)


@pytest.mark.parametrize(
    ("metric", "value"), [("accuracy", 0.0), ("rating", 0.5), ("rouge1_f", 0.0), ("rougeL_f", 0.0)]
)
def test_score_uses_the_tasks_metric(metric: str, value: float) -> None:
    assert score(spec(metric), "5", "3") == value


def test_score_uses_the_tasks_labels() -> None:
    assert score(spec("accuracy", ("a",)), "b", "b") == 0.0


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="bleu"):
        score(spec("bleu"), "a", "a")
