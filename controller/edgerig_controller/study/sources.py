"""Looks up the models and data that a study names, each once, with problems at their places.

Knows the file's places and the sources of `data`; knows neither cells nor trials.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgerig.errors import EdgerigError, Problem
from edgerig.v1.trial_pb2 import Model, Task
from edgerig_controller.data import models as model_sources
from edgerig_controller.data import tasks as task_sources
from edgerig_controller.data import vocabulary
from edgerig_controller.data.sink import BlobSink
from edgerig_controller.study.catalog import Catalog
from edgerig_controller.study.crossed import Choice, TaskEntry
from edgerig_controller.study.spec import Study
from edgerig_controller.study.yaml_source import Document


@dataclass(frozen=True)
class Resolved:
    """A study's models and tasks by their names in the study."""

    models: Mapping[str, Model]
    facts: Mapping[str, model_sources.Facts | None]
    tasks: Mapping[str, Task]
    # Sentence encoders of methods that retrieve by meaning.
    encoders: Mapping[str, Model] = field(default_factory=dict)
    # Models that distillations learn from, and what the planner knows of them.
    teachers: Mapping[str, Model] = field(default_factory=dict)
    teacher_facts: Mapping[str, model_sources.Facts | None] = field(default_factory=dict)
    # Digests of vocabularies by model, where a study has teachers and they are known.
    vocabularies: Mapping[str, str] = field(default_factory=dict)

    def encoder(self, method: Mapping[str, Any]) -> Model | None:
        """Return the encoder of a level of the factor method, None for one that searches otherwise."""
        if method.get("retriever") not in BY_MEANING:
            return None
        return self.encoders.get(method.get("encoder", ""))

    def teacher(self, compression: Mapping[str, Any]) -> Model | None:
        """Return the teacher of a level of the factor compression, None for one that has none."""
        return self.teachers.get(compression.get(TEACHER, ""))

    def is_stranger(self, model: str, compression: Mapping[str, Any]) -> bool:
        """Tell whether a level's teacher has another vocabulary than a model; False where it is not known."""
        own, other = (self.vocabularies.get(name, "") for name in (model, compression.get(TEACHER, "")))
        return bool(own and other) and own != other

    def all_models(self) -> dict[str, Model]:
        """Return every model that trials refer to, by its name in the study."""
        return {**self.models, **self.encoders, **self.teachers}

    def blobs(self) -> frozenset[str]:
        """Return the sha256 of every file that trials refer to."""
        files = [
            file
            for models in (self.models, self.encoders, self.teachers)
            for model in models.values()
            for file in model.files
        ]
        return frozenset(
            [*(file.sha256 for file in files), *(task.data.sha256 for task in self.tasks.values())]
        )


# Retrievers of the catalogue that need a sentence encoder.
BY_MEANING = frozenset({"dense", "half"})
# Parameters of methods and compressions that name a further model.
ENCODER, TEACHER = "encoder", "teacher"


class _NotNow(Exception):  # noqa: N818 - an answer, caught in `look`
    """A model of the hub is left for later."""


def _not_now(repo: str, revision: str, offline: bool) -> tuple[Path, str]:
    raise _NotNow(repo, revision, offline)


