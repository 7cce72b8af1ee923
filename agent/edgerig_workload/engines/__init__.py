"""Engines that run a model at inference, behind one small interface, one module a kind of the catalogue.

An engine answers requests of forced lengths for the profile, stamped token by token,
and prompts of the task for the evaluation. Loading stays with the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from edgerig_workload.engines.stamps import Stamps
    from edgerig_workload.models import Loaded
    from edgerig_workload.phases import Marks
    from edgerig_workload.trial import Inference, Trial

# Modules by kind; `transformers` and `llama-cpp` run in the worker, `server` beside it. Those that
# load the model's files themselves have `watch(marks)`, called before the load, and
# `open_engine(setup)`, which is the load.
MODULES = {
    "transformers": "edgerig_workload.engines.in_process",
    "llama-cpp": "edgerig_workload.engines.llama",
    "server": "edgerig_workload.engines.server",
}

Ends = Callable[[Sequence[int]], bool]


@dataclass(frozen=True)
class Setup:
    """What an engine that loads a model's files is opened with; `text` is the model's tokenizer side."""

    trial: Trial
    folder: Path
    out: Path
    # What the device allows to be started; None where the trial starts nothing.
    program: Path | None
    text: Loaded
    # What the longest prompt of the evaluation and its answer will take; 0 where nothing is asked.
    longest_tokens: int = 0


class Engine(Protocol):
    """What runs a loaded model."""

    def request(self, text: str, shape: Inference, clock: Callable[[], int]) -> Stamps:
        """Answer a prompt with `shape.new_tokens` tokens and say when each was there."""
        ...

    def instrumented(self, text: str, shape: Inference, marks: Marks) -> None:
        """Run one request with prefill and decode marked as phases, where the engine shows them apart."""
        ...

    def answer(self, prompts: Sequence[str], most_tokens: int, ends: Ends) -> list[list[int]]:
        """Return the token ids of greedy answers, each up to where `ends` says so."""
        ...

    def facts(self) -> dict[str, Any]:
        """Return what is to be known of the engine, as fields of the worker's facts."""
        ...

    def close(self) -> None:
        """End what the engine has started; nothing of it is left running."""
        ...
