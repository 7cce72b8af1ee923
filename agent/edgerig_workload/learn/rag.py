"""Retrieval: items of the user's own history that resemble the question precede it.

Each user's history is indexed once, before anything is asked; loading a sentence encoder
is part of that. Nothing of the answering model changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgerig_workload.faults import WorkerFault
from edgerig_workload.learn.context import Context, Learned, Prompt, Questions, Worder, offered
from edgerig_workload.models import Loaded
from edgerig_workload.retrieve.dense import Encoder
from edgerig_workload.retrieve.query import document, query
from edgerig_workload.retrieve.searchers import BY_MEANING, Searcher, index
from edgerig_workload.tasks.items import Item, ProfileItem
from edgerig_workload.tasks.prompts import worded


@dataclass(frozen=True)
class _History:
    entries: Sequence[ProfileItem]
    searcher: Searcher


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
        histories = _histories(context, questions)

    def word(item: Item, most_tokens: int) -> Prompt:
        return _personal(questions, loaded, histories[item.id], item, count, most_tokens)

    return word


def _encoder(context: Context, retriever: str) -> Encoder | None:
    if retriever not in BY_MEANING:
        return None
    if context.encoder is None:
        raise WorkerFault(
            "precondition",
            f"retriever {retriever} needs a sentence encoder: name its folder as `encoder` of the method",
        )
    return Encoder.load(context.encoder, context.loaded.device, context.trial.method.text("similarity"))


def _histories(context: Context, questions: Questions) -> dict[str, _History]:
    """Maps item ids to indexes; items of one user with one history share theirs."""
    trial = context.trial
    retriever = trial.method.text("retriever")
    encoder = _encoder(context, retriever)
    shared: dict[tuple[ProfileItem, ...], _History] = {}
    found: dict[str, _History] = {}
    for item in questions.items:
        entries = tuple(offered(item.profile, trial.history))
        if entries not in shared:
            texts = [document(questions.spec, entry) for entry in entries]
            shared[entries] = _History(entries, index(retriever, texts, trial.seed, encoder))
        found[item.id] = shared[entries]
    return found


def _personal(
    questions: Questions, loaded: Loaded, history: _History, item: Item, count: int, most_tokens: int
) -> Prompt:
    places = history.searcher.top(query(questions.spec, item), item.id, count)
    retrieved = [history.entries[place] for place in places]
    prompt = worded(questions.spec, item, retrieved, loaded, most_tokens)
    return Prompt(prompt.text, prompt.used_count, prompt.truncated)
