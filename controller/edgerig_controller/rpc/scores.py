"""Reads the item scores of an attempt out of its uploaded file, within bounds."""

from __future__ import annotations

import math
from typing import BinaryIO

from edgerig import documents
from edgerig.errors import ProtocolError
from edgerig.v1.attempt_pb2 import ItemScore

MAX_SCORES = 1_000_000
_LINE_MAX_BYTES = 1024 * 1024


def read_scores(file: BinaryIO) -> list[ItemScore]:
    """Returns one score per line of scores.jsonl.

    Raises:
        ProtocolError: a line is too long, is not an ItemScore, or there are too many.
    """
    scores: list[ItemScore] = []
    while line := file.readline(_LINE_MAX_BYTES + 1):
        number = len(scores) + 1
        if len(line) > _LINE_MAX_BYTES:
            raise ProtocolError(f"Line {number} of scores.jsonl is longer than {_LINE_MAX_BYTES} bytes.")
        if number > MAX_SCORES:
            raise ProtocolError(f"scores.jsonl has more than {MAX_SCORES} lines.")
        score = documents.from_json(line, ItemScore(), what=f"line {number} of scores.jsonl")
        if not math.isfinite(score.score):
            raise ProtocolError(f"The score in line {number} of scores.jsonl is not a number.")
        scores.append(score)
    return scores