@dataclass
class Sources:
    """One look-up of everything that a study names.

    `found` and `tasks` fill up by `look`; what cannot be had becomes a problem.
    """

    folder: Path
    blobs: BlobSink
    offline: bool
    fetch: model_sources.Fetch | None = None
    found: dict[str, model_sources.FoundModel] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    found_encoders: dict[str, model_sources.FoundModel] = field(default_factory=dict)
    found_teachers: dict[str, model_sources.FoundModel] = field(default_factory=dict)

    def look(
        self, study: Study, catalog: Catalog, document: Document, *, faulty: Collection[int], hub: bool
    ) -> list[Problem]:
        """Find all models, and make or check the data of all tasks.

        Args:
            study: what names them.
            catalog: the task families there are.
            document: the file, for the places.
            faulty: positions of tasks to pass over, because they have problems already.
            hub: whether to look for models of the hub; a study that has
                problems already is not worth a download.
        """
        return [
            *self._models(study, document, hub),
            *self._further("method", study.factors.method, ENCODER, self.found_encoders, document, hub),
            *self._further(
                "compression", study.factors.compression, TEACHER, self.found_teachers, document, hub
            ),
            *self._tasks(study, catalog, document, faulty),
        ]

    def _further(
        self,
        factor: str,
        entries: Sequence[Choice],
        parameter: str,
        found: dict[str, model_sources.FoundModel],
        document: Document,
        hub: bool,
    ) -> list[Problem]:
        """Looks up the further models that a parameter of a factor's levels names."""
        fetch = self.fetch if hub else _not_now
        problems = []
        for index, entry in enumerate(entries):
            value = (entry.__pydantic_extra__ or {}).get(parameter, "")
            for name in value if isinstance(value, list) else [value]:
                if not isinstance(name, str) or not name:
                    continue
                if error := self._model(name, fetch, found):
                    place = document.place(("factors", factor, index, parameter))
                    problems.append(Problem(place, error.message, error.hint))
        return problems

    def _models(self, study: Study, document: Document, hub: bool) -> list[Problem]:
        fetch = self.fetch if hub else _not_now
        problems = []
        for index, name in enumerate(study.factors.model):
            if error := self._model(name, fetch, self.found):
                place = document.place(("factors", "model", index))
                problems.append(Problem(place, error.message, error.hint))
        return problems

    def _model(
        self, name: str, fetch: model_sources.Fetch | None, found: dict[str, model_sources.FoundModel]
    ) -> EdgerigError | None:
        try:
            found[name] = model_sources.find(name, folder=self.folder, offline=self.offline, fetch=fetch)
        except _NotNow:
            return None
        except EdgerigError as error:
            return error
        return None

    def _tasks(
        self, study: Study, catalog: Catalog, document: Document, faulty: Collection[int]
    ) -> list[Problem]:
        families = {
            name: task_sources.Family(
                facts.kind, facts.metric, facts.metrics, facts.answer_tokens, facts.labels
            )
            for name, facts in catalog.tasks.items()
        }
        levels = study.factors.history
        history, kept = task_sources.largest_history(levels), task_sources.kept_history(levels)
        problems = []
        for index, task in enumerate(study.tasks):
            if index not in faulty and (error := self._task(task, families, history, kept)):
                key = "path" if task.path is not None else "name"
                problems.append(Problem(document.place(("tasks", index, key)), error.message, error.hint))
        return problems

    def _task(
        self, task: TaskEntry, families: Mapping[str, task_sources.Family], history: int, kept: int | None
    ) -> EdgerigError | None:
        try:
            self.tasks[task.name] = task_sources.resolve(
                _wanted(task),
                folder=self.folder,
                history=history,
                families=families,
                blobs=self.blobs,
                kept=kept,
            )
        except EdgerigError as error:
            return error
        return None

    def publish(self) -> Resolved:
        """Put the model files into the blob store and describe everything that was found.

        Raises:
            StorageError: the store cannot take them.
        """
        published, encoders, teachers = (
            {name: model_sources.publish(found, self.blobs) for name, found in models.items()}
            for models in (self.found, self.found_encoders, self.found_teachers)
        )
        facts, teacher_facts = (
            {name: found.facts for name, found in models.items()}
            for models in (self.found, self.found_teachers)
        )
        # Tables of words are megabytes: they are read where two models have to agree.
        compared = {**self.found, **self.found_teachers} if self.found_teachers else {}
        vocabularies = {name: vocabulary.digest(found) for name, found in compared.items()}
        return Resolved(published, facts, dict(self.tasks), encoders, teachers, teacher_facts, vocabularies)


def _wanted(task: TaskEntry) -> task_sources.Wanted:
    return task_sources.Wanted(
        name=task.name,
        source=task.source,
        path=task.path,
        users=task.users,
        items_per_user=task.items_per_user,
        kind=task.kind,
        metric=task.metric,
        labels=task.labels,
        answer_tokens=task.answer_tokens,
        split=task.split,
        part=task.part,
    )
