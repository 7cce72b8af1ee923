"""BM25: the scores of a known implementation, ties in a fixed order."""

from __future__ import annotations

import math
import random

import pytest

from edgerig_workload.retrieve.bm25 import Index

TEXTS = ("a robot walks", "the robot sees a robot", "a quiet garden", "the sea")


def test_the_text_that_shares_a_rare_word_comes_first() -> None:
    assert Index(TEXTS).top("quiet robot in a garden", 1) == [2]


def test_a_score_is_okapis() -> None:
    # One of four texts holds "sea"; its length is 2 and the mean length 3.25.
    rarity = math.log(1 + (4 - 1 + 0.5) / (1 + 0.5))
    expected = rarity * 1 / (1 + 1.5 * (1 - 0.75 + 0.75 * 2 / 3.25))
    assert Index(TEXTS).scores("sea") == [0.0, 0.0, 0.0, pytest.approx(expected)]


def test_equal_scores_keep_their_order() -> None:
    assert Index(["x y", "z z", "x y", "x y"]).top("x", 3) == [0, 2, 3]


def test_without_a_shared_word_the_first_texts_are_returned() -> None:
    assert Index(TEXTS).top("nothing", 2) == [0, 1]


def test_more_than_there_is_returns_all() -> None:
    assert sorted(Index(TEXTS).top("robot", 99)) == [0, 1, 2, 3]


@pytest.mark.parametrize("texts", [(), ("",), ("", "  ")])
def test_empty_texts_can_be_searched(texts: tuple[str, ...]) -> None:
    assert Index(texts).top("word", 5) == list(range(len(texts)))


def test_words_are_told_apart_by_blanks_and_case_only() -> None:
    assert Index(["Robot.", "robot"]).scores("robot")[0] == 0.0


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="k is -1"):
        Index(TEXTS).top("robot", -1)


def test_a_larger_index_holds_more_bytes() -> None:
    assert Index(TEXTS * 10).index_bytes > Index(TEXTS).index_bytes > 0


def test_scores_equal_those_of_bm25s() -> None:
    bm25s = pytest.importorskip("bm25s")
    draw = random.Random(5)
    texts = [" ".join(draw.choices("abcdefghij", k=draw.randint(1, 12))) for _ in range(60)]
    peer = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    peer.index([text.split() for text in texts], show_progress=False)
    for query in ("a c e", "j", "b b d"):
        theirs = peer.get_scores(query.split())
        assert Index(texts).scores(query) == pytest.approx(list(theirs), rel=1e-5)
