"""Tasks and metrics as data for the catalogue that the worker prints.

Imports nothing heavy, for the catalogue must be printed in a fraction of a second.
"""

from __future__ import annotations

from typing import Any

from edgerig_workload.tasks.spec import ANSWER_TOKENS_OF_KIND, METRICS_OF_KIND

# LaMP-2's fifteen tags, in the order in which its questions list them.
LAMP_2_LABELS = (
    "sci-fi",
    "based on a book",
    "comedy",
    "action",
    "twist ending",
    "dystopia",
    "dark comedy",
    "classic",
    "psychology",
    "fantasy",
    "romance",
    "thought-provoking",
    "social commentary",
    "violence",
    "true story",
)

# Those of its first version, which is about news.
LAMP_2N_LABELS = (
    "food & drink",
    "sports",
    "education",
    "parents",
    "religion",
    "travel",
    "business",
    "crime",
    "science & technology",
    "culture & arts",
    "entertainment",
    "politics",
    "women",
    "style & beauty",
    "healthy living",
)


def _task(kind: str, summary: str, labels: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "kind": kind,
        "metric": METRICS_OF_KIND[kind][0],
        "metrics": list(METRICS_OF_KIND[kind]),
        "summary": summary,
        "labels": list(labels),
        "answer_tokens": ANSWER_TOKENS_OF_KIND[kind],
    }


TASKS: dict[str, dict[str, Any]] = {
    "lamp-1": _task("classification", "which of two references an author cites", ("[1]", "[2]")),
    "lamp-2": _task("classification", "which tag a user gives a movie", LAMP_2_LABELS),
    "lamp-2n": _task("classification", "which category a user gives a news article", LAMP_2N_LABELS),
    "lamp-3": _task("rating", "which score a user gives in a review"),
    "lamp-4": _task("generation", "the headline a user writes for an article"),
    "lamp-5": _task("generation", "the title a user writes for an abstract"),
    "lamp-6": _task("generation", "the subject a user writes for an e-mail"),
    "lamp-7": _task("generation", "a tweet in the words of a user"),
    "plain": {
        **_task("generation", "questions, answers and profiles of your own, as JSON lines"),
        "metrics": ["accuracy", "rating", "rouge1_f", "rougeL_f"],
    },
}

METRICS: dict[str, dict[str, Any]] = {
    "accuracy": {
        "summary": "share of outputs that are the expected label exactly, after stripping blanks",
        "unit": "ratio",
        "larger_is_better": True,
    },
    "rating": {
        "summary": "1 - |error| / 4 on the scale 1 to 5; an output that is no number gets the worst end",
        "unit": "ratio",
        "larger_is_better": True,
    },
    "rouge1_f": {
        "summary": "F measure of the words shared with the expected text, without stemming",
        "unit": "ratio",
        "larger_is_better": True,
    },
    "rougeL_f": {
        "summary": "F measure of the longest common subsequence of words, without stemming",
        "unit": "ratio",
        "larger_is_better": True,
    },
}
