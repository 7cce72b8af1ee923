"""Each measure of difficulty on tasks whose answer is known."""

from __future__ import annotations

import math
import random

import pytest

from edgerig_controller.guidelines.difficulty import (
    ProfileItem,
    Question,
    best_match,
    code_length,
    copying,
    development_half,
    headroom,
    label_entropy,
    measure,
    novelty,
    rank_correlation,
)


def exact(said: str, expected: str) -> float:
    return float(said == expected)


def question(user: str, text: str, output: str, *profile: tuple[str, str]) -> Question:
    return Question(user, text, output, tuple(ProfileItem(*item) for item in profile))


def personal(users: int = 12) -> list[Question]:
    """Every user has a taste of their own, which the profile tells and nothing else does."""
    return [
        question(f"u{u:02}", "a red film", f"taste{u}", ("a red film", f"taste{u}"), ("blue song", "else"))
        for u in range(users)
    ]


def test_headroom_is_nothing_when_solved_and_all_at_chance() -> None:
    assert headroom(1.0, 0.25) == 0.0
    assert headroom(0.25, 0.25) == 1.0
    assert headroom(0.625, 0.25) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="chance"):
        headroom(0.5, 1.0)


def test_random_labels_cost_their_entropy_and_more_and_clear_ones_little() -> None:
    rng = random.Random(3)
    noise = [question("u", rng.choice(["x", "y"]), rng.choice("ab")) for _ in range(400)]
    clear = [question("u", f"word {label}", label) for label in rng.choices("ab", k=400)]
    assert 0.97 < code_length(noise) < 1.1
    assert code_length(clear) < 0.1


def test_the_first_label_costs_the_entropy_of_the_labels() -> None:
    assert code_length([question("u", "x", "a")]) == 0.0
    two = [question("u", "x", "a"), question("u", "x", "b")]
    # The first is told with 1/2; the second with its prior 1/3, for the one word tells nothing.
    assert code_length(two) == pytest.approx((1 + math.log2(3)) / 2)


def test_a_personal_task_is_solved_by_ones_own_profile_only() -> None:
    found = measure(personal(), exact, closed_set=True)
    assert (found.d3, found.d5) == (1.0, 1.0)
    assert found.as_mapping().keys() == {"D2", "D3", "D4", "D5"}


def test_a_task_that_everybody_answers_alike_is_not_personal() -> None:
    same = [question(f"u{u}", "a red film", "good", ("red film", "good")) for u in range(5)]
    found = measure(same, exact, closed_set=True)
    assert (found.d3, found.d5, found.d4) == (1.0, 0.0, 0.0)


def test_without_profiles_nothing_can_be_copied() -> None:
    assert copying([question("u", "x", "a")], exact) is None
    half = [question("u", "x", "a", ("x", "a")), question("v", "x", "a")]
    assert copying(half, exact) == 0.5


def test_one_user_alone_has_no_personal_signal() -> None:
    assert measure(personal(1), exact, closed_set=True).d5 is None


def test_rare_words_decide_the_match_and_the_first_of_equals_wins() -> None:
    profile = tuple(ProfileItem(text, text) for text in ("the the film", "the song", "the zebra"))
    assert best_match("the zebra", profile).text == "the zebra"
    assert best_match("nothing alike", profile).text == "the the film"


def test_entropy_of_labels_is_in_bits() -> None:
    assert label_entropy([question("u", "x", label) for label in "aabb"]) == 1.0


def test_novelty_counts_the_words_that_the_input_lacks() -> None:
    assert novelty([question("u", "one two", "one three four"), question("u", "x", "x")]) == 1.0


def test_the_reference_model_gives_d1_and_free_text_has_no_code_length() -> None:
    found = measure(personal(), exact, closed_set=False, reference=(0.5, 0.0))
    assert (found.d1, found.d2) == (0.5, None)
    with pytest.raises(ValueError, match="at least one"):
        measure([], exact, closed_set=True)


def test_no_user_is_in_both_halves() -> None:
    development, test = development_half(personal(7))
    assert not {q.user for q in development} & {q.user for q in test}
    assert len(development) + len(test) == 7


def test_measures_are_compared_by_rank() -> None:
    tasks = [{"D1": x, "D3": -(x**3), "D4": 1.0} for x in (0.1, 0.5, 0.9, 0.7)]
    assert rank_correlation(tasks) == {("D1", "D3"): pytest.approx(-1.0)}
    with pytest.raises(ValueError, match="three tasks"):
        rank_correlation(tasks[:2])
