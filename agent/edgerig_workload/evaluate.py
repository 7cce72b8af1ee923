"""Scores every item of the task: words its prompt, generates the answer, compares it.

Retrieval happens once for all items, as a phase inside the evaluation. Scores
are kept in memory and reported when the evaluation is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from edgerig_workload.events import bounded
from edgerig_workload.faults import WorkerFault
from edgerig_workload.infer.generate import StopRule, generate, stop_rule
from edgerig_workload.learn.context import Context, Learned, Prompt, Questions
from edgerig_workload.models import Loaded
from edgerig_workload.tasks.items import Item
from edgerig_workload.tasks.metrics import score
from edgerig_workload.tasks.prompts import read_answer

# Rows generated together, and their prompt tokens with padding: long prompts go in
# smaller batches, so that small boards hold them. Both are fixed and not fitted to
# the memory at hand, because padding can change the last bits of a result.
BATCH_ROWS = 16
BATCH_TOKENS = 4096


def evaluate(context: Context, learned: Learned) -> None:
    """Score all items and emit one event each, in the order of the data.

    Raises:
        WorkerFault: of class precondition, where an answer leaves no room for a prompt.
    """
    questions, loaded = context.questions, context.loaded
    assert questions is not None
    most_tokens = loaded.max_tokens - questions.spec.answer_tokens
    if loaded.encoder_decoder:
        most_tokens = loaded.max_tokens
    if most_tokens < 1:
        raise WorkerFault(
            "precondition",
            f"answers of {questions.spec.answer_tokens} tokens leave no room for a prompt in the model's "
            f"context of {loaded.max_tokens}",
        )
    with context.marks.phase("evaluate"):
        if learned.retrieves:
            with context.marks.phase("retrieve"):
                prompts = _prompts(questions, learned, most_tokens)
        else:
            prompts = _prompts(questions, learned, most_tokens)
        scores = _scores(loaded, questions, prompts, stop_rule(loaded))
    for event in scores:
        context.events.emit("score", event)


def _prompts(questions: Questions, learned: Learned, most_tokens: int) -> list[Prompt]:
    return [learned.word(item, most_tokens) for item in questions.items]


def _scores(
    loaded: Loaded, questions: Questions, prompts: Sequence[Prompt], stop: StopRule
) -> list[dict[str, Any]]:
    ids = [loaded.encode(prompt.text) for prompt in prompts]
    # Prompts of like length go together, which keeps padding small.
    order = sorted(range(len(ids)), key=lambda place: (len(ids[place]), place))
    events: dict[int, dict[str, Any]] = {}
    for places in batches(order, [len(prompt) for prompt in ids]):
        rows = generate(loaded, [ids[place] for place in places], questions.spec.answer_tokens, stop.ends)
        for place, row in zip(places, rows, strict=True):
            output = read_answer(questions.spec, loaded.decode(row))
            events[place] = _event(questions, questions.items[place], prompts[place], output, len(ids[place]))
    return [events[place] for place in range(len(ids))]


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
        "score": score(questions.spec, output, item.output),
        "output": bounded(output),
        "expected": bounded(item.output),
        "retrieved_count": prompt.retrieved_count,
        "truncated": prompt.truncated,
        "tokens_in": token_count,
    }
