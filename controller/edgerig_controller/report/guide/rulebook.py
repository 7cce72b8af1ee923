"""A decision rule over what is known before deployment, if one generalises.

A context is a task with an amount of history; its features are the history, the
memory of the box and, where given, D1 to D5. An action is a method on a model
with a compression. The reward is quality in points; memory is a constraint that
every action met, since it ran. Only actions that every context has can be compared.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from edgerig_controller.evidence.build import GIB, Evidence
from edgerig_controller.guidelines.matching import TaskEvidence, level
from edgerig_controller.guidelines.rules import Contexts, Rule, learn, words
from edgerig_controller.guidelines.scores import Config, ScoreTable
from edgerig_controller.report.data import factor_words
from edgerig_controller.report.guide.model import Amount, RuleSection

# `history: all` as a feature: more than any amount that a study can name.
ALL = 1e6
USUAL = {"model", "method", "compression", "history"}


def rules(evidence: Evidence) -> RuleSection:
    """Learns a rule and says whether it may be stated."""
    rows, actions = _rows(evidence)
    tasks = {row.task for row in rows}
    if len(tasks) < 2:
        reason = (
            f"{len(tasks)} task(s) with two actions in common: a rule must be tested on tasks that it has "
            "not seen, so at least two are needed"
        )
        return RuleSection("", False, "", (), "", len(rows), reason)
    contexts = _contexts(rows, actions)
    found = learn(contexts)
    return _section(found, contexts)


@dataclass(frozen=True)
class _Row:
    task: str
    device: str
    features: dict[str, float]
    chosen: list[float]
    scored: list[float]


def _rows(evidence: Evidence) -> tuple[list[_Row], tuple[str, ...]]:
    """Returns one row per task and amount of history that has every common action."""
    found: dict[tuple[str, float], dict[str, Config]] = defaultdict(dict)
    halves: dict[str, tuple[ScoreTable, ScoreTable]] = {}
    for task in evidence.records.tasks:
        name = task.table.task
        if len(np.unique(task.table.user_of_item)) < 2:
            continue
        halves[name] = (task.table.half(True), task.table.half(False))
        for config in evidence.records.configs:
            if all(half.has(config.config_id) for half in halves[name]):
                found[(name, _history(config))][_action(config)] = config
    if not found:
        return [], ()
    actions = tuple(sorted(set.intersection(*(set(mine) for mine in found.values()))))
    if len(actions) < 2:
        return [], actions
    by_name = {task.table.task: task for task in evidence.records.tasks}
    rows = []
    for (name, history), mine in sorted(found.items()):
        rewards = [
            [
                contrast.estimate if (contrast := half.contrast({mine[action].config_id: 1.0})) else 0.0
                for action in actions
            ]
            for half in halves[name]
        ]
        features = _features(evidence, by_name[name], history)
        rows.append(_Row(name, _devices(evidence, name), features, rewards[0], rewards[1]))
    return rows, actions


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


def _features(evidence: Evidence, task: TaskEvidence, history: float) -> dict[str, float]:
    sizes = {
        evidence.tiers[name].memory_bytes
        for run in evidence.runs
        if run.task == task.table.task and (name := evidence.tier_of.get(run.trial_id))
    }
    found = {"history": history}
    if len(sizes) == 1:
        found["memory_gib"] = sizes.pop() / GIB
    return found | dict(task.difficulty or {})


def _devices(evidence: Evidence, task: str) -> str:
    return "+".join(sorted({run.device_id for run in evidence.usable() if run.task == task}))


def _contexts(rows: list[_Row], actions: tuple[str, ...]) -> Contexts:
    names = tuple(sorted(set.intersection(*(set(row.features) for row in rows))))
    return Contexts(
        feature_names=names,
        actions=actions,
        tasks=tuple(row.task for row in rows),
        devices=tuple(row.device for row in rows),
        features=np.array([[row.features[name] for name in names] for row in rows]),
        chosen_on=np.array([row.chosen for row in rows]),
        scored_on=np.array([row.scored for row in rows]),
    )


def _section(found: Rule, contexts: Contexts) -> RuleSection:
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
        words=words(found.tree, contexts),
        published=found.published,
        fixed_action=found.fixed_action,
        validations=validations,
        stability=stability,
        contexts=len(contexts.tasks),
        empty="",
    )
