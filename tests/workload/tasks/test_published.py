"""Prompts as LaMP publishes them: words, the division of the context, and pairs out of the profile."""

from __future__ import annotations

import pytest

from edgerig_workload.tasks.items import Item, ProfileItem
from edgerig_workload.tasks.prompts import training_pairs, worded
from edgerig_workload.tasks.spec import TaskSpec
from edgerig_workload.tasks.wording import Head, Personal


class Words:
    """Every word is a token, and one is added at the end, as T5 does."""

    def count(self, text: str) -> int:
        return len(text.split()) + 1

    def head(self, text: str, most: int) -> Head | None:
        words = text.split()
        if most < 1:
            return None
        kept = words[: most - 1]
        return Head(" ".join(kept), len(kept) + 1, cut=len(kept) < len(words))


def spec(name: str, *, cue: str = "", labels: tuple[str, ...] = ()) -> TaskSpec:
    return TaskSpec(name, "generation", "rouge1_f", f"{name}-published", labels, 8, cue)


def told(name: str, asked: str, entries: list[ProfileItem], most: int = 1000, cue: str = "") -> Personal:
    return worded(spec(name, cue=cue), Item("i", "u", asked, "o", ()), entries, Words(), most)


def entry(text: str, output: str, name: str = "p") -> ProfileItem:
    return ProfileItem(name, text, output)


@pytest.mark.parametrize(
    ("name", "asked", "prompt"),
    [
        (
            "lamp-1",
            'the title "mine", which of "x" and "y"?',
            'the title, and "o1", and "o2" "mine", which of "x" and "y"?',
        ),
        (
            "lamp-2",
            "Q",
            'the tag for the movie: "t1" is "o1" , and the tag for the movie: "t2" is "o2" . Q',
        ),
        (
            "lamp-2n",
            "Q",
            'the category for the article: "t1" is "o1" , and the category for the article: "t2" is "o2" . Q',
        ),
        ("lamp-3", "Q", 'o1 is the score for "t1" , and o2 is the score for "t2" . Q'),
        ("lamp-4", "Q", '"o1" is the title for "t1" , and "o2" is the title for "t2" . Q'),
        (
            "lamp-5",
            "Q",
            '"o1" is a title for "t1" , and "o2" is a title for "t2" . Following the given patterns Q',
        ),
        ("lamp-6", "Q", '"o1" is the title for "t1" , and "o2" is the title for "t2" . Q'),
        ("lamp-7", "Q", '"t1" , and "t2"  are written by a person. Following the given patterns Q'),
    ],
)
def test_each_family_words_its_prefix(name: str, asked: str, prompt: str) -> None:
    found = told(name, asked, [entry("t1", "o1"), entry("t2", "o2")])

    assert found == Personal(prompt, 2, truncated=False)


def test_the_question_claims_six_tenths_and_items_share_the_rest_evenly() -> None:
    """Of 56 tokens the question of 60 may claim 33; of 23, 3 stand between items, and 10 are each one's.

    The words around a text are 7 and an end, so that one word and its end remain.
    """
    asked = " ".join(["q"] * 59)

    found = told("lamp-3", asked, [entry("a b c", "4"), entry("d", "4")], most=56)

    assert found.text.startswith('4 is the score for "a" , and 4 is the score for "d" . q')
    assert (found.used_count, found.truncated) == (2, True)


def test_what_one_item_leaves_rolls_over_to_the_next() -> None:
    """Shares are 15 each, of which 8 are words around; the first uses 2 of 7, the second gets 12."""
    long = " ".join(f"w{n}" for n in range(20))

    found = told("lamp-3", "q", [entry("a", "4"), entry(long, "4")], most=35)

    assert (
        found.text == f'4 is the score for "a" , and 4 is the score for "{" ".join(long.split()[:11])}" . q'
    )
    assert (found.used_count, found.truncated) == (2, True)


def test_the_questions_share_falls_until_every_item_has_room() -> None:
    """At 0.6 of 40 no item has room; at 0.4 each of two has 10, of which 8 are words around."""
    asked = " ".join(["q"] * 60)

    found = told("lamp-3", asked, [entry("a b c", "4"), entry("d e f", "4")], most=40)

    assert found.text.startswith('4 is the score for "a" , and 4 is the score for "d" . q')
    assert Words().count(found.text) <= 40


def test_without_room_the_question_stands_alone_and_that_is_told() -> None:
    found = told("lamp-3", "q " * 5, [entry("a", "4")] * 9, most=20)

    assert found == Personal("q " * 5, 0, truncated=True)


def test_a_citation_without_the_word_that_titles_stand_behind_stands_alone() -> None:
    found = told("lamp-1", 'which of "x" and "y"?', [entry("t", "o")])

    assert found == Personal('which of "x" and "y"?', 0, truncated=True)


def test_a_causal_model_gets_a_cue_that_is_never_cut() -> None:
    found = told("lamp-4", " ".join(["q"] * 60), [], most=20, cue="\nanswer:")

    assert found.text.endswith("q\nanswer:")
    assert Words().count(found.text) == 20
    assert found.truncated


def test_an_encoder_decoder_is_asked_as_published_and_others_are_cued() -> None:
    causal = TaskSpec.from_trial({"name": "x", "kind": "TASK_KIND_RATING", "prompt": "lamp-3-published"})

    assert (causal.for_model(encoder_decoder=True).cue, causal.for_model(encoder_decoder=False).cue) == (
        "",
        "\nanswer:",
    )
    assert causal.for_model(encoder_decoder=True).answer(" a\nb ") == "a b"


@pytest.mark.parametrize(
    ("name", "prompt", "answer"),
    [
        ("lamp-1", "Write an abstract for this title: out", "the text"),
        (
            "lamp-2",
            "Which tag does this movie relate to among the following tags? Just answer with the tag name "
            "without further explanation. tags: [a, b] description: the text",
            "out",
        ),
        (
            "lamp-3",
            "What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, 4, or "
            "5 without further explanation. review: the text",
            "out",
        ),
        ("lamp-4", "Generate a headline for the following article: the text", "out"),
        ("lamp-5", "Generate a title for the following abstract of a paper: the text", "out"),
        ("lamp-6", "Generate a subject for the following email: the text", "out"),
    ],
)
def test_pairs_come_from_the_profile(name: str, prompt: str, answer: str) -> None:
    [pair] = training_pairs(spec(name, labels=("a", "b")), [entry("the text", "out")])

    assert (pair.prompt, pair.answer) == (prompt, answer)


def test_a_tweet_is_completed_from_a_tenth_to_a_quarter_of_its_words() -> None:
    words = [f"w{n}" for n in range(100)]
    tweets = [entry(" ".join(words), "", name=str(number)) for number in range(50)]

    pairs = training_pairs(spec("lamp-7"), tweets)

    openings = {len(pair.prompt.removeprefix("Complete the following tweet: ").split()) for pair in pairs}
    assert len(openings) > 5
    assert min(openings) >= 10
    assert max(openings) <= 25
    assert all(f"{pair.prompt} {pair.answer}".endswith(" ".join(words)) for pair in pairs)


def test_an_item_without_an_output_teaches_nothing() -> None:
    assert training_pairs(spec("lamp-4"), [entry("text", " ")]) == []
