"""Who is worth choosing per device and task: Pareto fronts with uncertainty.

Joint draws: quality by the crossed bootstrap of users and seeds, the same draw
for all configurations; the logarithm of each cost by its mean and Student's t
over runs. One draw of both gives one front; the share of draws on it is P.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgerig_controller.evidence.build import Evidence
from edgerig_controller.guidelines.claims import SESOI_MEMORY_RATIO, SESOI_POINTS, SESOI_RATIO
from edgerig_controller.guidelines.corpus import DRAWS, Draws
from edgerig_controller.guidelines.estimate import mean_interval
from edgerig_controller.guidelines.matching import TaskEvidence
from edgerig_controller.guidelines.pareto import Axis, Member, front
from edgerig_controller.guidelines.resources import RunTable
from edgerig_controller.guidelines.scores import Floats
from edgerig_controller.report.guide.decisions import quality_amount
from edgerig_controller.report.guide.model import Amount, FrontPlot, FrontPoint, Fronts
from edgerig_controller.report.numbers import unit_of

# Costs in the order in which one is chosen for the drawing; all that every configuration has count.
COSTS = (
    ("j_per_request", SESOI_RATIO),
    ("ttft_s", SESOI_RATIO),
    ("e2e_s", SESOI_RATIO),
    ("rss_peak_bytes", SESOI_MEMORY_RATIO),
)
MOST_PLOTS = 12
SEED = 20240607


def fronts(evidence: Evidence) -> Fronts:
    """Returns one plot per device and task."""
    found = []
    for task in evidence.records.tasks:
        for device in sorted({table.device for table in task.runs}):
            plot = _plot(evidence, task, device)
            if plot is not None:
                found.append(plot)
    empty = (
        "" if found else "no device has scores and a cost (energy, latency or memory) of two configurations"
    )
    return Fronts(tuple(found[:MOST_PLOTS]), empty)


@dataclass(frozen=True)
class _Candidates:
    """Configurations that have every axis, and why others lack one."""

    names: tuple[str, ...]
    costs: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def _plot(evidence: Evidence, task: TaskEvidence, device: str) -> FrontPlot | None:
    values: dict[str, Mapping[str, tuple[float, ...]]] = {}
    for table in task.runs:
        if table.device == device:
            values |= _positive(table)
    scored = {name for name in task.table.configs if task.table.user_means({name: 1.0}) is not None}
    candidates = _candidates(evidence, task, device, values, scored)
    if len(candidates.names) < 2 or not candidates.costs:
        return None
    drawn = _replicates(task, candidates, values)
    if drawn is None:
        return None
    axes = [Axis("quality", True, SESOI_POINTS.get(task.metric, 2.0))]
    axes += [Axis(name, False, epsilon) for name, epsilon in COSTS if name in candidates.costs]
    cost = candidates.costs[0]
    points = [
        _point(evidence, task, device, member, values[cost][member.config_id])
        for member in front(candidates.names, drawn, axes)
    ]
    return FrontPlot(
        device=device,
        task=task.table.task,
        cost=cost,
        unit=unit_of(cost),
        axes=tuple(axis.name for axis in axes),
        points=tuple(sorted(points, key=lambda point: (-point.probability, point.config))),
        left_out=candidates.left_out,
    )


def _point(
    evidence: Evidence, task: TaskEvidence, device: str, member: Member, cost: Sequence[float]
) -> FrontPoint:
    quality = task.table.contrast({member.config_id: 1.0})
    assert quality is not None
    runs = [
        run
        for run in evidence.usable()
        if evidence.config_of[run.trial_id] == member.config_id
        and (run.task, run.device_id) == (task.table.task, device)
    ]
    return FrontPoint(
        config=member.config_id,
        quality=quality_amount(quality),
        cost=_cost(cost),
        probability=member.probability,
        state=member.state,
        emulated=any(run.emulated_bytes for run in runs),
        run_ids=tuple(sorted(run.attempt_id for run in runs)),
    )


def _positive(table: RunTable) -> dict[str, Mapping[str, tuple[float, ...]]]:
    """Keeps the costs of a table whose values have a logarithm."""
    return {
        name: kept
        for name, _ in COSTS
        if (
            kept := {
                config: runs
                for config, runs in table.figures.get(name, {}).items()
                if all(value > 0 for value in runs)
            }
        )
    }


def _candidates(
    evidence: Evidence,
    task: TaskEvidence,
    device: str,
    values: Mapping[str, Mapping[str, tuple[float, ...]]],
    scored: set[str],
) -> _Candidates:
    here = {
        evidence.config_of[run.trial_id]
        for run in evidence.runs
        if run.task == task.table.task and run.device_id in (device, "")
    }
    ran = sorted(here & scored & {name for found in values.values() for name in found})
    # A cost counts where every configuration that ran has it; else the front would drop those without.
    costs = tuple(name for name, _ in COSTS if name in values and set(ran) <= set(values[name]))
    states = {name: set[str]() for name in here}
    for run in evidence.runs:
        if run.task == task.table.task and evidence.config_of[run.trial_id] in here - set(ran):
            states[evidence.config_of[run.trial_id]].add(run.state)
    left = [(name, ", ".join(sorted(found)) or "not measured") for name, found in sorted(states.items())]
    return _Candidates(tuple(ran), costs, tuple(entry for entry in left if entry[0] not in ran))


def _replicates(
    task: TaskEvidence, found: _Candidates, values: Mapping[str, Mapping[str, tuple[float, ...]]]
) -> Floats | None:
    """Returns draws x configurations x axes: quality in points, then log costs."""
    rows = [task.table.configs.index(name) for name in found.names]
    cube = task.table.scores[rows]
    seeds = np.isfinite(cube).any(axis=1).all(axis=0)
    kept = np.isfinite(cube[:, :, seeds]).all(axis=(0, 2)) if seeds.any() else np.zeros(cube.shape[1], bool)
    if not kept.any():
        return None
    users = task.table.user_of_item[kept]
    starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]])
    counts = np.diff(np.r_[starts, len(users)])
    means = np.add.reduceat(cube[:, kept][:, :, seeds], starts, axis=1) / counts[None, :, None]
    draws = Draws.of(means.shape[1], means.shape[2], draws=DRAWS, seed=SEED)
    quality = draws.figures(means[..., None], lambda sums: np.asarray(sums[..., 0]))
    quality = 100 * quality / (means.shape[1] * means.shape[2])
    rng = np.random.default_rng(SEED)
    costs = [
        np.stack([_drawn(values[cost][name], rng) for name in found.names], axis=1) for cost in found.costs
    ]
    return np.stack([quality, *costs], axis=-1)


def _drawn(runs: Sequence[float], rng: np.random.Generator) -> Floats:
    """Draws the mean logarithm of a cost; a single run has no known spread and does not move."""
    logs = np.log(runs)
    if len(logs) < 2:
        return np.full(DRAWS, float(logs.mean()))
    se = float(logs.std(ddof=1)) / np.sqrt(len(logs))
    return np.asarray(logs.mean() + se * rng.standard_t(len(logs) - 1, size=DRAWS))


def _cost(runs: Sequence[float]) -> Amount:
    found = mean_interval(runs)
    assert found.estimate is not None
    low = None if found.low is None else max(found.low, 0.0)
    return Amount(found.estimate, low, found.high)
