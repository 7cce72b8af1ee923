"""Label expressions: what they mean, and what is no expression."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerig_controller.fleet.schedule import matches
from edgerig_controller.study.labels import ExpressionError, check, holds


@pytest.mark.parametrize(
    ("expression", "labels", "expected"),
    [
        ("orin", {"orin"}, True),
        ("orin", {"nx"}, False),
        ("orin and not nx", {"orin"}, True),
        ("orin and not nx", {"orin", "nx"}, False),
        ("a or b and c", {"a"}, True),
        ("(a or b) and c", {"a"}, False),
        ("not not a", {"a"}, True),
        ("ram=8g and lab:2", {"ram=8g", "lab:2"}, True),
        ("android", {"android"}, True),
    ],
)
def test_meaning(expression: str, labels: set[str], expected: bool) -> None:
    assert holds(expression, labels) is expected


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "a label is missing"),
        ("orin and", "a label is missing"),
        ("and orin", "column 1: a label is expected"),
        ("orin nx", "column 6: 'nx' follows"),
        ("(orin", "bracket is missing"),
        ("orin)", "column 5"),
        ("orin & nx", "column 6: '&'"),
        ("not " * 50 + "a", "nested"),
        ("a" * 501, "500"),
    ],
)
def test_faults_name_their_place(expression: str, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        check(expression)
    assert words in str(caught.value)


LABELS = ("a", "b", "c")
EXPRESSIONS = st.recursive(
    st.sampled_from(LABELS),
    lambda inner: st.one_of(
        inner.map(lambda item: f"not ({item})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda parts: "({}) {} ({})".format(*parts)
        ),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS)
def test_it_means_what_python_means(expression: str) -> None:
    for present in itertools.chain.from_iterable(itertools.combinations(LABELS, n) for n in range(4)):
        names = {label: label in present for label in LABELS}
        assert holds(expression, present) is eval(expression, {}, names)


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_a_fault(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        holds(text, {"a"})


def test_a_study_may_ask_by_expression_and_the_id_counts_as_a_label() -> None:
    assert matches((), ["orin and not lab-b"], "orin-07", ["orin"])
    assert not matches((), ["orin and not orin-07"], "orin-07", ["orin"])
