"""Quality over training budget and history, and what compression does at each amount of history.

A curve joins configurations that agree in every factor but the one on the
axis. The budget is drawn three times: in samples, in seconds of the device and
in joules, because an hour means something else on every box.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgerig import documents
from edgerig_controller.evidence.build import Evidence
from edgerig_controller.evidence.runs import Run
from edgerig_controller.guidelines.estimate import mean_interval
from edgerig_controller.guidelines.matching import TaskEvidence, compression_family, level, matched_pairs
from edgerig_controller.guidelines.scores import Config
from edgerig_controller.report.data import factor_words
from edgerig_controller.report.guide.decisions import amount, quality_amount
from edgerig_controller.report.guide.model import Amount, Curve, CurvePlot, CurvePoint, Curves
from edgerig_controller.store.rows import PointRow

PointAmount = Callable[[PointRow], float | None]
MOST_CURVES = 6
BUDGET = "train_"
# A factor of the study file that holds the training budget.
BUDGET_FACTOR = "budget"
NO_JOULES = "In joules: no device measured the energy of training under two budgets."


def budgets(evidence: Evidence) -> Curves:
    """Returns quality over the training budget, per task in samples, and per device in seconds and joules.

    From points inside single trainings, and from configurations that differ in their budget only.
    """
    plots = _inside(evidence) + _between(evidence)
    if not plots:
        return Curves((), "no training was scored at points of its budget, and none was run with two budgets")
    note = "" if any("joules" in plot.title for plot in plots) else NO_JOULES
    return Curves(tuple(plots), "", note)


def _inside(evidence: Evidence) -> list[CurvePlot]:
    """Draws the points at which trainings paused and were scored; the run is the unit."""
    plots = []
    for task in evidence.records.tasks:
        runs = [run for run in evidence.usable() if run.task == task.table.task and run.points]
        views: list[tuple[str, str, list[Run], PointAmount]] = [
            ("in samples", "training samples", runs, lambda point: float(point.samples))
        ]
        for device in sorted({run.device_id for run in runs}):
            mine = [run for run in runs if run.device_id == device]
            views.append((f"in seconds of {device}", "training time in s", mine, lambda p: p.duration_s))
            views.append((f"in joules of {device}", "training energy in J", mine, _joules(evidence.boundary)))
        for title, x_name, chosen, amount_of in views:
            curves = _inner_curves(evidence, chosen, amount_of)
            if curves:
                plots.append(
                    CurvePlot(
                        task.table.task,
                        f"Inside trainings, {title}",
                        x_name,
                        "mean score over runs, points",
                        tuple(curves[:MOST_CURVES]),
                        max(0, len(curves) - MOST_CURVES),
                    )
                )
    return plots


def _joules(boundary: str) -> PointAmount:
    def amount_of(point: PointRow) -> float | None:
        return point.energy_j.get(boundary)

    return amount_of


def _inner_curves(evidence: Evidence, runs: Sequence[Run], amount_of: PointAmount) -> list[Curve]:
    by_config: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_config[evidence.config_of[run.trial_id]].append(run)
    curves = []
    for name, mine in sorted(by_config.items()):
        points: list[CurvePoint] = []
        for index in sorted({point.index for run in mine for point in run.points}):
            found = [point for run in mine for point in run.points if point.index == index]
            amounts = [x for point in found if (x := amount_of(point)) is not None]
            scores = [100 * point.score for point in found if point.score is not None]
            if amounts and scores:
                mean = mean_interval(scores)
                assert mean.estimate is not None
                x = float(np.mean(amounts))
                y = _cut(Amount(mean.estimate, mean.low, mean.high))
                ids = tuple(sorted(run.attempt_id for run in mine))
                points.append(CurvePoint(x, _label(x), y, ids))
        if len(points) > 1:
            curves.append(Curve(name, tuple(points)))
    return curves


def _cut(found: Amount) -> Amount:
    """Ends an interval of a quality where the scale ends."""
    if found.low is None or found.high is None:
        return found
    return Amount(found.value, max(found.low, 0.0), min(found.high, 100.0))


def _between(evidence: Evidence) -> list[CurvePlot]:
    """Draws configurations that agree in everything but their training budget."""
    groups = _groups(
        [config for config in evidence.records.configs if config.facts.get("trains")],
        lambda name: name.startswith(BUDGET) or name == BUDGET_FACTOR,
    )
    several = {key: mine for key, mine in groups.items() if len(mine) > 1}
    plots = []
    for task in evidence.records.tasks if several else ():
        views: list[tuple[str, str, AmountOf]] = [("in samples", "training samples", _samples)]
        # An hour or a joule of one box is not that of another: one drawing per device.
        for device in sorted({table.device for table in task.runs}):
            views.append((f"in seconds of {device}", "training time in s", _figure("train_s", device)))
            views.append((f"in joules of {device}", "training energy in J", _figure("train_j", device)))
        for title, x_name, amount_of in views:
            plot = _plot(evidence, task, several, amount_of, f"Training budget {title}", x_name)
            if plot is not None:
                plots.append(plot)
    return plots


def histories(evidence: Evidence) -> Curves:
    """Returns quality over the amount of history, per task."""
    groups = _groups(evidence.records.configs, lambda name: name == "history")
    several = {key: mine for key, mine in groups.items() if len({str(_history(c)) for c in mine}) > 1}
    if not several:
        return Curves((), "no configuration was run with two amounts of history or more")
    plots = [
        plot
        for task in evidence.records.tasks
        if (plot := _plot(evidence, task, several, _history_x, "History", "items of history per user"))
    ]
    return Curves(tuple(plots), "" if plots else "the configurations have no scores")


def interactions(evidence: Evidence) -> Curves:
    """Returns compressed minus full precision over the amount of history, per task."""
    configs = evidence.records.configs
    full = [config for config in configs if compression_family(config) == "none"]
    kinds = sorted({_kind(config) for config in configs if compression_family(config) != "none"})
    if not kinds:
        return Curves((), "no configuration was compressed")
    by_id = {config.config_id: config for config in configs}
    plots = []
    for task in evidence.records.tasks:
        curves = []
        for kind in kinds:
            mine = [config for config in configs if _kind(config) == kind]
            pairs: dict[float, list[Mapping[str, float]]] = defaultdict(list)
            for pair in matched_pairs(mine, full, {"compression"}):
                if all(task.table.has(name) for name in pair):
                    pairs[_history_x(evidence, task, by_id[next(iter(pair))]) or 0.0].append(pair)
            points = [_difference(evidence, task, x, found) for x, found in sorted(pairs.items())]
            curves.append(Curve(kind, tuple(point for point in points if point is not None)))
        drawn = tuple(curve for curve in curves if curve.points)
        if drawn:
            plots.append(
                CurvePlot(
                    task.table.task,
                    "Compression x history",
                    "items of history per user",
                    "points against no compression",
                    drawn[:MOST_CURVES],
                    max(0, len(drawn) - MOST_CURVES),
                )
            )
    if not plots:
        return Curves((), "no compressed configuration has a partner without compression that gave scores")
    lonely = all(len(curve.points) < 2 for plot in plots for curve in plot.curves)
    note = (
        "One amount of history only: whether compression and history interact is unknown." if lonely else ""
    )
    return Curves(tuple(plots), "", note)


def _difference(
    evidence: Evidence, task: TaskEvidence, x: float, pairs: Sequence[Mapping[str, float]]
) -> CurvePoint | None:
    total: dict[str, float] = {}
    for pair in pairs:
        for name, weight in pair.items():
            total[name] = total.get(name, 0.0) + weight / len(pairs)
    found = task.table.contrast(total)
    if found is None:
        return None
    return CurvePoint(x, _label(x), amount(found), _ids(evidence, task, set(total)))


def _groups(configs: Sequence[Config], is_free: Callable[[str], bool]) -> dict[str, list[Config]]:
    """Sorts configurations by everything but the free factors."""
    groups: dict[str, list[Config]] = defaultdict(list)
    for config in configs:
        fixed = {name: value for name, value in config.factors.items() if not is_free(name)}
        groups[documents.canonical_bytes(fixed).decode()].append(config)
    return dict(sorted(groups.items()))


AmountOf = Callable[[Evidence, TaskEvidence, Config], float | None]


def _plot(
    evidence: Evidence,
    task: TaskEvidence,
    groups: Mapping[str, Sequence[Config]],
    amount_of: AmountOf,
    title: str,
    x_name: str,
) -> CurvePlot | None:
    curves = []
    for mine in groups.values():
        points = []
        for config in mine:
            x = amount_of(evidence, task, config)
            quality = (
                task.table.contrast({config.config_id: 1.0}) if task.table.has(config.config_id) else None
            )
            if x is not None and quality is not None:
                ids = _ids(evidence, task, {config.config_id})
                points.append(CurvePoint(x, _label(x), quality_amount(quality), ids))
        if len({point.x for point in points}) > 1:
            points.sort(key=lambda point: point.x)
            curves.append(Curve(_name(mine[0], title), tuple(points)))
    if not curves:
        return None
    left = max(0, len(curves) - MOST_CURVES)
    y_name = f"{task.metric or 'score'}, points"
    return CurvePlot(task.table.task, title, x_name, y_name, tuple(curves[:MOST_CURVES]), left)


def _name(config: Config, title: str) -> str:
    """Names a curve by what its configurations share and what tells curves apart."""
    words = [str(config.factors.get("model", "")), factor_words(config.factors.get("method", ""))]
    if _kind(config) != "none":
        words.append(_kind(config))
    history = config.factors.get("history")
    if history is not None and title != "History":
        words.append(f"n={history}")
    others = set(config.factors) - {"model", "method", "compression", "history"}
    is_budget = title.startswith("Training")
    words += [
        f"{name}={config.factors[name]}"
        for name in sorted(others)
        if not (is_budget and (name.startswith(BUDGET) or name == BUDGET_FACTOR))
    ]
    return " ".join(words)


def _kind(config: Config) -> str:
    return factor_words(config.factors.get("compression") or {"kind": "none"})


def _history(config: Config) -> Any:
    return level(config, "history")


def _history_x(evidence: Evidence, task: TaskEvidence, config: Config) -> float | None:
    del evidence, task
    value = _history(config)
    if value == "all":
        return math.inf
    return None if not isinstance(value, (int, float)) else math.inf if value < 0 else float(value)


def _label(x: float) -> str:
    return "all" if math.isinf(x) else f"{x:.4g}"


def _samples(evidence: Evidence, task: TaskEvidence, config: Config) -> float | None:
    runs = [
        int(run.worker.get("train_sample_count") or 0)
        for run in evidence.usable()
        if evidence.config_of[run.trial_id] == config.config_id and run.task == task.table.task
    ]
    return float(np.mean(runs)) if runs and all(runs) else None


def _figure(name: str, device: str) -> AmountOf:
    """Takes a figure of training from the runs of one device."""

    def amount_of(evidence: Evidence, task: TaskEvidence, config: Config) -> float | None:
        del evidence
        found = [
            value
            for table in task.runs
            if table.device == device
            for value in table.runs(name, config.config_id)
        ]
        return float(np.mean(found)) if found else None

    return amount_of


def _ids(evidence: Evidence, task: TaskEvidence, names: set[str]) -> tuple[str, ...]:
    return tuple(
        sorted(
            run.attempt_id
            for run in evidence.usable()
            if run.task == task.table.task and evidence.config_of[run.trial_id] in names
        )
    )
