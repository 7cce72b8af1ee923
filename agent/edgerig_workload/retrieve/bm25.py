"""BM25 (Okapi) over blank-separated tokens of a user's profile.

Written out and not taken from bm25s: its top-k leaves the order of equal scores
open, while a trial must retrieve the same items on every board, and a profile of
tens to hundreds of short texts needs no matrices. A test compares the scores with
those of bm25s' `lucene` method. Knows nothing of tasks and prompts.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence

# Saturation of repeated words and weight of a text's length, as usual for BM25.
K1 = 1.5
B = 0.75


class Index:
    """An immutable search index over texts, each known by its place in the sequence."""

    def __init__(self, texts: Sequence[str]) -> None:
        tokens = [text.split() for text in texts]
        self._count = len(tokens)
        lengths = [len(words) for words in tokens]
        mean_length = sum(lengths) / self._count if self._count else 0.0
        postings: dict[str, list[tuple[int, int]]] = {}
        for place, words in enumerate(tokens):
            for word, times in Counter(words).items():
                postings.setdefault(word, []).append((place, times))
        self._weights = {
            word: [
                (place, _weight(times, lengths[place], mean_length, len(found), self._count))
                for place, times in found
            ]
            for word, found in postings.items()
        }

    def scores(self, query: str) -> list[float]:
        """Score every text; a word that stands twice in the query counts twice."""
        totals = [0.0] * self._count
        for word, times in Counter(query.split()).items():
            for place, weight in self._weights.get(word, ()):
                totals[place] += times * weight
        return totals

    def top(self, query: str, k: int) -> list[int]:
        """Return the places of the `k` best texts, best first, equal scores in their own order.

        Raises:
            ValueError: `k` is negative.
        """
        if k < 0:
            raise ValueError(f"k is {k}; it cannot be negative")
        totals = self.scores(query)
        return sorted(range(self._count), key=lambda place: (-totals[place], place))[:k]

    @property
    def index_bytes(self) -> int:
        """Memory that the index holds, in bytes."""
        size = sys.getsizeof(self._weights)
        for word, found in self._weights.items():
            size += sys.getsizeof(word) + sys.getsizeof(found)
            size += sum(sys.getsizeof(entry) + sys.getsizeof(entry[1]) for entry in found)
        return size


def _weight(times: int, length: int, mean_length: float, holding: int, count: int) -> float:
    # The added 1 keeps a word that most texts hold from counting against them.
    rarity = math.log(1.0 + (count - holding + 0.5) / (holding + 0.5))
    return rarity * times / (times + K1 * (1.0 - B + B * length / mean_length))
