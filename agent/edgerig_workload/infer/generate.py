"""Greedy answers to a batch of prompts, stopped where an answer ends.

Knows token ids and when a row is done, and nothing of tasks or scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgerig_workload.infer.steps import begin
from edgerig_workload.models import Loaded


@dataclass(frozen=True)
class StopRule:
    """Ends a row at an end-of-sequence token, or at a line break that follows some text."""

    end_ids: frozenset[int]
    break_ids: frozenset[int]

    def ends(self, row: Sequence[int]) -> bool:
        """Say whether the last token of a row ends it."""
        if row[-1] in self.end_ids:
            return True
        return row[-1] in self.break_ids and any(token not in self.break_ids for token in row)


def stop_rule(loaded: Loaded) -> StopRule:
    """Find the tokens of a vocabulary that end a row; done once for a model."""
    # Line breaks as byte-level vocabularies, byte fallback and plain pieces write them.
    breaks = frozenset(
        index
        for piece, index in loaded.tokenizer.get_vocab().items()
        if "\n" in piece or "Ċ" in piece or piece == "<0x0A>"
    )
    return StopRule(loaded.stop_ids, breaks)


def generate(
    loaded: Loaded,
    prompts: Sequence[Sequence[int]],
    most_tokens: int,
    ends: Callable[[Sequence[int]], bool],
    cache: Callable[[int, int], Any] | None = None,
) -> list[list[int]]:
    """Return the new token ids of each prompt, at most `most_tokens`, up to where `ends` says so.

    The token that ends a row is part of it. `cache` makes a key-value cache for rows and tokens.
    Where the model may not be padded only prompts of one length go together.
    """
    if loaded.pads:
        return _together(loaded, prompts, most_tokens, ends, cache)
    found: dict[int, list[int]] = {}
    for length in dict.fromkeys(len(prompt) for prompt in prompts):
        places = [place for place, prompt in enumerate(prompts) if len(prompt) == length]
        rows = _together(loaded, [prompts[place] for place in places], most_tokens, ends, cache)
        found |= zip(places, rows, strict=True)
    return [found[place] for place in range(len(prompts))]


def _together(
    loaded: Loaded,
    prompts: Sequence[Sequence[int]],
    most_tokens: int,
    ends: Callable[[Sequence[int]], bool],
    cache: Callable[[int, int], Any] | None,
) -> list[list[int]]:
    longest = max(len(prompt) for prompt in prompts)
    made = None if cache is None else cache(len(prompts), longest + most_tokens)
    steps = begin(loaded, prompts, made)
    rows: list[list[int]] = [[] for _ in prompts]
    running = set(range(len(rows)))
    tokens = steps.prefill()
    while True:
        for place in sorted(running):
            rows[place].append(tokens[place])
            if len(rows[place]) >= most_tokens or ends(rows[place]):
                running.discard(place)
        if not running:
            return rows
        tokens = steps.decode()
