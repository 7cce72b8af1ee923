"""Who is worth choosing per device and task: Pareto fronts with uncertainty.

What does not fit the memory of the device, or a declared limit, is removed first and
listed. Joint draws: quality by multivariate t over users and seeds, the same draw for all
configurations; the logarithm of each cost by its mean and Student's t over runs. One draw
of both gives one front; the share of draws on it is P. Methods are compared by the
hypervolume of their fronts against one reference point, from the same draws.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgerig_controller.evidence.build import Evidence
from edgerig_controller.guidelines.claims import SESOI_MEMORY_RATIO, SESOI_POINTS, SESOI_RATIO
from edgerig_controller.guidelines.estimate import mean_interval
from edgerig_controller.guidelines.joint import DRAWS, replicates
from edgerig_controller.guidelines.matching import TaskEvidence, level
from edgerig_controller.guidelines.pareto import Axis, Member, Volume, best_by_utility, front, volumes
from edgerig_controller.guidelines.resources import RunTable
from edgerig_controller.guidelines.scores import Floats
from edgerig_controller.guidelines.utility import LATENCY, TRAINING, Utility, broken
from edgerig_controller.guidelines.words import method_words
from edgerig_controller.report.guide.decisions import quality_amount
from edgerig_controller.report.guide.model import Amount, FrontPlot, FrontPoint, Fronts, Reference
from edgerig_controller.report.numbers import unit_of

# Costs in the order in which one is chosen for the drawing. Of the latencies only the first that
# every configuration has counts; of the others all.
COSTS = (
    ("j_per_request", SESOI_RATIO),
    *((name, SESOI_RATIO) for name in LATENCY),
    ("rss_peak_bytes", SESOI_MEMORY_RATIO),
    (TRAINING, SESOI_RATIO),
)
MOST_PLOTS = 12
SEED = 20240607
# A configuration that does not train spends nothing on it: the logarithm of next to nothing.
NOTHING_SPENT_J = 1e-12
LARGEST_LOG = 200.0
# Hypervolumes: draws, axes (quality among them), and how far the reference lies beyond the dearest run:
# so far that even the dearest configuration spans half of each axis.
VOLUME_DRAWS, VOLUME_AXES, BEYOND = 1000, 4, 2.0


def fronts(evidence: Evidence, utility: Utility | None = None) -> Fronts:
    """Returns one plot per device and task.

    Args:
        evidence: the records.
        utility: limits that must hold, and what is worth how much.
    """
    found = []
    for task in evidence.records.tasks:
        for device in sorted({table.device for table in task.runs}):
            plot = _plot(evidence, task, device, utility or Utility())
            if plot is not None:
                found.append(plot)
    empty = (
        "" if found else "no device has scores and a cost (energy, latency or memory) of two configurations"
    )
    return Fronts(tuple(found[:MOST_PLOTS]), empty, max(0, len(found) - MOST_PLOTS))


@dataclass(frozen=True)
class _Candidates:
    """Configurations that have every axis, and why others lack one."""

    names: tuple[str, ...]
    costs: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def _plot(evidence: Evidence, task: TaskEvidence, device: str, utility: Utility) -> FrontPlot | None:
    values: dict[str, Mapping[str, tuple[float, ...]]] = {}
    for table in task.runs:
        if table.device == device:
            values |= _positive(table)
    scored = {name for name in task.table.configs if task.table.user_means({name: 1.0}) is not None}
    candidates = _candidates(evidence, task, device, values, scored, utility)
    if len(candidates.names) < 2 or not candidates.costs:
        return None
    means = _user_means(task, candidates.names)
    if means is None:
        return None
    axes = [Axis("quality", True, SESOI_POINTS.get(task.metric, 2.0))]
    axes += [Axis(name, False, dict(COSTS)[name]) for name in candidates.costs]
    drawn = _replicates(means, candidates, values)
    cost = candidates.costs[0]
    points = [
        _point(evidence, task, device, member, values[cost][member.config_id])
        for member in front(candidates.names, drawn, axes)
    ]
    reference = _reference(candidates, values)
    return FrontPlot(
        device=device,
        task=task.table.task,
        cost=cost,
        unit=unit_of(cost),
        axes=tuple(axis.name for axis in axes),
        points=tuple(sorted(points, key=lambda point: (-point.probability, point.config))),
        left_out=candidates.left_out,
        reference=tuple(
            Reference(name, limit, unit_of(name))
            for name, limit in zip(candidates.costs, reference, strict=False)
        ),
        volumes=_volumes(evidence, means, candidates, values, drawn, reference),
        best=_best(candidates, drawn, utility),
    )


def _volumes(
    evidence: Evidence,
    means: Floats,
    found: _Candidates,
    values: Mapping[str, Mapping[str, tuple[float, ...]]],
    drawn: Floats,
    reference: Sequence[float],
) -> tuple[Volume, ...]:
    """Compares methods by hypervolume: the share of the box between the reference point and the ideal one."""
    methods: dict[str, list[int]] = defaultdict(list)
    by_id = {config.config_id: config for config in evidence.records.configs}
    for at, name in enumerate(found.names):
        methods[method_words(str(level(by_id[name], "method.kind") or "none"))].append(at)
    if len(methods) < 2:
        return ()
    used = found.costs[: len(reference)]
    estimate = np.array(
        [[float(means[at].mean()) for at in range(len(found.names))]]
        + [[_log_mean(values, cost, name) for name in found.names] for cost in used]
    ).T
    estimate[:, 0] *= 100
    scale = np.array([100.0, *reference])

    def shares(points: Floats) -> Floats:
        """Turns points and log costs into shares: of 100 points, and of the reference's cost."""
        linear = points[..., : len(scale)].copy()
        linear[..., 1:] = _cost_of(linear[..., 1:])
        return np.asarray(np.minimum(linear / scale, 1e6))

    axes = [Axis("quality", True, 0.0), *(Axis(name, False, 0.0) for name in used)]
    corner = np.array([0.0, *[1.0] * len(used)])
    return volumes(
        dict(sorted(methods.items())), shares(estimate), shares(drawn[:VOLUME_DRAWS]), corner, axes
    )


