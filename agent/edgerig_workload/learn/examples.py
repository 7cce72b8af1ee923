"""Training samples as token ids: prompts whose answers carry the loss, in shuffled batches.

Knows tokenizers and padding, and nothing of how a model learns from a batch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from edgerig_workload.faults import WorkerFault
from edgerig_workload.learn.context import Questions, offered
from edgerig_workload.models import Loaded
from edgerig_workload.tasks.items import ProfileItem
from edgerig_workload.tasks.prompts import Pair, training_pairs

# Labels with this value carry no loss (the libraries' convention).
IGNORED = -100


@dataclass(frozen=True)
class Sample:
    """Token ids of one pair. A causal model reads prompt and answer as one sequence."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Model inputs on the device, with the counts that the budget is charged."""

    inputs: dict[str, Any]
    samples: int
    tokens: int


def pooled_pairs(questions: Questions, history: int) -> list[Pair]:
    """Make the training pairs of all users, each user's history once.

    Raises:
        WorkerFault: of class bad_data, where the histories hold nothing to train on.
    """
    pairs = pairs_of(questions, history)
    if not pairs:
        raise WorkerFault(
            "bad_data",
            f"with history {history} no user has anything to train on: "
            "offer more history, or use method none",
        )
    return pairs


def pairs_of(questions: Questions, history: int) -> list[Pair]:
    """Make the training pairs of the users of some questions, none where there is nothing to learn."""
    # Items of one user may carry the same profile entries; an entry is learnt once a user.
    seen: dict[tuple[str, ProfileItem], None] = {}
    for item in questions.items:
        for entry in offered(item.profile, history):
            seen.setdefault((item.user, entry))
    return training_pairs(questions.spec, [entry for _, entry in seen])


def tokenise(loaded: Loaded, pairs: Sequence[Pair], most_tokens: int) -> list[Sample]:
    """Turn pairs into samples of at most `most_tokens` tokens; a long prompt loses its beginning."""
    return [_sample(loaded, pair, most_tokens) for pair in pairs]


def _sample(loaded: Loaded, pair: Pair, most_tokens: int) -> Sample:
    prompt = loaded.encode(pair.prompt)
    whole = loaded.encode(pair.prompt + pair.answer)
    if not loaded.encoder_decoder and whole[: len(prompt)] == prompt:
        answer = whole[len(prompt) :]
    else:
        answer = loaded.tokenizer(pair.answer, add_special_tokens=False)["input_ids"]
    if loaded.encoder_decoder:
        # A decoder learns where to stop from the end token; many vocabularies drop line breaks.
        answer = [*answer, *sorted(loaded.stop_ids)[:1]]
        return Sample(tuple(prompt[-most_tokens:]), tuple(answer[:most_tokens]))
    answer = answer[: most_tokens - 1]
    return Sample(tuple(prompt[-(most_tokens - len(answer)) :]), tuple(answer))


def shuffled(count: int, seed: int) -> Iterator[int]:
    """Yield places of samples for ever: every epoch a new order, fixed by the seed."""
    order = random.Random(seed)
    while True:
        places = list(range(count))
        order.shuffle(places)
        yield from places


def collate(loaded: Loaded, samples: Sequence[Sample]) -> Batch:
    """Pad samples on the right into one batch on the device."""
    if loaded.encoder_decoder:
        sources = [list(sample.prompt) for sample in samples]
        labels = [list(sample.answer) for sample in samples]
    else:
        sources = [[*sample.prompt, *sample.answer] for sample in samples]
        labels = [[IGNORED] * len(sample.prompt) + list(sample.answer) for sample in samples]
    masks = [[1] * len(source) for source in sources]
    inputs = {
        "input_ids": _padded(sources, loaded.pad_id, loaded.device),
        "attention_mask": _padded(masks, 0, loaded.device),
        "labels": _padded(labels, IGNORED, loaded.device),
    }
    tokens = sum(len(sample.prompt) + len(sample.answer) for sample in samples)
    return Batch(inputs, len(samples), tokens)


def _padded(rows: Sequence[Sequence[int]], fill: int, device: torch.device) -> torch.Tensor:
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows], device=device)
