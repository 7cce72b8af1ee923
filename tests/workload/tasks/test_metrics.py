"""Item scores: exact labels, ratings with a worst case, ROUGE as rouge-score computes it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerig_workload.tasks.metrics import accuracy, corpus, macro_f1, rating, rouge1_f, rougel_f, score
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


def kind(word: str, labels: tuple[str, ...] = ()) -> TaskSpec:
    return TaskSpec.from_trial({"name": "t", "kind": word, "labels": list(labels)})


def test_macro_f1_is_the_mean_over_all_labels_absent_ones_among_them() -> None:
    """comedy: precision 1/2, recall 1; action: precision 1, recall 1/2; drama: never there."""
    said, golds = ["comedy", "comedy", "action", "nonsense"], ["comedy", "action", "action", "drama"]

    value = macro_f1(said, golds, ("comedy", "action", "drama", "horror"))

    assert value == pytest.approx((2 / 3 + 2 / 3 + 0 + 0) / 4)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abx"), st.sampled_from("abc")), min_size=1, max_size=12))
def test_macro_f1_equals_counting_by_hand(pairs: list[tuple[str, str]]) -> None:
    labels = ("a", "b", "c")
    values = []
    for label in labels:
        hits = sum(said == gold == label for said, gold in pairs)
        wrong = sum(said == label != gold for said, gold in pairs)
        missed = sum(gold == label != said for said, gold in pairs)
        values.append(2 * hits / (2 * hits + wrong + missed) if hits + wrong + missed else 0.0)

    said, golds = zip(*pairs, strict=True)

    assert macro_f1(said, golds, labels) == pytest.approx(sum(values) / 3)


def test_ratings_are_reported_as_errors_with_the_worst_end_for_silence() -> None:
    found = corpus(kind("TASK_KIND_RATING"), ["4", "none", "9"], ["5", "2", "5"])

    assert found == {"mae": pytest.approx((1 + 3 + 4) / 3), "rmse": pytest.approx((26 / 3) ** 0.5)}


def test_generated_texts_are_reported_by_both_rouges() -> None:
    found = corpus(kind("TASK_KIND_GENERATION"), ["b a", "a"], ["a b", "a"])

    assert found == {"rouge1_f": 1.0, "rougeL_f": pytest.approx(0.75)}


def test_classes_are_reported_by_accuracy_and_macro_f1() -> None:
    found = corpus(kind("TASK_KIND_CLASSIFICATION", ("a", "b")), ["a", "c"], ["a", "b"])

    assert found == {"accuracy": 0.5, "macro_f1": 0.5}


def test_no_items_have_no_figure() -> None:
    with pytest.raises(ValueError, match="no items"):
        corpus(kind("TASK_KIND_RATING"), [], [])
