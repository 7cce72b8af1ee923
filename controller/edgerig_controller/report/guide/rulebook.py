"""A decision rule over what is known before deployment, if one generalises.

A context is a task on a device with an amount of history; its features are the history, the
memory of the box, whether answers are free text and, where given, D1 to D5. An action is a method
on a model with a compression. The reward is the declared utility: quality in points,
minus what joules are worth, and nothing where a limit is broken or every run of the
action failed there. Only actions that were tried in every context can be compared.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgerig_controller.evidence.build import GIB, Evidence
from edgerig_controller.evidence.runs import Run
from edgerig_controller.guidelines.matching import TaskEvidence, level
from edgerig_controller.guidelines.rules import Contexts, Rule, learn, words
from edgerig_controller.guidelines.scores import Config, ScoreTable
from edgerig_controller.guidelines.utility import ENERGY, LATENCY, NOTHING, Utility, worth
from edgerig_controller.report.data import factor_words
from edgerig_controller.report.guide.model import Amount, RuleSection

# `history: all` as a feature: more than any amount that a study can name.
ALL = 1e6
USUAL = {"model", "method", "compression", "history"}
HISTORY, MEMORY, FREE_TEXT = "items of history per user", "memory of the box in GiB", "free text (1 = yes)"
# Failures that the configuration brings about in this place: there it is worth nothing.
OWN_FAILURES = frozenset(
    {"does_not_fit", "oom_host", "oom_cgroup", "oom_cuda", "swap_storm", "timeout", "diverged"}
)


def rules(evidence: Evidence, utility: Utility | None = None) -> RuleSection:
    """Learns a rule and says whether it may be stated.

    Args:
        evidence: the records.
        utility: what a deployment is worth; nothing declared = quality alone.
    """
    declared = utility or Utility()
    rows, actions = _rows(evidence, declared)
    tasks = {row.task for row in rows}
    if len(tasks) < 2:
        how_many = "no task has" if not tasks else f"only the task {next(iter(tasks))} has"
        reason = (
            f"{how_many} two actions that can be compared; a rule must be tested on tasks that it has not "
            "seen, so at least two are needed"
        )
        return RuleSection("", False, "", (), "", len(rows), reason, declared.words())
    contexts = _contexts(rows, actions)
    return _section(learn(contexts), contexts, declared)


@dataclass(frozen=True)
class _Row:
    """A context; rewards of both halves and costs by action."""

    task: str
    device: str
    features: dict[str, float]
    chosen: Mapping[str, float]
    scored: Mapping[str, float]
    costs: Mapping[str, float]


@dataclass(frozen=True)
class _Place:
    """A task on a device: its halves of users and seeds, its figures and its runs by configuration."""

    task: TaskEvidence
    device: str
    halves: tuple[ScoreTable, ScoreTable]
    figures: Mapping[str, Mapping[str, Sequence[float]]]
    runs: Mapping[str, Sequence[Run]]


def _rows(evidence: Evidence, utility: Utility) -> tuple[list[_Row], tuple[str, ...]]:
    """Returns one row per task, device and amount of history, and the actions that all of them have."""
    rows = [row for place in _places(evidence) for row in _rows_of(evidence, place, utility)]
    # Where nothing can be done at all, nothing can be chosen.
    rows = [row for row in rows if row.chosen]
    if not rows:
        return [], ()
    actions = tuple(sorted(set.intersection(*(set(row.chosen) for row in rows))))
    return (rows, actions) if len(actions) > 1 else ([], actions)


def _places(evidence: Evidence) -> Iterable[_Place]:
    for task in evidence.records.tasks:
        if len(np.unique(task.table.user_of_item)) < 2:
            continue
        halves = (task.table.half(True), task.table.half(False))
        mine = [run for run in evidence.runs if run.task == task.table.task]
        for device in sorted({run.device_id for run in mine if run.device_id}):
            figures: dict[str, dict[str, Sequence[float]]] = defaultdict(dict)
            for table in task.runs:
                if table.device == device:
                    for name, found in table.figures.items():
                        for config_id, values in found.items():
                            figures[config_id][name] = values
            runs: dict[str, list[Run]] = defaultdict(list)
            for run in mine:
                if run.device_id == device:
                    runs[evidence.config_of[run.trial_id]].append(run)
            yield _Place(task, device, halves, figures, runs)


def _rows_of(evidence: Evidence, place: _Place, utility: Utility) -> list[_Row]:
    found: dict[float, dict[str, Config]] = defaultdict(dict)
    for config in evidence.records.configs:
        if place.runs.get(config.config_id):
            found[_history(config)][_action(config)] = config
    rows = []
    for history, mine in sorted(found.items()):
        rewards = [
            {
                name: value
                for name, config in mine.items()
                if (value := _reward(place, half, config, utility)) is not None
            }
            for half in place.halves
        ]
        both = set(rewards[0]) & set(rewards[1])
        rows.append(
            _Row(
                task=place.task.table.task,
                device=place.device,
                features=_features(evidence, place, history),
                chosen={name: rewards[0][name] for name in both},
                scored={name: rewards[1][name] for name in both},
                costs={name: _cost(place, config) for name, config in mine.items()},
            )
        )
    return rows


def _reward(place: _Place, half: ScoreTable, config: Config, utility: Utility) -> float | None:
    """Returns what the action is worth here; None where that is not known."""
    name = config.config_id
    states = {run.state for run in place.runs[name]}
    if states <= OWN_FAILURES:
        return NOTHING
    found = half.contrast({name: 1.0}) if half.has(name) else None
    return None if found is None else worth(utility, found.estimate, place.figures.get(name, {}))


def _cost(place: _Place, config: Config) -> float:
    """Returns J per request, else seconds; NaN where neither was measured."""
    mine = place.figures.get(config.config_id, {})
    values = next((mine[name] for name in (ENERGY, *LATENCY) if mine.get(name)), ())
    return float(np.mean(values)) if values else math.nan


def _action(config: Config) -> str:
    parts = [str(config.factors.get("model", "")), factor_words(config.factors.get("method", ""))]
    compression = factor_words(config.factors.get("compression") or {"kind": "none"})
    parts += [] if compression == "none" else [compression]
    # Whatever else a study varies is part of what can be done.
    return " ".join(
        [*parts, *(f"{name}={config.factors[name]}" for name in sorted(set(config.factors) - USUAL))]
    )


def _history(config: Config) -> float:
    value = level(config, "history")
    if not isinstance(value, (int, float)):
        return ALL
    return ALL if value < 0 else float(value)


def _features(evidence: Evidence, place: _Place, history: float) -> dict[str, float]:
    sizes = {
        evidence.tiers[name].memory_bytes
        for runs in place.runs.values()
        for run in runs
        if (name := evidence.tier_of.get(run.trial_id))
    }
    found = {HISTORY: history, FREE_TEXT: float(place.task.metric.startswith("rouge"))}
    if len(sizes) == 1:
        found[MEMORY] = sizes.pop() / GIB
    return found | dict(place.task.difficulty or {})


def _contexts(rows: list[_Row], actions: tuple[str, ...]) -> Contexts:
    names = tuple(sorted(set.intersection(*(set(row.features) for row in rows))))
    return Contexts(
        feature_names=names,
        actions=actions,
        tasks=tuple(row.task for row in rows),
        devices=tuple(row.device for row in rows),
        features=np.array([[row.features[name] for name in names] for row in rows]),
        chosen_on=np.array([[row.chosen[action] for action in actions] for row in rows]),
        scored_on=np.array([[row.scored[action] for action in actions] for row in rows]),
        costs=np.array([[row.costs[action] for action in actions] for row in rows]),
    )


def _section(found: Rule, contexts: Contexts, utility: Utility) -> RuleSection:
    validations = tuple(
        (
            entry.left_out,
            None
            if entry.gain.estimate is None
            else Amount(entry.gain.estimate, entry.gain.low, entry.gain.high),
            entry.regret_rule,
            entry.regret_fixed,
            entry.regret_random,
        )
        for entry in found.validations
    )
    stability = ""
    if found.root_share is not None:
        stability = f"the first question is the same in {100 * found.root_share:.0f} % of resampled tasks"
        if found.threshold_interval is not None:
            low, high = found.threshold_interval
            stability += f", its threshold between {low:.4g} and {high:.4g}"
    return RuleSection(
        words=words(found.tree, contexts, found.ties),
        published=found.published,
        fixed_action=found.fixed_action,
        validations=validations,
        stability=stability,
        contexts=len(contexts.tasks),
        empty="",
        utility=utility.words(),
    )
