"""Parameters of each user's own: one trainable set stands in the model, and is trained anew for every user.

As in LaMP's personal adapters (arXiv 2409.09510): the pairs are those of one user's
history, and the user's questions are asked with what was learnt from them. Every user
begins with the same parameters and has the whole budget. What was learnt waits in files,
so that memory is that of one set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from edgerig_workload.faults import WorkerFault
from edgerig_workload.learn import engine
from edgerig_workload.learn.context import Context, Questions
from edgerig_workload.learn.examples import pairs_of, pooled_pairs, tokenise
from edgerig_workload.learn.parameters import TrainableSet
from edgerig_workload.learn.training import Training
from edgerig_workload.phases import no_collection
from edgerig_workload.tasks.prompts import Pair

FOLDER = "users"
# Which file is whose: users' names come from data and are no names of files.
INDEX = "users.json"
_INITIAL = "initial"


@dataclass
class Adapters:
    """The parameters of all users in files, and those of one of them in the model."""

    trained: TrainableSet
    folder: Path
    _names: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Keep what every user begins with."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write(_INITIAL)

    def keep(self, user: str) -> int:
        """Keep what stands in the model as that user's own and return the bytes of the file."""
        self._names[user] = f"{len(self._names):06d}"
        return self._write(self._names[user])

    def put(self, user: str) -> None:
        """Put a user's parameters into the model, the initial ones for a user without any."""
        kept = load_file(self._path(self._names.get(user, _INITIAL)))
        with torch.no_grad():
            for name, weight in self.trained.named:
                weight.detach().copy_(kept[name])

    def finish(self) -> None:
        """Write whose file is which."""
        (self.folder / INDEX).write_text(json.dumps(self._names, indent=1) + "\n", "utf-8")

    @property
    def count(self) -> int:
        """Users who have parameters of their own."""
        return len(self._names)

    def _write(self, name: str) -> int:
        path = self._path(name)
        weights = {key: weight.detach().contiguous().cpu() for key, weight in self.trained.named}
        save_file(weights, path)
        return path.stat().st_size

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def train(context: Context, trained: TrainableSet, total: Training) -> tuple[Adapters, int]:
    """Train a set for each user, adding to `total`; return the sets and the bytes of their files.

    Every user's training is a window of its own, and so is what saving it takes.

    Raises:
        WorkerFault: no user has anything to learn from (bad_data), or a loss that is not
            finite (diverged).
    """
    assert context.questions is not None
    adapters = Adapters(trained, context.out / FOLDER)
    adapters.begin()
    # Says what is wrong where nobody has a history.
    pooled_pairs(context.questions, context.trial.history)
    stored_bytes = 0
    for user, pairs in _by_user(context.questions, context.trial.history):
        adapters.put("")
        with context.marks.phase("train"):
            _one(context, trained, user, pairs, total)
        with context.marks.phase("checkpoint"):
            stored_bytes += adapters.keep(user)
    adapters.finish()
    return adapters, stored_bytes


def _by_user(questions: Questions, history: int) -> Iterator[tuple[str, list[Pair]]]:
    """Yields the pairs of each user in the order of the data, passing over those who have none."""
    for user in dict.fromkeys(item.user for item in questions.items):
        own = [item for item in questions.items if item.user == user]
        if pairs := pairs_of(Questions(questions.spec, own), history):
            yield user, pairs


def _one(context: Context, trained: TrainableSet, user: str, pairs: Sequence[Pair], total: Training) -> None:
    choice, loaded, trial = context.trial.method, context.loaded, context.trial
    # A new one: moments and drawn directions are those of one user.
    assembled = engine.assemble(loaded, trained, choice, trial.seed)
    most_tokens = min(choice.integer("max_tokens"), loaded.max_tokens - trained.prompt_tokens)
    samples = tokenise(loaded, pairs, most_tokens)
    loop = engine.loop(
        loaded,
        assembled,
        samples,
        batch=choice.integer("batch"),
        budget=trial.train,
        seed=trial.seed,
        meter=context.meter,
    )
    training = Training()
    try:
        with no_collection(), engine.running(choice.text("gradient"), loaded.model):
            loop.run(training)
    except WorkerFault as fault:
        raise WorkerFault(fault.failure_class, f"user {user!r}: {fault}") from fault
    finally:
        # The steps before a failure are part of what happened.
        total.add(training)