def _reference(found: _Candidates, values: Mapping[str, Mapping[str, tuple[float, ...]]]) -> list[float]:
    """Returns the reference cost on each axis that volumes have: twice that of the dearest single run."""
    return [
        BEYOND * max(max(values[cost].get(name, (0.0,))) for name in found.names) or 1.0
        for cost in found.costs[: VOLUME_AXES - 1]
    ]


def _best(found: _Candidates, drawn: Floats, utility: Utility) -> tuple[tuple[str, float], ...]:
    """Returns how often each configuration has the highest declared utility, where a price was declared."""
    if not utility.points_per_joule or "j_per_request" not in found.costs:
        return ()
    at = 1 + found.costs.index("j_per_request")
    train = 1 + found.costs.index(TRAINING) if TRAINING in found.costs else None

    def worth(points: Floats) -> Floats:
        spent = _cost_of(points[..., at])
        if train is not None and utility.requests:
            spent = spent + _cost_of(points[..., train]) / utility.requests
        return np.asarray(points[..., 0] - utility.points_per_joule * spent)

    shares = best_by_utility(found.names, drawn, worth)
    return tuple(sorted(shares.items(), key=lambda entry: (-entry[1], entry[0])))


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
    utility: Utility,
) -> _Candidates:
    """Chooses the configurations and the costs that all of them have; says why others are left out."""
    here, states = set(), defaultdict(set)
    for run in evidence.runs:
        if run.task == task.table.task and run.device_id in (device, ""):
            name = evidence.config_of[run.trial_id]
            here.add(name)
            states[name].add(run.state)
    ran = here & scored & {name for found in values.values() for name in found}
    left = {name: ", ".join(sorted(states[name])) or "not measured" for name in here - ran}
    for name in sorted(ran):
        why = _does_not_fit(evidence, task, device, name, values, utility)
        if why:
            left[name] = why
    names = tuple(sorted(ran - set(left)))
    return _Candidates(names, _costs(evidence, names, values), tuple(sorted(left.items())))


def _costs(
    evidence: Evidence, names: Sequence[str], values: Mapping[str, Mapping[str, tuple[float, ...]]]
) -> tuple[str, ...]:
    """Returns the costs that count: those that every configuration has, else the front would drop some."""
    trains = {config.config_id for config in evidence.records.configs if config.facts.get("trains")}
    found: list[str] = []
    for name, _ in COSTS:
        needed = set(names) & trains if name == TRAINING and found else set(names)
        is_second_latency = name in LATENCY and any(other in LATENCY for other in found)
        if needed and not is_second_latency and needed <= set(values.get(name, {})):
            found.append(name)
    return tuple(found)


def _does_not_fit(
    evidence: Evidence,
    task: TaskEvidence,
    device: str,
    name: str,
    values: Mapping[str, Mapping[str, tuple[float, ...]]],
    utility: Utility,
) -> str:
    """Words the limit that a configuration breaks: a declared one, or the memory of its tier."""
    mine = {figure: found[name] for figure, found in values.items() if name in found}
    why = broken(utility, mine)
    if why:
        return why
    tiers = {
        evidence.tiers[tier].memory_bytes
        for run in evidence.runs
        if (run.task, run.device_id) == (task.table.task, device)
        and evidence.config_of[run.trial_id] == name
        and (tier := evidence.tier_of.get(run.trial_id))
    }
    if not tiers or "rss_peak_bytes" not in mine:
        return ""
    return broken(Utility(ram_bytes=float(min(tiers)), ram_margin=utility.ram_margin), mine)


def _user_means(task: TaskEvidence, names: Sequence[str]) -> Floats | None:
    """Returns configurations x users x seeds over what all of them have; None below two users."""
    rows = [task.table.configs.index(name) for name in names]
    cube = task.table.scores[rows]
    seeds = np.isfinite(cube).any(axis=1).all(axis=0)
    kept = np.isfinite(cube[:, :, seeds]).all(axis=(0, 2)) if seeds.any() else np.zeros(cube.shape[1], bool)
    users = task.table.user_of_item[kept]
    if len(np.unique(users)) < 2:
        return None
    starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]])
    counts = np.diff(np.r_[starts, len(users)])
    return np.asarray(np.add.reduceat(cube[:, kept][:, :, seeds], starts, axis=1) / counts[None, :, None])


def _replicates(
    means: Floats, found: _Candidates, values: Mapping[str, Mapping[str, tuple[float, ...]]]
) -> Floats:
    """Returns draws x configurations x axes: quality in points, then log costs."""
    quality = 100 * replicates(list(means)).draws
    rng = np.random.default_rng(SEED)
    costs = [
        np.stack([_drawn(values[cost].get(name, (NOTHING_SPENT_J,)), rng) for name in found.names], axis=1)
        for cost in found.costs
    ]
    return np.stack([quality, *costs], axis=-1)


def _cost_of(logs: Floats) -> Floats:
    """Undoes the logarithm; t with one degree of freedom draws more than a number can hold."""
    return np.asarray(np.exp(np.minimum(logs, LARGEST_LOG)))


def _log_mean(values: Mapping[str, Mapping[str, tuple[float, ...]]], cost: str, name: str) -> float:
    return float(np.log(values[cost].get(name, (NOTHING_SPENT_J,))).mean())


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
