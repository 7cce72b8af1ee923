"""The length of an evaluation's prompts is known before they are worded, and is no less than theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from edgerig_workload import models, trial
from edgerig_workload.learn import method
from edgerig_workload.learn.context import Context, Questions
from edgerig_workload.lengths import longest_tokens
from edgerig_workload.phases import Marks, ProcResidentSet
from edgerig_workload.tasks.items import ProfileItem, load
from edgerig_workload.tasks.spec import TaskSpec


@pytest.fixture
def text(llama_folder: Path) -> Any:
    return replace(models.reader(llama_folder), max_tokens=100_000)


def questions_of(document: dict[str, Any], data: Path, **changes: Any) -> Questions:
    spec = TaskSpec.from_trial(trial.parse({**document, "task": {**document["task"], **changes}}).task)
    items = load(data)
    # One entry is far longer than the others, and one has the longest output.
    long = (
        ProfileItem("l", "a film of robots and of trains " * 30, "comedy"),
        ProfileItem("o", "snow", "action " * 40),
    )
    return Questions(spec, [*items[:-1], replace(items[-1], profile=(*items[-1].profile, *long))])


@pytest.mark.parametrize("prompt", ["lamp-1", "lamp-2", "lamp-7"])
@pytest.mark.parametrize(
    "chosen",
    [
        {"kind": "none"},
        *({"kind": "rag", "parameters": {"k": k, "retriever": "recency"}} for k in (1, 5)),
    ],
)
def test_no_prompt_is_longer(
    trial_document: dict[str, Any],
    data_file: Path,
    text: Any,
    recorder: Any,
    tmp_path: Path,
    prompt: str,
    chosen: dict[str, Any],
) -> None:
    questions = questions_of(trial_document, data_file, prompt=prompt, name=prompt)
    parsed = trial.parse({**trial_document, "method": chosen})

    found = longest_tokens(parsed, text, questions)

    context = Context(parsed, text, questions, Marks(recorder, ProcResidentSet()), recorder, tmp_path)
    word = method(chosen["kind"])(context).word
    longest = max(text.count(word(item, 90_000).text) for item in questions.items)
    assert longest + questions.spec.answer_tokens <= found
    # One retrieved entry need not be the longest.
    assert chosen.get("parameters", {}).get("k") == 1 or found < 1.3 * longest + 100


def test_it_is_never_more_than_the_context(
    trial_document: dict[str, Any], data_file: Path, llama_folder: Path
) -> None:
    parsed = trial.parse({**trial_document, "method": {"kind": "rag"}})
    questions = questions_of(trial_document, data_file)

    assert longest_tokens(parsed, models.reader(llama_folder), questions) == 256


def test_nothing_is_asked_without_a_task(trial_document: dict[str, Any], text: Any) -> None:
    assert longest_tokens(trial.parse(trial_document), text, None) == 0
