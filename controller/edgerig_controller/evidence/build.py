"""From studies to `Evidence`: the records that claims are judged on, and where each of them came from.

Pure: rows in, arrays out. A configuration is what its cell's factors say,
without the task; settings that are the same in all studies (budgets, lengths
of prompts, protocol) stay out, those that differ become factors, so that only
like is compared with like.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgerig import documents
from edgerig_controller.evidence.difficulties import of_studies
from edgerig_controller.evidence.figures import comparable, tables
from edgerig_controller.evidence.hardness import Hardness
from edgerig_controller.evidence.runs import Notice, Run, collect
from edgerig_controller.guidelines.matching import StudyRecords, TaskEvidence
from edgerig_controller.guidelines.resources import RunTable
from edgerig_controller.guidelines.scores import Config, FailedCell, ScoreTable
from edgerig_controller.report.data import DeviceSummary, StudyData
from edgerig_controller.study.expand import labels

GIB = 2**30
# Memory that boxes are sold with; what the system leaves free of it is a little less.
TIERS_GIB = (0.5, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 80, 96, 128, 192, 256, 512, 1024)
STARTER = "starter/"
Difficulties = Mapping[str, Hardness]


@dataclass(frozen=True)
class Tier:
    """A size of memory that configurations compete for: a box, or a limit that emulates one."""

    memory_bytes: int
    emulated: bool
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """The records, every run behind them, and what must be said of them.

    `config_of` maps trial ids to configurations, `tier_of` trial ids to tiers
    (as keys of `tiers`). `tables` are all tables of figures; the records hold
    those of `boundary` only.
    """

    studies: tuple[StudyData, ...]
    records: StudyRecords
    runs: tuple[Run, ...]
    config_of: Mapping[str, str]
    tables: Mapping[str, tuple[RunTable, ...]]
    boundary: str
    tiers: Mapping[str, Tier]
    tier_of: Mapping[str, str]
    notices: tuple[Notice, ...]
    data_sha256: str
    config_sha256: str
    difficulty: Difficulties

    def users(self, task: str) -> list[str]:
        """Returns the users of a task in the order in which its table numbers them."""
        return sorted({row[0] for run in self.usable() if run.task == task for row in run.scores})

    def usable(self) -> tuple[Run, ...]:
        """Returns the runs that gave a result which counts."""
        return tuple(run for run in self.runs if run.status == "ok")


def build(studies: Sequence[StudyData], *, difficulty: Difficulties | None = None) -> Evidence:
    """Brings the records of one or several studies together.

    Args:
        studies: each once; their order changes nothing.
        difficulty: task name to what is known of its difficulty; None = what the studies themselves tell.
    """
    ordered = tuple(sorted(_once(studies), key=lambda data: (data.study.name, data.study.study_id)))
    runs, notices = collect(ordered)
    hard = of_studies(ordered) if difficulty is None else difficulty
    settings = _differing_settings(ordered)
    factors_of = {run.trial_id: {**settings.get(run.study_id, {}), **run.factors} for run in runs}
    config_of, factors = _configurations(runs, factors_of)
    figures = tables([run for run in runs if run.status == "ok"], config_of)
    boundary, mixed = comparable(figures)
    sizes = _histories(ordered)
    tiers, tier_of = _tiers(ordered, runs)
    configs = _configs(factors, runs, config_of, {key: tiers[name] for key, name in tier_of.items()})
    tasks = tuple(
        _task(name, runs, configs, config_of, figures.get(name, ()), boundary, hard, sizes)
        for name in sorted({run.task for run in runs})
    )
    models = {str(config.factors.get("model", "")) for config in configs}
    starters = bool(models) and all(name.startswith(STARTER) for name in models)
    nothing = (
        (Notice("error", "nothing_usable", "no run of these studies gave a result that can be used"),)
        if not any(run.scores for run in runs)
        else ()
    )
    return Evidence(
        studies=ordered,
        records=StudyRecords(configs, tasks, instrument_check=starters),
        runs=runs,
        config_of=config_of,
        tables=figures,
        boundary=boundary,
        tiers=tiers,
        tier_of=tier_of,
        notices=(
            *notices,
            *mixed,
            *_unfinished(ordered),
            *_repeats(runs, config_of),
            *_little(tasks, runs),
            *_hardness(hard),
            *nothing,
        ),
        data_sha256=_data_digest(runs, config_of, sizes),
        config_sha256=documents.digest({name: dict(found) for name, found in factors.items()}),
        difficulty=dict(hard),
    )


def _once(studies: Sequence[StudyData]) -> list[StudyData]:
    return list({data.study.study_id: data for data in studies}.values())


def _differing_settings(studies: Sequence[StudyData]) -> dict[str, dict[str, Any]]:
    """Returns per study the settings that are not the same in all of them."""
    flat = {data.study.study_id: _settings(data.study.resolved) for data in studies}
    names = sorted({name for mine in flat.values() for name in mine})
    differing = [name for name in names if len({json.dumps(mine.get(name)) for mine in flat.values()}) > 1]
    return {key: {name: mine.get(name) for name in differing} for key, mine in flat.items()}


def _settings(resolved: Mapping[str, Any]) -> dict[str, Any]:
    budgets = resolved.get("budgets") or {}
    found = {f"train_{name}": value for name, value in (budgets.get("train") or {}).items()}
    limit_bytes = int((budgets.get("attempt") or {}).get("memory") or 0)
    found["memory_limit"] = f"{limit_bytes / GIB:.4g} GiB" if limit_bytes else "none"
    found |= dict(resolved.get("inference") or {})
    found |= {name: resolved.get(name) for name in ("protocol", "dtype", "threads")}
    # A setting that a study is too old to know stood at nothing: 0, '', no entries.
    return {name: value or None for name, value in found.items()}


def _configurations(
    runs: Sequence[Run], factors_of: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, str], dict[str, Mapping[str, Any]]]:
    """Names configurations shortly and uniquely; returns trial id to name and name to factors."""
    keys = {trial: documents.canonical_bytes(factors).decode() for trial, factors in factors_of.items()}
    distinct = {keys[run.trial_id]: factors_of[run.trial_id] for run in runs}
    every = {name for factors in distinct.values() for name in factors}
    ordered = sorted(distinct)
    # A factor that only some studies have is told apart from its absence.
    full = [{**dict.fromkeys(sorted(every), "–"), **distinct[key]} for key in ordered]
    order = ["model", "method", *sorted(every - {"model", "method"})]
    named = labels([{name: found[name] for name in order if name in found} for found in full])
    name_of = dict(zip(ordered, named, strict=True))
    return (
        {trial: name_of[key] for trial, key in keys.items()},
        dict(sorted((name_of[key], distinct[key]) for key in ordered)),
    )


def _configs(
    factors: Mapping[str, Mapping[str, Any]],
    runs: Sequence[Run],
    config_of: Mapping[str, str],
    tier_of: Mapping[str, Tier],
) -> tuple[Config, ...]:
    parameters: dict[str, int] = defaultdict(int)
    for run in runs:
        model = str(run.factors.get("model", ""))
        parameters[model] = max(parameters[model], int(run.worker.get("parameter_count") or 0))
    mine: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        mine[config_of[run.trial_id]].append(run)
    found = []
    for name, given in factors.items():
        facts: dict[str, float] = {}
        count = parameters[str(given.get("model", ""))]
        if count:
            facts["parameters"] = float(count)
        sizes = {tier_of[run.trial_id].memory_bytes for run in mine[name] if run.trial_id in tier_of}
        if len(sizes) == 1:
            facts["ram_tier_bytes"] = float(sizes.pop())
        samples = [int(run.worker.get("train_sample_count") or 0) for run in mine[name] if run.status == "ok"]
        if any(run.trained for run in mine[name]):
            facts["trains"] = 1.0
            facts["train_samples"] = float(np.mean(samples))
        found.append(Config(name, given, facts))
    return tuple(found)


def _task(
    name: str,
    runs: Sequence[Run],
    configs: Sequence[Config],
    config_of: Mapping[str, str],
    figures: Sequence[RunTable],
    boundary: str,
    difficulty: Difficulties,
    histories: Mapping[str, Mapping[str, int]],
) -> TaskEvidence:
    mine = [run for run in runs if run.task == name]
    names = {config_of[run.trial_id] for run in mine}
    ids = tuple(config.config_id for config in configs if config.config_id in names)
    scored = [run for run in mine if run.status == "ok" and run.scores]
    users = sorted({row[0] for run in scored for row in run.scores})
    sizes = histories.get(name, {})
    known = bool(users) and set(users) <= set(sizes)
    return TaskEvidence(
        table=_scores(name, ids, scored, config_of),
        runs=tuple(table for table in figures if table.boundary in ("", boundary)),
        failed=tuple(
            FailedCell(config_of[run.trial_id], name, run.seed, run.state) for run in mine if not run.scores
        ),
        difficulty=difficulty[name].measures if name in difficulty else None,
        # Users are numbered as the table of scores numbers them.
        history_of_user={at: sizes[user] for at, user in enumerate(users)} if known else None,
        emulated=bool(mine) and all(run.emulated_bytes for run in mine),
        metric=next((run.metric for run in mine if run.metric), ""),
    )


def _histories(studies: Sequence[StudyData]) -> dict[str, dict[str, int]]:
    """Brings the histories of users together."""
    found: dict[str, dict[str, int]] = {}
    for data in studies:
        for task, sizes in data.histories.items():
            mine = found.setdefault(task, {})
            for user, size in sizes.items():
                mine[user] = max(mine.get(user, 0), size)
    return found


def _scores(task: str, ids: tuple[str, ...], runs: Sequence[Run], config_of: Mapping[str, str]) -> ScoreTable:
    seeds = tuple(sorted({run.seed for run in runs}))
    config_at = {name: at for at, name in enumerate(ids)}
    seed_at = {seed: at for at, seed in enumerate(seeds)}
    user_at = {user: at for at, user in enumerate(sorted({row[0] for run in runs for row in run.scores}))}
    item_at = {item: at for at, item in enumerate(sorted({row[1] for run in runs for row in run.scores}))}
    lengths = [len(run.scores) for run in runs]
    codes = {
        "config": np.repeat([config_at[config_of[run.trial_id]] for run in runs], lengths),
        "seed": np.repeat([seed_at[run.seed] for run in runs], lengths),
        "user": np.array([user_at[row[0]] for run in runs for row in run.scores]),
        "item": np.array([item_at[row[1]] for run in runs for row in run.scores]),
    }
    score = np.array([row[2] for run in runs for row in run.scores], dtype=np.float64)
    return ScoreTable.of_codes(
        task, ids, seeds, score=score, **{key: column.astype(np.int64) for key, column in codes.items()}
    )


def _tiers(studies: Sequence[StudyData], runs: Sequence[Run]) -> tuple[dict[str, Tier], dict[str, str]]:
    devices = {device.device_id: device for data in studies for device in data.devices}
    members: dict[tuple[int, bool], set[str]] = defaultdict(set)
    key_of: dict[str, tuple[int, bool]] = {}
    for run in runs:
        size = run.emulated_bytes or _nominal(devices.get(run.device_id), run)
        # A cell that ran nowhere belongs to the tier of its study's other runs, if there is one only.
        if size:
            key_of[run.trial_id] = (size, bool(run.emulated_bytes))
            members[key_of[run.trial_id]] |= {run.device_id} - {""}
    of_study: dict[str, set[tuple[int, bool]]] = defaultdict(set)
    for run in runs:
        if run.trial_id in key_of:
            of_study[run.study_id].add(key_of[run.trial_id])
    for run in runs:
        if run.trial_id not in key_of and len(of_study[run.study_id]) == 1:
            key_of[run.trial_id] = next(iter(of_study[run.study_id]))
    names = {key: _tier_name(*key) for key in members}
    tiers = {names[key]: Tier(key[0], key[1], tuple(sorted(found))) for key, found in sorted(members.items())}
    return tiers, {trial: names[key] for trial, key in key_of.items()}


def _nominal(device: DeviceSummary | None, run: Run) -> int:
    """Returns the size that a box of this memory is sold with; 0 where the memory is not known."""
    if device is None:
        return 0
    on_accelerator = device.accelerator_bytes and str(run.worker.get("device", "cpu")) != "cpu"
    memory = device.accelerator_bytes if on_accelerator else device.memory_bytes
    if not memory:
        return 0
    return next((round(size * GIB) for size in TIERS_GIB if memory <= size * GIB), memory)


def _tier_name(size_bytes: int, emulated: bool) -> str:
    size = f"{size_bytes / GIB:g} GiB" if size_bytes >= GIB / 2 else f"{size_bytes / 2**20:.4g} MiB"
    return f"{size}, emulated" if emulated else size


def _unfinished(studies: Sequence[StudyData]) -> list[Notice]:
    names = [data.study.name for data in studies if data.study.state == "active"]
    text = f"{', '.join(names)} still runs: verdicts may change, and looking early makes more of them wrong"
    return [Notice("notice", "unfinished", text)] if names else []


def _repeats(runs: Sequence[Run], config_of: Mapping[str, str]) -> list[Notice]:
    """Says where one configuration was run twice under one seed by two studies: repeats, averaged."""
    studies: dict[tuple[str, str, int], set[str]] = defaultdict(set)
    for run in runs:
        if run.scores:
            studies[(config_of[run.trial_id], run.task, run.seed)].add(run.study_id)
    count = sum(len(found) > 1 for found in studies.values())
    text = f"{count} combinations of configuration, task and seed were run by several studies: averaged"
    return [Notice("notice", "repeated_runs", text)] if count else []


def _little(tasks: Sequence[TaskEvidence], runs: Sequence[Run]) -> list[Notice]:
    """Says where one seed, one user or one task is all there is."""
    found = []
    scored = [task for task in tasks if task.table.scores.size]
    if len(scored) == 1:
        text = f"one task ({scored[0].table.task}): nothing is known about other tasks"
        found.append(Notice("notice", "one_task", text))
    users = [task.table.task for task in scored if len(np.unique(task.table.user_of_item)) == 1]
    seeds = [task.table.task for task in scored if len(task.table.seeds) == 1]
    if users:
        text = f"one user on {', '.join(users)}: nothing is known about other users, so no interval"
        found.append(Notice("notice", "one_user", text))
    if seeds:
        text = f"one seed on {', '.join(seeds)}: the luck of a training seed cannot be told from an effect"
        found.append(Notice("notice", "one_seed", text))
    failed = sum(1 for run in runs if run.status == "failed")
    waiting = sum(1 for run in runs if run.status == "not_run")
    if failed:
        found.append(Notice("notice", "failed_runs", f"{failed} of {len(runs)} planned runs failed"))
    if waiting:
        found.append(Notice("notice", "not_run", f"{waiting} of {len(runs)} planned runs have no result"))
    return found


def _hardness(hard: Difficulties) -> list[Notice]:
    """Says on whom difficulty was measured and by which model, since these take no part in H1."""
    if not any(entry.development_users for entry in hard.values()):
        return []
    models = sorted({entry.reference for entry in hard.values()} - {""})
    by = f"; D1 by {', '.join(models)}, zero-shot, which is compared with nothing" if models else ""
    text = f"difficulty was measured on half of each task's users; H1 is tested on the others{by}"
    return [Notice("notice", "difficulty", text)]


def _data_digest(
    runs: Sequence[Run], config_of: Mapping[str, str], histories: Mapping[str, Mapping[str, int]]
) -> str:
    """Digests everything that a verdict can depend on, run by run, in a fixed order."""
    total = hashlib.sha256()
    for run in sorted(
        runs, key=lambda found: (config_of[found.trial_id], found.task, found.seed, found.trial_id)
    ):
        head = [config_of[run.trial_id], run.task, run.seed, run.repeat, run.device_id, run.status, run.state]
        scores = sorted(run.scores)
        figures = [
            [row.name, row.phase, row.statistic, row.boundary, row.source, row.value]
            for row in run.measurements
        ]
        total.update(json.dumps([head, scores, figures], separators=(",", ":")).encode())
    total.update(documents.canonical_bytes({task: dict(sizes) for task, sizes in histories.items()}))
    return total.hexdigest()


def only(records: StudyRecords, metric: str) -> StudyRecords:
    """Keeps the tasks that are scored by a metric; those whose metric is not known stay."""
    kept = tuple(task for task in records.tasks if task.metric in ("", metric))
    return replace(records, tasks=kept)
