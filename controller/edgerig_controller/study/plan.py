"""From the text of a study file to a study that is ready to be stored.

Brings together the file, the catalogue, the sources of models and data, and the
memory formula. Writes nothing but blobs, and starts nothing; `HashOnly` in
place of a blob store makes it a dry run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgerig import documents
from edgerig.errors import Problem, StudyProblems
from edgerig_controller.data.models import Fetch
from edgerig_controller.data.sink import BlobSink, HashOnly
from edgerig_controller.study import canary as canaries
from edgerig_controller.study import catalog as catalogs
from edgerig_controller.study import checks, choices, claims, predict, problems, selectors, serving, trials
from edgerig_controller.study.catalog import Catalog, local_catalog
from edgerig_controller.study.crossed import TaskEntry
from edgerig_controller.study.dry_run import dry_run
from edgerig_controller.study.expand import CELLS, TRIALS, Expansion, Rule, expand, labels
from edgerig_controller.study.prepared import (
    Cell,
    DeviceSelector,
    Exclusion,
    PlannedTrial,
    Prediction,
    PreparedStudy,
    RetryRule,
)
from edgerig_controller.study.sources import TEACHER, Resolved, Sources
from edgerig_controller.study.spec import Study
from edgerig_controller.study.yaml_source import Document, read

__all__ = ["HashOnly", "dry_run", "local_catalog", "prepare"]

# Wall time of an earlier attempt of the trial with this digest, in seconds; None when there is none.
Durations = Callable[[str], float | None]


def prepare(
    text: str,
    *,
    origin: str,
    folder: Path | str,
    blobs: BlobSink,
    catalog: Mapping[str, Any],
    device_memory_bytes: int | None = None,
    accelerator: bool | None = None,
    durations: Durations | None = None,
    offline: bool = False,
    fetch: Fetch | None = None,
) -> PreparedStudy:
    """Check a study file, resolve what it names, and expand it to cells and trials.

    Args:
        text: the file.
        origin: its name, for the places of problems.
        folder: where its relative paths start.
        blobs: keeps model files and task data.
        catalog: the document of `python -m edgerig_workload catalog`.
        device_memory_bytes: memory of the device that is to run it.
        accelerator: whether the worker there computes on an accelerator.
        durations: earlier durations by trial digest.
        offline: fetch nothing from the hub.
        fetch: replaces the hub, for tests.

    Raises:
        StudyProblems: everything that is wrong with the file, in its order.
        ProtocolError: the catalogue is not usable.
        StorageError: the blob store cannot take the files.
    """
    known = catalogs.parse(catalog)
    document = read(text, origin)
    study, found = problems.parse(document)
    found = [*document.problems, *found, *choices.check(document, known)]
    sources = Sources(Path(folder), blobs, offline, fetch)
    crossing = None
    if study is not None:
        # Cells of a study whose factors are faulty would only give rise to further, false problems.
        crossing = _cross(study, known, document) if not found else None
        found += crossing.problems if crossing else []
        found += checks.check(study, known, document)
        found += serving.check(study, known, document)
        of_tasks = checks.check_tasks(study, known, document)
        found += [problem for problems_of_task in of_tasks.values() for problem in problems_of_task]
        hopeless = {index for index in of_tasks if not checks.has_own_file(study.tasks[index])}
        found += sources.look(study, known, document, faulty=hopeless, hub=not found)
    if study is None or crossing is None or found:
        raise StudyProblems(problems.in_order(found))
    resolved = sources.publish()
    crossing = _without_strangers(crossing, resolved, known, document)
    planner = _Planner(study, known, resolved, device_memory_bytes, accelerator, durations)
    return planner.prepared(text, crossing)


@dataclass(frozen=True)
class _Crossing:
    """The factors of a study with defaults filled in, crossed."""

    levels: dict[str, list[Any]]
    expansion: Expansion
    problems: list[Problem]


def _cross(study: Study, catalog: Catalog, document: Document) -> _Crossing:
    """Crosses the factors, and finds what is wrong with exclusions and claims."""
    levels: dict[str, list[Any]] = {
        "task": [task.name for task in study.tasks],
        "model": [*study.factors.model],
    }
    found: list[Problem] = []
    for factor, given in (("method", study.factors.method), ("compression", study.factors.compression)):
        kinds = choices.kinds(catalog, factor)
        spread = [
            (place, choices.complete(kinds[level["kind"]], level))
            for place, entry in enumerate(given)
            for level in entry.levels()
        ]
        levels[factor] = [level for _, level in spread]
        found += checks.repeated_levels(spread, ("factors", factor), document)
    levels["history"] = ["all" if count == selectors.ALL else count for count in study.factors.history]
    if study.factors.power_mode:
        levels["power_mode"] = [*study.factors.power_mode]
    if study.factors.train_samples:
        levels["train_samples"] = [*study.factors.train_samples]
    levels |= serving.levels(study)
    count = math.prod(len(values) for values in levels.values())
    if count > CELLS or count * len(study.seeds) * study.repeats * study.units > TRIALS:
        message = (
            f"{count} cells x {len(study.seeds)} seeds x {study.repeats} repeats x {study.units} units; "
            f"{CELLS} cells and {TRIALS} trials are the most"
        )
        place = document.place(("factors",))
        return _Crossing(levels, Expansion((), (), ()), [*found, Problem(place, message, "split the study")])
    own = [Rule(entry.selector(), entry.reason, from_study=True) for entry in study.exclude]
    theirs = [Rule(entry.when, entry.reason, from_study=False) for entry in catalog.exclusions]
    expansion = expand(levels, [*own, *theirs, *_untrained(study, catalog), *serving.rules(study)])
    found += _exclusion_problems(own, expansion, levels, document)
    if not expansion.cells:
        place = document.place(("exclude",))
        found.append(Problem(place, "every combination is excluded", "remove an exclusion"))
        return _Crossing(levels, expansion, found)
    metrics = {task.name: _metric(task, catalog) for task in study.tasks}
    found += claims.check(study.claims, expansion.cells, metrics, catalog, document)
    found += canaries.check(study, expansion.cells, levels, document)
    return _Crossing(levels, expansion, found)


def _without_strangers(
    crossing: _Crossing, resolved: Resolved, catalog: Catalog, document: Document
) -> _Crossing:
    """Leaves out the cells whose teacher has another vocabulary, where the catalogue asks for one.

    Raises:
        StudyProblems: no cell is left.
    """
    cells: list[dict[str, Any]] = []
    excluded: list[Exclusion] = []
    for factors in crossing.expansion.cells:
        wanted = catalog.compressions[factors["compression"]["kind"]].teacher
        if (
            wanted is not None
            and wanted.same_vocabulary
            and resolved.is_stranger(factors["model"], factors["compression"])
        ):
            excluded.append(Exclusion(factors, wanted.reason, "catalogue"))
        else:
            cells.append(factors)
    if not cells:
        place = document.place(("factors", "compression"))
        raise StudyProblems([Problem(place, "every combination is excluded", excluded[0].reason)])
    expansion = replace(
        crossing.expansion, cells=tuple(cells), exclusions=(*crossing.expansion.exclusions, *excluded)
    )
    return replace(crossing, expansion=expansion)


def _untrained(study: Study, catalog: Catalog) -> list[Rule]:
    """Runs methods that do not train at the largest budget alone, where they meet those that do."""
    budgets = study.factors.train_samples
    kinds = [name for name, kind in catalog.methods.items() if not kind.trains]
    smaller = [budget for budget in budgets if budget != max(budgets)]
    if not kinds or not smaller:
        return []
    reason = "the method does not train: one budget stands for all"
    return [Rule({"method.kind": kinds, "train_samples": smaller}, reason, from_study=False)]


def _exclusion_problems(
    own: Sequence[Rule], expansion: Expansion, levels: Mapping[str, Sequence[Any]], document: Document
) -> list[Problem]:
    names = selectors.names_of({factor: level} for factor in levels for level in levels[factor])
    found: list[Problem] = []
    for index, rule in enumerate(own):
        unknown = selectors.check(rule.selector, ("exclude", index), names, document)
        place = document.place(("exclude", index))
        if not rule.selector:
            found.append(
                Problem(place, "this exclusion has no condition", "add one, such as method.kind: lora")
            )
        elif not unknown and index in expansion.idle_rules:
            found.append(
                Problem(place, "this exclusion matches no combination", "remove it, or mend its values")
            )
        found += unknown
    return found


def _metric(task: TaskEntry, catalog: Catalog) -> str:
    if task.metric is not None:
        return task.metric
    if task.source != "jsonl" and task.name in catalog.tasks:
        return catalog.tasks[task.name].metric
    return next(iter(checks.metrics_of_kind(task.kind or "", catalog)), "")


@dataclass(frozen=True)
class _Planner:
    """Turns combinations of factors into cells and trials."""

    study: Study
    catalog: Catalog
    resolved: Resolved
    device_memory_bytes: int | None
    accelerator: bool | None
    durations: Durations | None

    def prepared(self, text: str, crossing: _Crossing) -> PreparedStudy:
        """Assemble the study."""
        combinations = crossing.expansion.cells
        cells: list[Cell] = []
        planned: list[PlannedTrial] = []
        memory: dict[str, tuple[Prediction, str]] = {}
        for index, (factors, label) in enumerate(zip(combinations, labels(combinations), strict=True)):
            model, task = self.resolved.models[factors["model"]], self.resolved.tasks[factors["task"]]
            encoder = self.resolved.encoder(factors["method"])
            teacher = self.resolved.teacher(factors["compression"])
            own = list(trials.of_cell(index, factors, self.study, model, task, encoder, teacher))
            # Neither task nor history is part of the memory formula.
            lengths = serving.shape(self.study, factors).model_dump()
            key = documents.digest(
                [factors["model"], factors["method"], factors["compression"], factors.get("engine"), lengths]
            )
            if key not in memory:
                memory[key] = self._memory(factors)
            peak, refusal = memory[key]
            cells.append(Cell(index, factors, label, peak, self._duration(own), refusal))
            planned += own
        resolved = self._document(crossing, canaries.choose(self.study, cells))
        return PreparedStudy(
            name=self.study.name,
            digest=documents.digest(resolved),
            resolved=resolved,
            source_yaml=text,
            cells=tuple(cells),
            trials=tuple(planned),
            exclusions=crossing.expansion.exclusions,
            devices=DeviceSelector(self.study.devices.names, self.study.devices.labels),
            blobs=self.resolved.blobs(),
            claims=tuple(claims.resolve(claim, self.catalog) for claim in self.study.claims),
            retry=RetryRule(self.study.retry.max_attempts, self.study.retry.retry_on),
            units=self.study.units,
        )

    def _memory(self, factors: Mapping[str, Any]) -> tuple[Prediction, str]:
        """Predicts the peak of a cell, and says why it cannot run where it cannot."""
        if serving.loads_files(factors):
            return predict.UNKNOWN, ""
        facts = self.resolved.facts[factors["model"]]
        load = predict.Load(
            facts=facts,
            method=self.catalog.methods[factors["method"]["kind"]],
            compression=self.catalog.compressions[factors["compression"]["kind"]],
            levels={"method": factors["method"], "compression": factors["compression"]},
            inference=serving.shape(self.study, factors),
            dtype=self.study.dtype,
            teacher=self.resolved.teacher_facts.get(factors["compression"].get(TEACHER, "")),
        )
        stored = facts.stored_element_bytes if facts is not None else 4
        likely, least = predict.element_bytes(self.study.dtype, stored, self.accelerator)
        peak = predict.peak_bytes(load, self.catalog.memory, likely)
        surely = peak if least == likely else predict.peak_bytes(load, self.catalog.memory, least)
        return peak, predict.refusal(surely, self._limits())

    def _limits(self) -> list[tuple[str, float]]:
        limits: list[tuple[str, float]] = []
        if self.device_memory_bytes is not None:
            limits.append(("the device's memory", self.device_memory_bytes))
        if self.study.budgets.attempt.memory:
            limits.append(("the attempt's memory budget", self.study.budgets.attempt.memory))
        return limits

    def _duration(self, own: Sequence[PlannedTrial]) -> Prediction:
        """Takes the mean of what earlier attempts of the cell's trials took."""
        if self.durations is None:
            return predict.UNKNOWN
        known = [taken for one in own if (taken := self.durations(one.trial.digest)) is not None]
        return Prediction(sum(known) / len(known), "measured") if known else predict.UNKNOWN

    def _document(self, crossing: _Crossing, canary: int | None) -> dict[str, Any]:
        """Builds what the study's digest is taken of: the file with everything it names put in its place."""
        study = self.study.model_dump(mode="json")
        study["factors"] = {key: levels for key, levels in crossing.levels.items() if key != "task"}
        study["claims"] = [claims.resolve(claim, self.catalog) for claim in self.study.claims]
        # Left out where nothing is asked for, as in files that were written before these keys were.
        unset = self.study.model_dump(mode="json", exclude_defaults=True)
        for key in ("settings", "protocol_overrides", "canary", "retry", "units", "servers"):
            if key not in unset:
                del study[key]
        if canary is not None:
            study["canary_cell"] = canary
        study["resolved_models"] = {
            name: {"digest": model.digest, "revision": model.revision}
            for name, model in self.resolved.all_models().items()
        }
        study["resolved_tasks"] = {
            name: documents.to_json(task) for name, task in self.resolved.tasks.items()
        }
        return study
