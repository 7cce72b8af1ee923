"""What to deploy in which memory: chosen on one half of the records, estimated on the other.

A winner's own selection score flatters it, so users (and, from four seeds on,
seeds) are split: half A chooses, half B estimates and says which others cannot
be told from the choice (simultaneous at 95 %, Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgerig_controller.evidence.build import Evidence
from edgerig_controller.evidence.runs import Run
from edgerig_controller.guidelines.matching import TaskEvidence
from edgerig_controller.guidelines.scores import Contrast, ScoreTable
from edgerig_controller.report.guide.model import Amount, Choice, TierTable

LEVEL = 0.95


def decisions(evidence: Evidence) -> tuple[TierTable, ...]:
    """Returns one table per size of memory, the smallest first."""
    tables = []
    for name, tier in sorted(evidence.tiers.items(), key=lambda entry: entry[1].memory_bytes):
        runs = [run for run in evidence.runs if evidence.tier_of.get(run.trial_id) == name]
        found = [_choice(evidence, task, runs) for task in evidence.records.tasks]
        choices = tuple(choice for choice in found if choice is not None)
        empty = "" if choices else "no configuration gave scores of two users or more here"
        tables.append(TierTable(name, tier.emulated, tier.devices, choices, empty))
    if tables:
        return tuple(tables)
    reason = "the memory of the devices is not known, so nothing can be said per size of memory"
    return (TierTable("unknown", False, (), (), reason),)


def _choice(evidence: Evidence, task: TaskEvidence, runs: Sequence[Run]) -> Choice | None:
    mine = [run for run in runs if run.task == task.table.task]
    config_of = evidence.config_of
    names = sorted({config_of[run.trial_id] for run in mine if run.scores})
    if not names or len(np.unique(task.table.user_of_item)) < 2:
        return None
    half_a, half_b = task.table.half(True), task.table.half(False)
    scored = {name: found.estimate for name in names if (found := half_a.contrast({name: 1.0})) is not None}
    if not scored:
        return None
    best = max(sorted(scored), key=lambda name: scored[name])
    quality = half_b.contrast({best: 1.0})
    if quality is None:
        return None
    rivals = _rivals(half_b, best, [name for name in names if name != best])
    costs = {name: _costs(evidence, name, mine) for name in (best, *rivals)}
    ok = [run for run in mine if run.scores and config_of[run.trial_id] in {best, *rivals}]
    failed = {(config_of[run.trial_id], run.state) for run in mine if run.status == "failed"}
    return Choice(
        task=task.table.task,
        metric=task.metric or "score",
        config=best,
        quality=quality_amount(quality),
        certainty="single" if len(names) == 1 else "either" if rivals else "clear",
        rivals=tuple(rivals),
        cheapest=_cheapest(costs),
        peak_bytes=costs[best][0],
        ttft_s=costs[best][1],
        j_per_request=costs[best][2],
        boundary=evidence.boundary,
        failed=tuple(f"{name}: {state}" for name, state in sorted(failed)),
        run_ids=tuple(sorted(run.attempt_id for run in ok)),
    )


def amount(found: Contrast) -> Amount:
    """Returns an estimate with its 95 % interval."""
    bounds = found.interval(LEVEL)
    low, high = bounds if bounds is not None else (None, None)
    return Amount(found.estimate, low, high)


def quality_amount(found: Contrast) -> Amount:
    """The same for a quality in points: its interval ends where the scale does."""
    whole = amount(found)
    if whole.low is None or whole.high is None:
        return whole
    return replace(whole, low=max(whole.low, 0.0), high=min(whole.high, 100.0))


def _rivals(table: ScoreTable, best: str, others: Sequence[str]) -> list[str]:
    """Returns those that the choice is not surely better than; incomparable ones among them."""
    level = 1 - (1 - LEVEL) / max(len(others), 1)
    found = []
    for name in others:
        contrast = table.contrast({best: 1.0, name: -1.0})
        bounds = contrast.interval(level) if contrast is not None else None
        if bounds is None or bounds[0] <= 0:
            found.append(name)
    return found


def _costs(
    evidence: Evidence, name: str, runs: Sequence[Run]
) -> tuple[float | None, float | None, float | None]:
    """Returns the largest peak of memory, mean time to first token and mean energy per request."""
    devices = {run.device_id for run in runs if run.scores}
    task = next((run.task for run in runs), "")
    tables = [table for table in evidence.tables.get(task, ()) if table.device in devices]
    plain = [table for table in tables if not table.boundary]
    peaks = [value for table in plain for value in table.runs("rss_peak_bytes", name)]
    times = [value for table in plain for value in table.runs("ttft_s", name)]
    joules = [
        value
        for table in tables
        if table.boundary and table.boundary == evidence.boundary
        for value in table.runs("j_per_request", name)
    ]
    return max(peaks, default=None), _mean(times), _mean(joules)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _cheapest(costs: dict[str, tuple[float | None, float | None, float | None]]) -> str:
    """Names the cheapest: by energy where all have it, else by latency, else by memory."""
    for at, what in ((2, "energy per request"), (1, "time to first token"), (0, "peak memory")):
        known = {name: found for name, cost in costs.items() if (found := cost[at]) is not None}
        if len(known) == len(costs) > 1:
            return f"{min(known, key=lambda name: known[name])} (by {what})"
    return ""
