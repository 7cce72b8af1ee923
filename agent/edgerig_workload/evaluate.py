"""Scores every item of the task: words its prompt, generates the answer, compares it.

Retrieval happens once for all items, as a phase inside the evaluation. Scores
are kept in memory and reported when the evaluation is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from edgerig_workload.engines import Engine
from edgerig_workload.engines.in_process import InProcess
from edgerig_workload.events import Events, bounded
from edgerig_workload.faults import WorkerFault
from edgerig_workload.infer.generate import stop_rule
from edgerig_workload.learn.context import Context, Learned, Prompt, Questions, Worder
from edgerig_workload.models import Loaded
from edgerig_workload.tasks.items import Item
from edgerig_workload.tasks.metrics import corpus
from edgerig_workload.tasks.metrics import score as item_score
from edgerig_workload.tasks.prompts import read_answer

# Rows generated together, and their prompt tokens with padding: long prompts go in
# smaller batches, so that small boards hold them. Both are fixed and not fitted to
# the memory at hand, because padding can change the last bits of a result.
BATCH_ROWS = 16
BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Scored:
    """The items as score events in the order of the data, and the figures of all of them together."""

    items: Sequence[dict[str, Any]]
    metrics: Mapping[str, float]

    @property
    def mean(self) -> float:
        """Mean item score."""
        return sum(item["score"] for item in self.items) / len(self.items)


def evaluate(context: Context, learned: Learned, engine: Engine | None = None) -> None:
    """Score all items as a phase of the attempt and report them; the loaded model answers by default.

    Raises:
        WorkerFault: of class precondition, where an answer leaves no room for a prompt.
    """
    with context.marks.phase("evaluate"):
        with context.marks.phase("retrieve") if learned.retrieves else nullcontext():
            prompts = _prompts(context, learned.word)
        scored = _scored(context, prompts, engine or InProcess(context.loaded), learned.switch)
    report(context.events, scored)


def score(context: Context, word: Worder) -> Scored:
    """Score all items inside a phase of the caller.

    Raises:
        WorkerFault: of class precondition, where an answer leaves no room for a prompt.
    """
    return _scored(context, _prompts(context, word), InProcess(context.loaded))


def report(events: Events, scored: Scored, point: int = 0) -> None:
    """Emit one event an item and one a metric, all of them marked with a point of the training budget."""
    marked = {"point": point} if point else {}
    for item in scored.items:
        events.emit("score", {**item, **marked})
    for name, value in scored.metrics.items():
        events.emit("metric", {"name": name, "value": value, **marked})


def _prompts(context: Context, word: Worder) -> list[Prompt]:
    assert context.questions is not None, "only trials with a task are evaluated"
    most_tokens = _most_tokens(context.loaded, context.questions)
    return [word(item, most_tokens) for item in context.questions.items]


def _most_tokens(loaded: Loaded, questions: Questions) -> int:
    # The decoder has a context of its own.
    if loaded.encoder_decoder:
        return loaded.max_tokens
    most_tokens = loaded.max_tokens - questions.spec.answer_tokens
    if most_tokens < 1:
        raise WorkerFault(
            "precondition",
            f"answers of {questions.spec.answer_tokens} tokens leave no room for a prompt in the model's "
            f"context of {loaded.max_tokens}: set a smaller answer_tokens",
        )
    return most_tokens


def _scored(
    context: Context,
    prompts: Sequence[Prompt],
    engine: Engine,
    switch: Callable[[str], None] | None = None,
) -> Scored:
    questions, loaded = context.questions, context.loaded
    assert questions is not None
    ids = [loaded.encode(prompt.text) for prompt in prompts]
    # Prompts of like length go together, which keeps padding small.
    order = sorted(range(len(ids)), key=lambda place: (len(ids[place]), place))
    stop = stop_rule(loaded)
    outputs: dict[int, str] = {}
    for places in _turns(questions, order, [len(prompt) for prompt in ids], switch):
        texts = [prompts[place].text for place in places]
        rows = engine.answer(texts, questions.spec.answer_tokens, stop.ends)
        for place, row in zip(places, rows, strict=True):
            outputs[place] = read_answer(questions.spec, loaded.decode(row))
    items = [
        _event(questions, item, prompts[place], outputs[place], len(ids[place]))
        for place, item in enumerate(questions.items)
    ]
    said = [outputs[place] for place in range(len(items))]
    return Scored(items, corpus(questions.spec, said, [item.output for item in questions.items]))


def _turns(
    questions: Questions, order: Sequence[int], lengths: Sequence[int], switch: Callable[[str], None] | None
) -> Iterator[list[int]]:
    """Cuts places into batches, user by user where `switch` puts each user's parameters in place."""
    if switch is None:
        yield from batches(order, lengths)
        return
    for user in dict.fromkeys(item.user for item in questions.items):
        switch(user)
        yield from batches([place for place in order if questions.items[place].user == user], lengths)


def batches(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Cut places, given from the shortest to the longest, into batches of bounded rows and tokens."""
    batch: list[int] = []
    for place in order:
        if batch and (len(batch) == BATCH_ROWS or (len(batch) + 1) * lengths[place] > BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _event(questions: Questions, item: Item, prompt: Prompt, output: str, token_count: int) -> dict[str, Any]:
    return {
        "item_id": item.id,
        "user_id": item.user,
        "score": item_score(questions.spec, output, item.output),
        "output": bounded(output),
        "expected": bounded(item.output),
        "retrieved_count": prompt.retrieved_count,
        "truncated": prompt.truncated,
        "tokens_in": token_count,
    }
