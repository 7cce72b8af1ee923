"""Whatever the text, planning ends with a study or with problems that have places."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from edgerig.errors import StudyProblems
from tests.controller.study.building import STUDY, planned, write_model

TEXT = STUDY + (
    "exclude: [{method.kind: rag, history: 16, reason: not now}]\n"
    "claims: [{id: a, better: {method: lora}, than: {method: none}, metric: accuracy}]\n"
    "inference: {batch: 2}\ndevices: {labels: [local]}\n"
)
TOKENS = [
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    " ",
    "\n",
    "- ",
    "null",
    "-1",
    "1e999",
    ".nan",
    "x",
    "''",
    "&a ",
    "*a",
    "~",
    "all",
]
PLACE = re.compile(r"study\.yaml:[1-9]\d*:[1-9]\d*")
WORDS = re.findall(r"\w+|\W", TEXT)


@st.composite
def changed(draw: st.DrawFn) -> str:
    """The study with a few of its words exchanged, dropped or doubled."""
    words = list(WORDS)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(words) - 1))
        words[at] = draw(st.sampled_from([*TOKENS, "", words[at] * 2, *WORDS]))
    return "".join(words)


def check(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder) / "small")
        try:
            planned(Path(folder), text, offline=True)
        except StudyProblems as error:
            assert error.problems
            assert all(PLACE.fullmatch(problem.place) and problem.message for problem in error.problems)


@settings(max_examples=150, deadline=None)
@given(changed())
def test_a_study_with_changed_words_is_planned_or_explained(text: str) -> None:
    check(text)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_planned_or_explained(text: str) -> None:
    check(text)
