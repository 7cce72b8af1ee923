"""The tasks of LaMP as data: names in files, fields of profile items, labels, and where files lie.

Field names and file names are those of the benchmark (arXiv 2304.11406). Reads nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["user", "time"]
Part = Literal["train", "dev"]
SPLITS: tuple[Split, ...] = ("user", "time")
PARTS: tuple[Part, ...] = ("train", "dev")
PUBLISHED = "-published"


@dataclass(frozen=True)
class Shape:
    """One task: how files call it, which field of a profile item is its text, and which its output.

    `title` is a heading that is searched and not shown; `folders` are those that may hold the
    task's files, in the order in which they are looked for.
    """

    task: str
    text: str
    output: str
    folders: tuple[str, ...]
    title: str = ""
    labels: tuple[str, ...] = ()
    rated: bool = False

    @property
    def kind(self) -> Literal["classification", "rating", "generation"]:
        """How answers are compared."""
        if self.rated:
            return "rating"
        return "classification" if self.labels else "generation"

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that every profile item must have, its id left out."""
        return tuple(name for name in (self.text, self.output, self.title) if name)


def _folders(name: str, *more: str) -> tuple[str, ...]:
    return (*more, f"LaMP_{name}", f"LaMP-{name}", f"lamp_{name}", f"lamp-{name}")


_MOVIE_TAGS = (
    *("sci-fi", "based on a book", "comedy", "action", "twist ending", "dystopia", "dark comedy", "classic"),
    *("psychology", "fantasy", "romance", "thought-provoking", "social commentary", "violence", "true story"),
)
_NEWS_CATEGORIES = (
    *("food & drink", "sports", "education", "parents", "religion", "travel", "business", "crime"),
    *("science & technology", "culture & arts", "entertainment", "politics", "women", "style & beauty"),
    "healthy living",
)
SHAPES: dict[str, Shape] = {
    "lamp-1": Shape("LaMP_1", "abstract", "title", _folders("1"), labels=("[1]", "[2]")),
    "lamp-2": Shape("LaMP_2", "description", "tag", _folders("2", "LaMP_2/new"), labels=_MOVIE_TAGS),
    # The first version of LaMP-2, which newer files call LaMP-2N.
    "lamp-2n": Shape(
        "LaMP_2", "text", "category", _folders("2N", "LaMP_2/old", "LaMP_2"), "title", _NEWS_CATEGORIES
    ),
    "lamp-3": Shape("LaMP_3", "text", "score", _folders("3"), rated=True),
    "lamp-4": Shape("LaMP_4", "text", "title", _folders("4")),
    "lamp-5": Shape("LaMP_5", "abstract", "title", _folders("5")),
    "lamp-6": Shape("LaMP_6", "text", "title", _folders("6")),
    "lamp-7": Shape("LaMP_7", "text", "", _folders("7")),
}
OLD_NAMES = {"lamp-2n": ("LaMP_2N", "LaMP_2")}


@dataclass(frozen=True)
class Files:
    """The two files of one part of a task."""

    questions: Path
    outputs: Path


def task_names(name: str) -> tuple[str, ...]:
    """List what the outputs of a task may call it."""
    return OLD_NAMES.get(name, (SHAPES[name].task,))


def candidates(folder: Path, name: str, split: Split, part: Part) -> Iterator[Files]:
    """Yield where the files of a task may lie: in the folder, or below it as downloads are laid out."""
    bases = [folder / split, folder]
    for base in bases:
        for inner in ("", *SHAPES[name].folders):
            for last in (part, ""):
                place = base / inner / last
                yield Files(place / f"{part}_questions.json", place / f"{part}_outputs.json")
