"""Prompts in words, LaMP's token budget, and training pairs out of the profile."""

from __future__ import annotations

import pytest

from edgerig_workload.tasks.items import Item, ProfileItem
from edgerig_workload.tasks.prompts import (
    Pair,
    answer_text,
    bare,
    personal,
    question,
    read_answer,
    training_pairs,
)
from edgerig_workload.tasks.spec import TaskSpec

LABELS = ("comedy", "action")


def words(text: str) -> int:
    return len(text.split())


def spec(prompt: str, labels: tuple[str, ...] = ()) -> TaskSpec:
    return TaskSpec(prompt, "generation", "rouge1_f", prompt, labels)


def item(text: str) -> Item:
    return Item("i", "u", text, "out", ())


def entry(text: str, output: str) -> ProfileItem:
    return ProfileItem("p", text, output)


MOVIE = spec("lamp-2", LABELS)
ASKED = question(MOVIE, "a dog runs")


def test_the_bare_prompt_ends_with_the_cue() -> None:
    assert bare(MOVIE, item(ASKED)) == (
        "Which of these tags fits the movie? tags: [comedy, action] description: a dog runs\nanswer:"
    )


def test_a_plain_classification_lists_its_labels() -> None:
    assert bare(spec("plain", LABELS), item("funny?")) == "funny?\none of: comedy, action\nanswer:"


def test_a_plain_generation_is_the_question_alone() -> None:
    assert bare(spec("plain"), item("why?")) == "why?\nanswer:"


@pytest.mark.parametrize(
    ("family", "asked", "examples", "start"),
    [
        ("lamp-2", "Which? description: d", [("t", "o")], "the tag for the movie: t is o. Which?"),
        ("lamp-3", "Which? review: d", [("t", "4")], "4 is the score for t. Which?"),
        (
            "lamp-4",
            "Write: d",
            [("t", "o"), ("s", "n")],
            "o is the title for t, and n is the title for s. Write",
        ),
        ("lamp-5", "Write: d", [("t", "o")], "o is the title for t. Following the given patterns. Write"),
        ("lamp-6", "Write: d", [("t", "o")], "o is the title for t. Write"),
        ("lamp-7", "Say: d", [("t", "")], '"t" are written by a person. Following the given patterns. Say'),
        ("plain", "q", [("t", "o"), ("s", "n")], "t\nanswer: o\n\ns\nanswer: n\n\nq\nanswer:"),
    ],
)
def test_a_personal_prompt_shows_the_retrieved_items_first(
    family: str, asked: str, examples: list[tuple[str, str]], start: str
) -> None:
    retrieved = [entry(text, output) for text, output in examples]
    made = personal(spec(family), item(asked), retrieved, words, 1000)
    assert made.text.startswith(start)
    assert made.text.endswith("\nanswer:")
    assert (made.used_count, made.truncated) == (len(examples), False)


def test_lamp_1_puts_the_users_titles_to_the_title_in_question() -> None:
    asked = 'An author wrote a paper with the title "T". Which? [1]: "A" [2]: "B"'
    made = personal(spec("lamp-1"), item(asked), [entry("x", "own"), entry("y", "other")], words, 1000)
    assert made.text.startswith('An author wrote a paper with the title "own", and "other", and "T". Which?')


def test_without_retrieved_items_the_prompt_is_bare() -> None:
    made = personal(MOVIE, item(ASKED), [], words, 1000)
    assert (made.text, made.used_count, made.truncated) == (bare(MOVIE, item(ASKED)), 0, False)


def test_an_item_gets_its_even_share_and_no_more() -> None:
    # 42 tokens, of which the question takes 15: 27 - 1 - 2 are 24, 12 for each item;
    # the words around an example are seven, so five of its own text fit.
    long = " ".join(f"w{n}" for n in range(30))
    made = personal(MOVIE, item(ASKED), [entry(long, "comedy"), entry(long, "action")], words, 42)
    cut = "the tag for the movie: w0 w1 w2 w3 w4 is"
    assert made.text.startswith(f"{cut} comedy, and {cut} action.")
    assert (made.used_count, made.truncated) == (2, True)


