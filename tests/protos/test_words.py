"""Short words of enumerations, and the rule which failures are results."""

import pytest

from edgerig.v1.attempt_pb2 import Boundary, FailureClass, Phase, Status
from edgerig.words import RESULT_FAILURES, number, word, words


@pytest.mark.parametrize("enum", [Boundary, FailureClass, Phase, Status])
def test_every_word_leads_back_to_its_number(enum: object) -> None:
    assert [number(enum, text) for text in words(enum)] == [v for v in enum.values() if v]  # type: ignore[attr-defined]


def test_unspecified_is_the_empty_word() -> None:
    assert word(Status, 0) == "" and number(Status, "") == 0


def test_an_unknown_word_is_an_error() -> None:
    with pytest.raises(ValueError, match="PHASE_DANCE"):
        number(Phase, "dance")


def test_result_failures_are_failure_classes() -> None:
    assert set(words(FailureClass)) >= RESULT_FAILURES
