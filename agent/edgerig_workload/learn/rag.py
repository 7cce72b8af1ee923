"""Retrieval: items of the user's own history that resemble the question precede it.

Each user's history is indexed once, before anything is asked. Nothing of a model changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgerig_workload.faults import WorkerFault
from edgerig_workload.learn.context import Context, Learned, Prompt, Questions, Worder, offered
from edgerig_workload.models import Loaded
from edgerig_workload.retrieve.bm25 import Index
from edgerig_workload.retrieve.query import document, query
from edgerig_workload.tasks.items import Item, ProfileItem
from edgerig_workload.tasks.prompts import worded


@dataclass(frozen=True)
class _History:
    entries: Sequence[ProfileItem]
    index: Index


def learn(context: Context) -> Learned:
    """Index the histories and return the wording of personal prompts.

    Raises:
        WorkerFault: of class bad_data, where the trial has no task data.
    """
    return Learned(worder(context), retrieves=True)


def worder(context: Context) -> Worder:
    """Index the histories and return the wording of personal prompts, for any method to build on.

    Raises:
        WorkerFault: of class bad_data, where the trial has no task data.
    """
    if context.questions is None:
        raise WorkerFault("bad_data", "retrieval needs task data; the trial names none")
    questions, loaded = context.questions, context.loaded
    count = context.trial.method.integer("k")
    with context.marks.phase("index"):
        histories = _histories(questions, context.trial.history)

    def word(item: Item, most_tokens: int) -> Prompt:
        return _personal(questions, loaded, histories[item.id], item, count, most_tokens)

    return word


def _histories(questions: Questions, history: int) -> dict[str, _History]:
    """Maps item ids to indexes; items of one user with one history share theirs."""
    shared: dict[tuple[ProfileItem, ...], _History] = {}
    found: dict[str, _History] = {}
    for item in questions.items:
        entries = tuple(offered(item.profile, history))
        if entries not in shared:
            shared[entries] = _History(entries, Index([document(questions.spec, entry) for entry in entries]))
        found[item.id] = shared[entries]
    return found


def _personal(
    questions: Questions, loaded: Loaded, history: _History, item: Item, count: int, most_tokens: int
) -> Prompt:
    places = history.index.top(query(questions.spec, item), count)
    retrieved = [history.entries[place] for place in places]
    prompt = worded(questions.spec, item, retrieved, loaded, most_tokens)
    return Prompt(prompt.text, prompt.used_count, prompt.truncated)
