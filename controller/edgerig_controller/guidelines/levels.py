"""Choose-then-estimate over the levels of a numeric factor: a sufficient budget, enough history.

The smallest level whose next step adds less than the margin is chosen on one half
of users and seeds and estimated on the other, so that the choice's luck is no evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgerig_controller.guidelines.effects import effect_of
from edgerig_controller.guidelines.finding import ONE_USER, Finding, absent, contrasts_of, halves_of, mean_of
from edgerig_controller.guidelines.matching import Selector, StudyRecords, averaged_pairs, level
from edgerig_controller.guidelines.resources import Ratio, ratio_fact
from edgerig_controller.guidelines.saturation import x95
from edgerig_controller.guidelines.scores import Config

NAMES = {
    "train_samples": "training (factor train_samples), one of them twice the other,",
    "history": "history",
}


def by_level(records: StudyRecords, selector: Selector, name: str) -> dict[float, list[Config]]:
    """Sorts configurations by the level of a numeric factor; `history: all` (-1) is the largest."""
    groups: dict[float, list[Config]] = {}
    for config in records.select(selector):
        value = amount_of(config, name)
        if value is not None:
            groups.setdefault(value, []).append(config)
    return dict(sorted(groups.items()))


def amount_of(config: Config, name: str) -> float | None:
    """Returns a numeric level; `all` (stored as -1) is more than any number, None is no level."""
    value = level(config, name)
    if value == "all":
        return float("inf")
    if not isinstance(value, (int, float)):
        return None
    return float("inf") if value < 0 else float(value)


def enough(
    records: StudyRecords,
    delta: float,
    levels: Mapping[float, Sequence[Config]],
    steps: Mapping[float, float],
    name: str,
) -> Finding:
    """Chooses on half A the smallest level whose step adds less than delta; estimates it on half B."""
    pairs = {low: averaged_pairs(levels[high], levels[low], {name}) for low, high in steps.items()}
    gains = {low: pair for low, pair in pairs.items() if pair}
    if not gains:
        return absent(f"the study has no two amounts of {NAMES.get(name, name)} to compare")
    missing = records.failures_of({config for gain in gains.values() for config in gain})
    halves = halves_of([task.table for task in records.tasks])
    if missing or halves is None:
        return Finding(None, missing or (ONE_USER,))
    sufficient = [low for low, gain in gains.items() if mean_of(halves[0], gain) < delta]
    chosen = min(sufficient, default=max(gains))
    effect = effect_of(contrasts_of(halves[1], gains[chosen]))
    against = "all" if steps[chosen] == float("inf") else steps[chosen]
    facts = {"chosen": chosen, "against": against, "factor": name}
    return Finding(effect, facts=facts, cells=frozenset(config for gain in gains.values() for config in gain))


def budget_facts(
    records: StudyRecords, levels: Mapping[float, Sequence[Config]], delta: float
) -> dict[str, Any]:
    """Returns what a curve over budgets says besides: when it is saturated, and whether it turns down.

    `x95_samples` is the budget of 95 % of the gain, `x95` the same in seconds and
    joules of each device; both need four budgets.
    """
    facts: dict[str, Any] = {"overfit": _overfit(records, levels, delta)}
    if len(levels) < 4:
        return facts
    facts["x95_samples"] = ratio_fact(_saturation(records, levels, list(levels)))
    costs = {}
    for device in sorted({table.device for task in records.tasks for table in task.runs}):
        for figure in ("train_s", "train_j"):
            amounts = [_mean_cost(records, found, figure, device) for found in levels.values()]
            known = [amount for amount in amounts if amount is not None]
            if len(known) == len(amounts) and bool(np.all(np.diff(known) > 0)):
                costs[f"{figure} of {device}"] = ratio_fact(_saturation(records, levels, known))
    return facts | ({"x95": costs} if costs else {})


def _overfit(
    records: StudyRecords, levels: Mapping[float, Sequence[Config]], delta: float
) -> dict[str, Any] | None:
    """Tells whether the largest budget is surely worse, and by more than delta, than the best earlier one.

    The best earlier one is chosen on half A, the difference estimated on half B.
    """
    halves = halves_of([task.table for task in records.tasks])
    *earlier, last = levels
    pairs = {low: averaged_pairs(levels[last], levels[low], {"train_samples"}) for low in earlier}
    known = {low: pair for low, pair in pairs.items() if pair}
    if halves is None or not known:
        return None
    best = min(known, key=lambda low: mean_of(halves[0], known[low]))
    effect = effect_of(contrasts_of(halves[1], known[best]))
    if effect is None:
        return None
    low, high = effect.interval(0.95) or (None, None)
    return {
        "best_earlier": best,
        "largest": last,
        "points": effect.estimate,
        "low": low,
        "high": high,
        "flag": effect.estimate < -delta and high is not None and high < 0,
    }


def _mean_cost(records: StudyRecords, configs: Sequence[Config], figure: str, device: str) -> float | None:
    values = [
        value
        for task in records.tasks
        for table in task.runs
        if table.device == device
        for config in configs
        for value in table.runs(figure, config.config_id)
    ]
    return float(np.mean(values)) if values and min(values) > 0 else None


def _saturation(
    records: StudyRecords, levels: Mapping[float, Sequence[Config]], amounts: Sequence[float]
) -> Ratio:
    """Fits quality against the budget; tasks are the units, or the users where there is one task."""
    tables = [task.table for task in records.tasks]
    weights = [{config.config_id: 1.0 / len(found) for config in found} for found in levels.values()]
    columns: list[list[float]] = []
    for entry in weights:
        found = [means for table in tables if (means := table.user_means(entry)) is not None]
        columns.append(
            [float(means.means.mean()) for means in found]
            if len(found) > 1
            else found[0].means.mean(axis=1).tolist()
        )
    if len({len(column) for column in columns}) != 1:
        return Ratio(None, None, None, "the budgets were not measured on the same users or tasks")
    return x95(np.array(amounts), np.array(columns).T)
