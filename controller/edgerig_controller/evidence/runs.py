"""Every planned trial of one or several studies as one run: what it gave, or why it gave nothing.

Failed, rejected and never started trials are runs too. What cannot be used is
taken out here, in sight: each such case leaves a `Notice`. Pure: rows in.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from edgerig_controller.report.data import StudyData, protocol
from edgerig_controller.store.rows import AttemptRow, MeasurementRow, PointRow, TrialRow

# (user_id, item_id, score)
ItemScore = tuple[str, str, float]
WAITING = {
    "queued": "waiting",
    "leased": "running",
    "cancelled": "cancelled",
    "settled": "settled",
    "done": "no result",
}


@dataclass(frozen=True)
class Notice:
    """Something that a reader of the guidelines must know; an error changes the exit code.

    Codes of errors: `scores_not_numbers`, `conflicting_duplicates`,
    `contradictory_claims`, `nothing_usable`, `claim_not_tested`.
    """

    level: Literal["error", "notice"]
    code: str
    text: str


@dataclass(frozen=True)
class Run:
    """One planned trial and the attempt whose result counts.

    `factors` are those of the cell without the task, with model and task told
    apart by their data where studies name different ones alike. `status` is ok,
    failed, invalid or not_run; `state` words it for the coverage matrix.
    """

    study_id: str
    study: str
    cell: str
    factors: Mapping[str, Any]
    task: str
    metric: str
    seed: int
    repeat: int
    trial_id: str
    attempt_id: str
    device_id: str
    status: str
    state: str
    failure_message: str
    failure_phase: str
    emulated_bytes: int
    protocol: str
    environment_digest: str
    worker: Mapping[str, Any]
    started_unix_s: float | None
    reused: bool
    scores: tuple[ItemScore, ...]
    measurements: tuple[MeasurementRow, ...]
    points: tuple[PointRow, ...] = ()

    @property
    def trained(self) -> bool:
        """Tells whether the run trained something, so that its seed mattered."""
        return bool(int(self.worker.get("train_sample_count") or 0)) or any(
            row.phase == "train" and row.value is not None for row in self.measurements
        )


def collect(studies: Sequence[StudyData]) -> tuple[tuple[Run, ...], tuple[Notice, ...]]:
    """Returns the runs of all studies in a fixed order, each attempt once, and what was taken out."""
    names = _Names.of(studies)
    found = [run for data in studies for run in _runs_of(data, names)]
    found.sort(key=lambda run: (run.study, run.study_id, run.trial_id))
    runs, repeated = _each_once(found)
    checked = [_checked(run) for run in runs]
    notices = [*names.notices, *repeated, *(notice for _, kept in checked for notice in kept)]
    kept_runs = tuple(run for run, _ in checked)
    return kept_runs, (*_grouped(notices), *_mixed(kept_runs))


@dataclass(frozen=True)
class _Names:
    """How tasks and models are called, told apart where one name means two things."""

    tasks: Mapping[tuple[str, str], str]
    models: Mapping[tuple[str, str], str]
    notices: tuple[Notice, ...]

    @staticmethod
    def of(studies: Sequence[StudyData]) -> _Names:
        tasks: dict[tuple[str, str], str] = {}
        models: dict[tuple[str, str], str] = {}
        notices: list[Notice] = []
        for kind, key, target in (
            ("task", "resolved_tasks", tasks),
            ("model", "resolved_models", models),
        ):
            digests: dict[str, set[str]] = defaultdict(set)
            for data in studies:
                for name, facts in (data.study.resolved.get(key) or {}).items():
                    digests[name].add(_digest_of(facts))
            for name, several in sorted(digests.items()):
                if len(several) > 1:
                    text = f"the {kind} {name} is {len(several)} different ones in these studies; kept apart"
                    notices.append(Notice("notice", f"{kind}s_differ", text))
            for data in studies:
                for name, facts in (data.study.resolved.get(key) or {}).items():
                    digest = _digest_of(facts)
                    alone = len(digests[name]) == 1
                    target[(data.study.study_id, name)] = name if alone else f"{name}#{digest[:8]}"
        return _Names(tasks, models, tuple(notices))


def _digest_of(facts: Mapping[str, Any]) -> str:
    value = facts.get("data") or facts.get("digest") or ""
    return str(value.get("sha256", "") if isinstance(value, Mapping) else value)


def _runs_of(data: StudyData, names: _Names) -> Iterable[Run]:
    scores: dict[str, list[ItemScore]] = defaultdict(list)
    for row in data.scores:
        scores[row.attempt_id].append((row.user_id, row.item_id, row.score))
    measurements: dict[str, list[MeasurementRow]] = defaultdict(list)
    for measured in data.measurements:
        measurements[measured.attempt_id].append(measured)
    points: dict[str, list[PointRow]] = defaultdict(list)
    for point in data.points:
        points[point.attempt_id].append(point)
    results = {row.trial_id: row for row in data.results()}
    cells = {cell.cell_index: cell for cell in data.cells}
    tasks = data.study.resolved.get("resolved_tasks") or {}
    attempt = (data.study.resolved.get("budgets") or {}).get("attempt") or {}
    for trial in data.trials:
        result = results.get(trial.trial_id)
        factors = dict(cells[trial.cell_index].factors)
        task, model = str(factors.pop("task", "")), str(factors.get("model", ""))
        factors["model"] = names.models.get((data.study.study_id, model), model)
        usable = result is not None and result.status == "ok"
        key = result.attempt_id if result is not None else ""
        yield Run(
            study_id=data.study.study_id,
            study=data.study.name,
            cell=cells[trial.cell_index].label,
            factors=factors,
            task=names.tasks.get((data.study.study_id, task), task),
            metric=str((tasks.get(task) or {}).get("metric") or ""),
            seed=trial.seed,
            repeat=trial.repeat,
            trial_id=trial.trial_id,
            attempt_id=key,
            device_id=result.device_id if result is not None else "",
            status=(result.status if result is not None else "") or "not_run",
            state=_state(trial, result),
            failure_message=result.failure_message if result is not None else "",
            failure_phase=result.failure_phase if result is not None else "",
            emulated_bytes=int(attempt.get("memory") or 0),
            protocol=protocol(data.study),
            environment_digest=result.environment_digest if result is not None else "",
            worker=result.worker if result is not None else {},
            started_unix_s=result.created_unix_s if result is not None else None,
            reused=trial.reused,
            scores=tuple(scores.get(key, ())) if usable else (),
            measurements=tuple(measurements.get(key, ())) if usable else (),
            points=tuple(points.get(key, ())) if usable else (),
        )


def _state(trial: TrialRow, result: AttemptRow | None) -> str:
    if result is None or not result.status:
        return WAITING[trial.state]
    return "ok" if result.status == "ok" else result.failure_class or result.status


def _each_once(runs: Sequence[Run]) -> tuple[list[Run], list[Notice]]:
    """Keeps the first of runs that are one attempt: a reused result is no second measurement."""
    seen: set[str] = set()
    kept, dropped = [], 0
    for run in runs:
        if run.attempt_id and run.attempt_id in seen:
            dropped += 1
            continue
        seen.add(run.attempt_id)
        kept.append(run)
    text = f"{dropped} runs occur in more than one of the studies (reused results); each counts once"
    return kept, [Notice("notice", "reused_runs", text)] if dropped else []


def _checked(run: Run) -> tuple[Run, list[Notice]]:
    """Rejects a run whose scores are no numbers or contradict each other; drops exact duplicates."""
    wrong = [entry for entry in run.scores if not math.isfinite(entry[2])]
    if wrong:
        return _rejected(run, "scores_not_numbers"), [
            Notice(
                "error", "scores_not_numbers", f"{run.attempt_id} ({run.cell}): {_count(len(wrong), 'score')}"
            )
        ]
    by_item: dict[tuple[str, str], float] = {}
    conflicts = 0
    for user_id, item_id, score in run.scores:
        conflicts += by_item.setdefault((user_id, item_id), score) != score
    if conflicts:
        text = f"{run.attempt_id} ({run.cell}): {_count(conflicts, 'item')} with two different scores"
        return _rejected(run, "conflicting_duplicates"), [Notice("error", "conflicting_duplicates", text)]
    if len(by_item) == len(run.scores):
        return run, []
    text = f"{run.attempt_id} ({run.cell}): {_count(len(run.scores) - len(by_item), 'score')}"
    kept = tuple((user_id, item_id, score) for (user_id, item_id), score in by_item.items())
    return replace(run, scores=kept), [Notice("notice", "duplicate_scores", text)]


def _rejected(run: Run, why: str) -> Run:
    return replace(run, status="invalid", state=f"rejected: {why}", scores=(), measurements=(), points=())


# What is said of one run, and of several.
_HEADS = {
    "scores_not_numbers": (
        "rejected, because it has scores that are not finite numbers",
        "rejected, because they have scores that are not finite numbers",
    ),
    "conflicting_duplicates": (
        "rejected, because it scores an item twice and differently",
        "rejected, because they score items twice and differently",
    ),
    "duplicate_scores": ("with scores that occur twice, which count once",) * 2,
}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _grouped(notices: Sequence[Notice]) -> list[Notice]:
    """Says each kind of trouble once, with the first cases by name."""
    groups: dict[str, list[Notice]] = {}
    for notice in notices:
        groups.setdefault(notice.code, []).append(notice)
    found = []
    for code, mine in groups.items():
        if code not in _HEADS:
            found += mine
            continue
        more = f" and {len(mine) - 3} more" if len(mine) > 3 else ""
        cases = "; ".join(notice.text for notice in mine[:3])
        found.append(
            Notice(
                mine[0].level,
                code,
                f"{_count(len(mine), 'run')} {_HEADS[code][len(mine) > 1]}: {cases}{more}",
            )
        )
    return found


def _mixed(runs: Sequence[Run]) -> list[Notice]:
    """Says where runs that are compared do not share software, protocol or hardware."""
    ok = [run for run in runs if run.status == "ok"]
    found = []
    environments = {run.environment_digest for run in ok if run.environment_digest}
    if len(environments) > len({run.device_id for run in ok if run.environment_digest}):
        versions = {
            name: sorted({str(run.worker[name]) for run in ok if run.worker.get(name)})
            for name in ("python", "torch", "transformers", "peft")
        }
        differing = ", ".join(f"{name} {' and '.join(v)}" for name, v in versions.items() if len(v) > 1)
        text = f"runs of one device come from {len(environments)} software or hardware environments"
        found.append(Notice("notice", "mixed_software", f"{text} ({differing})" if differing else text))
    for code, values, what in (
        ("mixed_protocols", {run.protocol for run in ok}, "measuring protocols"),
        ("several_devices", {run.device_id for run in ok}, "devices"),
    ):
        if len(values) > 1:
            text = f"runs come from several {what}: {', '.join(sorted(values))}"
            found.append(Notice("notice", code, text))
    return found