def test_what_an_item_leaves_goes_to_the_next() -> None:
    long = " ".join(f"w{n}" for n in range(30))
    made = personal(MOVIE, item(ASKED), [entry("w", "comedy"), entry(long, "action")], words, 42)
    assert "w8 is action." in made.text


def test_a_long_question_leaves_the_prefix_four_tenths_and_loses_its_end() -> None:
    asked = "description: " + " ".join(f"q{n}" for n in range(100))
    made = personal(MOVIE, item(asked), [entry("a b c", "comedy")], words, 40)
    assert made.text.startswith("the tag for the movie: a b c is comedy. description: q0 q1")
    assert made.text.endswith("\nanswer:")
    assert words(made.text) == 40
    assert (made.used_count, made.truncated) == (1, True)


def test_the_question_gives_way_until_an_item_gets_room() -> None:
    # With 0.6 the prefix has 8 of 20 tokens, with 0.5 ten: the example needs at least eight and a stop.
    asked = " ".join(f"q{n}" for n in range(100))
    made = personal(MOVIE, item(asked), [entry("a b", "comedy")], words, 20)
    assert made.used_count == 1
    assert made.text.startswith("the tag for the movie: a b is comedy. q0")


def test_where_nothing_else_fits_the_question_stands_alone() -> None:
    made = personal(MOVIE, item("a b c d e f"), [entry("t", "a label of very many words")], words, 7)
    assert (made.text, made.used_count, made.truncated) == ("a b c d e f\nanswer:", 0, True)


@pytest.mark.parametrize("limit", [1, 2, 5, 9, 14, 21, 33, 64])
@pytest.mark.parametrize("family", ["lamp-1", "lamp-2", "lamp-3", "lamp-4", "lamp-5", "lamp-7", "plain"])
def test_a_prompt_never_exceeds_its_limit_and_keeps_its_cue(family: str, limit: int) -> None:
    asked = 'with the title "a b c" which description: d e f g [1]: "h i" [2]: "j k"'
    retrieved = [entry(f"t{n} and more words", f"o{n}") for n in range(4)]
    made = personal(spec(family), item(asked), retrieved, words, limit)
    assert words(made.text) <= limit
    assert made.text.endswith("answer:")


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_tokens is 0"):
        personal(MOVIE, item(ASKED), [], words, 0)


def test_pairs_ask_about_the_profile_as_the_question_does() -> None:
    assert training_pairs(MOVIE, [entry("a dog runs", "action")]) == [
        Pair(bare(MOVIE, item(ASKED)), " action\n")
    ]


def test_lamp_1_trains_title_to_abstract() -> None:
    (pair,) = training_pairs(spec("lamp-1"), [entry("the abstract", "Title")])
    assert '"Title"' in pair.prompt
    assert pair.answer == " the abstract\n"


def test_lamp_7_trains_to_complete_a_tweet() -> None:
    (pair,) = training_pairs(spec("lamp-7"), [entry("so tired of all this rain and wind", "")])
    assert pair == Pair("Complete this tweet: so tired\nanswer:", " of all this rain and wind\n")


def test_profile_items_with_nothing_to_learn_are_left_out() -> None:
    assert training_pairs(MOVIE, [entry("", "action"), entry("a", " ")]) == []
    assert training_pairs(spec("lamp-7"), [entry("word", "")]) == []


def test_an_answer_is_one_line() -> None:
    assert answer_text(MOVIE, "dark\ncomedy ") == " dark comedy\n"


def test_an_answer_is_read_up_to_its_line_break() -> None:
    assert read_answer(MOVIE, " dark comedy\nanswer: action") == "dark comedy"
