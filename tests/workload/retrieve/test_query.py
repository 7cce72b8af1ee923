"""What is searched for and in, by LaMP's rules."""

from __future__ import annotations

import pytest

from edgerig_workload.retrieve.query import document, query
from edgerig_workload.tasks.items import Item, ProfileItem
from edgerig_workload.tasks.spec import TaskSpec


def spec(prompt: str) -> TaskSpec:
    return TaskSpec(prompt, "generation", "rouge1_f", prompt)


@pytest.mark.parametrize(
    ("family", "asked", "searched"),
    [
        ("lamp-1", 'with the title "T", which? [1]: "A one" [2]: "B two"', "A one B two"),
        ("lamp-1", "no quotes", "no quotes"),
        ("lamp-2", "tags: [a, b] description: a dog runs", "a dog runs"),
        ("lamp-3", "just answer: review: it is bad: very", "it is bad: very"),
        ("lamp-4", "Write a headline: article: news", "news"),
        ("lamp-5", "Write a title for this abstract: we: study", "we: study"),
        ("lamp-7", "Paraphrase this tweet: so tired", "so tired"),
        ("lamp-2", "no marker", "no marker"),
        ("plain", "what: is it?", "what: is it?"),
    ],
)
def test_the_query_is_the_part_that_tells_questions_apart(family: str, asked: str, searched: str) -> None:
    assert query(spec(family), Item("i", "u", asked, "o", ())) == searched


@pytest.mark.parametrize("family", ["lamp-1", "lamp-4", "lamp-5"])
def test_titles_are_searched_with_their_texts(family: str) -> None:
    assert document(spec(family), ProfileItem("p", "text", "title")) == "title text"


@pytest.mark.parametrize("family", ["lamp-2", "lamp-3", "lamp-6", "lamp-7", "plain"])
def test_an_answer_is_not_searched(family: str) -> None:
    assert document(spec(family), ProfileItem("p", "text", "answer")) == "text"
