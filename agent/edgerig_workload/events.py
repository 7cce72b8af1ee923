"""The worker's pipe: events as JSON lines in the proto3 JSON form of WorkerEvent.

Writes and nothing else. Whoever emits decides when; inside a timed block nobody does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Protocol

# The reader refuses longer lines; an event keeps well below with its bounded texts.
TEXT_CHARS = 32_768


class Events(Protocol):
    """Takes one event: the name of its field in WorkerEvent, and its content."""

    def emit(self, kind: str, content: Mapping[str, Any]) -> None: ...


class Pipe:
    """Writes events to an open descriptor, each at once and whole."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def emit(self, kind: str, content: Mapping[str, Any]) -> None:
        """Write one line.

        Raises:
            OSError: the reader is gone.
        """
        line = json.dumps({kind: content}, ensure_ascii=False, separators=(",", ":"), default=_number)
        # A lone surrogate out of a byte-level tokenizer must not end the attempt.
        data = line.encode("utf-8", "replace") + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]


def bounded(text: str) -> str:
    """Cut a text that comes from a model or from data to what one event may carry."""
    return text[:TEXT_CHARS]


def _number(value: Any) -> Any:
    # numpy and torch scalars are numbers here.
    return value.item()
