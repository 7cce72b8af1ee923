"""What a method is given and what it gives back. Holds data and decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgerig_workload.events import Events
from edgerig_workload.meter import Meter
from edgerig_workload.models import Loaded
from edgerig_workload.phases import Marks
from edgerig_workload.tasks.items import Item, ProfileItem
from edgerig_workload.tasks.spec import TaskSpec
from edgerig_workload.trial import Trial


@dataclass(frozen=True)
class Questions:
    """The task of a trial with its items; a trial that only measures inference has none."""

    spec: TaskSpec
    items: Sequence[Item]

    def for_model(self, *, encoder_decoder: bool) -> Questions:
        """Return the task as it is put to a kind of model."""
        return Questions(self.spec.for_model(encoder_decoder=encoder_decoder), self.items)


@dataclass(frozen=True)
class Prompt:
    """The prompt of one item, with what went into it."""

    text: str
    retrieved_count: int
    truncated: bool


# Given an item and the tokens that its prompt may have at most.
Worder = Callable[[Item, int], Prompt]


@dataclass(frozen=True)
class Context:
    """Everything that a method may use. `out` is the folder for what it produces."""

    trial: Trial
    loaded: Loaded
    questions: Questions | None
    marks: Marks
    events: Events
    out: Path
    meter: Meter | None = None
    # Folder of a sentence encoder, for retrieval by meaning.
    encoder: Path | None = None


@dataclass(frozen=True)
class Learned:
    """How prompts are worded, whether that retrieves, and fields for the worker's facts."""

    word: Worder
    retrieves: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    # Makes the model a user's own before their questions; None where all users share one.
    switch: Callable[[str], None] | None = None
    # What the method itself puts before every prompt, in the model's context.
    prompt_tokens: int = 0


def offered(profile: Sequence[ProfileItem], history: int) -> Sequence[ProfileItem]:
    """Return the last `history` items of a profile, all of them for -1."""
    if history < 0:
        return profile
    return profile[max(0, len(profile) - history) :]
