"""How a history is searched: one small object a history, made by the trial's retriever.

`half` fills one half by meaning and the other by recency (k // 2 of the newest), no item
twice. Knows nothing of prompts; what is searched for and in is `query`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from edgerig_workload.retrieve import bm25
from edgerig_workload.retrieve.dense import Encoder, Vectors

RETRIEVERS = ("bm25", "dense", "recency", "random", "half")
BY_MEANING = ("dense", "half")


class Searcher(Protocol):
    """Searches one history, whose items are known by their places from old to new."""

    def top(self, query: str, item_id: str, k: int) -> list[int]:
        """Return the places of at most `k` items for a question, best first."""
        ...


class Words:
    """BM25: items that share rare words with the question."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._index = bm25.Index(texts)

    def top(self, query: str, item_id: str, k: int) -> list[int]:
        """Return the best places; equal scores in the order of the history."""
        del item_id
        return self._index.top(query, k)


class Recency:
    """The newest items, whatever the question."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._count = len(texts)

    def top(self, query: str, item_id: str, k: int) -> list[int]:
        """Return the last places, newest first."""
        del query, item_id
        return list(range(self._count))[::-1][:k]


class Random:
    """Items drawn without replacement: what retrieval is worth is its distance from this."""

    def __init__(self, texts: Sequence[str], seed: int) -> None:
        self._count, self._seed = len(texts), seed

    def top(self, query: str, item_id: str, k: int) -> list[int]:
        """Return places that the trial's seed and the question's id decide."""
        del query
        drawn = random.Random(f"{self._seed}/{item_id}")
        return drawn.sample(range(self._count), min(k, self._count))


class Dense:
    """Items whose meaning is near that of the question, by a sentence encoder."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def top(self, query: str, item_id: str, k: int) -> list[int]:
        """Return the best places; equal scores in the order of the history."""
        del item_id
        return self._vectors.top(query, k)


class Half:
    """One half by meaning, then one by recency, no item twice."""

    def __init__(self, near: Searcher, new: Searcher) -> None:
        self._near, self._new = near, new

    def top(self, query: str, item_id: str, k: int) -> list[int]:
        """Return the places by meaning first, then the newest, newest first."""
        near = self._near.top(query, item_id, k - k // 2)
        new = [place for place in self._new.top(query, item_id, k) if place not in near]
        return [*near, *new[: k // 2]]


def index(kind: str, texts: Sequence[str], seed: int, encoder: Encoder | None) -> Searcher:
    """Index one history for a retriever of the catalogue.

    Args:
        kind: one of RETRIEVERS.
        texts: what is searched, from old to new.
        seed: the trial's.
        encoder: for those that search by meaning.
    """
    if kind == "recency":
        return Recency(texts)
    if kind == "random":
        return Random(texts, seed)
    if kind in BY_MEANING:
        assert encoder is not None, "a search by meaning has an encoder"
        dense = Dense(encoder.index(texts))
        return dense if kind == "dense" else Half(dense, Recency(texts))
    return Words(texts)
