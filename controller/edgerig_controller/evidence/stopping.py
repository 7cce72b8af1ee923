"""Which trials of a running study need not run any more, and why.

Two rules that a study file may ask for. `stop: when_settled`: after each due
block of seeds its claims are judged (guidelines.adaptive); cells that settled claims
alone look at are left out, and everything once all claims are settled.
`precision`: a cell's further repeats are left out once the intervals of its
latency and its energy are narrow enough. Pure: rows in, trials out; the same rows
give the same answer, so it may be asked as often as one likes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgerig_controller.evidence.build import build
from edgerig_controller.evidence.figures import named
from edgerig_controller.guidelines.adaptive import Decision, Look, Standing, decide, look_after
from edgerig_controller.guidelines.claims import Claim
from edgerig_controller.guidelines.estimate import mean_interval
from edgerig_controller.report.data import StudyData
from edgerig_controller.store.rows import MeasurementRow

WHEN_SETTLED = "when_settled"
OPEN_STATES = ("queued", "leased")
# What `precision` means by latency and by energy: the figures of a request.
FIGURES = {"latency": ("ttft_s", "tpot_s"), "energy": ("j_per_request",)}


@dataclass(frozen=True)
class LeftOut:
    """A trial that is still waiting and need not run."""

    trial_id: str
    reason: str


def has_rule(resolved: Mapping[str, Any]) -> bool:
    """Tells whether a study asks for any stopping at all."""
    return resolved.get("stop") == WHEN_SETTLED or bool(resolved.get("precision"))


def is_adaptive(data: StudyData) -> bool:
    """Tells whether a study stops when its claims are settled: then its verdicts are those of its looks."""
    return data.study.resolved.get("stop") == WHEN_SETTLED


def left_out(data: StudyData, claims: Sequence[Claim]) -> tuple[LeftOut, ...]:
    """Returns the waiting trials that need not run, by either rule, each once.

    Args:
        data: the study as it stands.
        claims: those of its file.
    """
    found: dict[str, LeftOut] = {}
    if is_adaptive(data):
        found |= {entry.trial_id: entry for entry in _by_claims(data, claims)}
    precision = data.study.resolved.get("precision")
    if precision:
        found = {entry.trial_id: entry for entry in _by_precision(data, precision)} | found
    needed = _watched(data, found)
    return tuple(found[key] for key in sorted(found) if key not in needed)


def _watched(data: StudyData, found: Mapping[str, LeftOut]) -> frozenset[str]:
    """Returns the canary's trials in blocks that go on: without them nobody sees the device drift there."""
    canary = data.study.resolved.get("canary_cell")
    waiting = [trial for trial in data.trials if trial.state in OPEN_STATES]
    going_on = {
        (trial.seed, trial.repeat)
        for trial in waiting
        if trial.cell_index != canary and trial.trial_id not in found
    }
    return frozenset(
        trial.trial_id
        for trial in waiting
        if trial.cell_index == canary and (trial.seed, trial.repeat) in going_on
    )


def decision(data: StudyData, claims: Sequence[Claim]) -> Decision | None:
    """Returns where the claims of an adaptive study stand; None before the first look is due."""
    seeds = [int(seed) for seed in data.study.resolved.get("seeds") or ()]
    if not seeds or not claims:
        return None
    looks = []
    for count in look_after(len(seeds)):
        if not _complete(data, seeds[:count]):
            break
        looks.append(Look(count, build([_of_seeds(data, seeds[:count])]).records))
    if not looks:
        return None
    return decide(looks, claims, planned_seeds=len(seeds))


def _complete(data: StudyData, seeds: Sequence[int]) -> bool:
    mine = [trial for trial in data.trials if trial.seed in seeds]
    return bool(mine) and not any(trial.state in OPEN_STATES for trial in mine)


def _of_seeds(data: StudyData, seeds: Sequence[int]) -> StudyData:
    def kept(rows: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(row for row in rows if row.seed in seeds)

    return replace(
        data,
        trials=kept(data.trials),
        attempts=kept(data.attempts),
        measurements=kept(data.measurements),
        scores=kept(data.scores),
    )


def _by_claims(data: StudyData, claims: Sequence[Claim]) -> list[LeftOut]:
    found = decision(data, claims)
    waiting = [trial for trial in data.trials if trial.state == "queued"]
    if found is None or not waiting:
        return []
    if found.settled:
        reason = f"settled: {'; '.join(words(entry) for entry in found.standings)}"
        return [LeftOut(trial.trial_id, reason) for trial in waiting]
    config_of = build([data]).config_of
    settled = [entry for entry in found.standings if entry.why != "open"]
    left = []
    for trial in waiting:
        name = config_of[trial.trial_id]
        looked = [entry for entry in settled if name in entry.cells]
        if looked and name not in found.cells:
            left.append(LeftOut(trial.trial_id, f"settled: {'; '.join(words(entry) for entry in looked)}"))
    return left


def words(standing: Standing) -> str:
    """Words where a claim stands, as a trial that was left out tells it."""
    verdict = standing.guideline.verdict
    seeds = f"{standing.n_seeds} seeds" if standing.n_seeds != 1 else "one seed"
    if standing.why == "futile":
        return (
            f"{standing.claim_id} {verdict} after {seeds}, and the rest would decide it "
            f"with probability {standing.chance or 0.0:.2f}"
        )
    if standing.why == "complete":
        return f"{standing.claim_id} {verdict} after {seeds}, and the rest would add almost nothing"
    return f"{standing.claim_id} {verdict} after {seeds}"


def _by_precision(data: StudyData, wanted: Mapping[str, Any]) -> list[LeftOut]:
    """Leaves out the further repeats of cells whose intervals are narrow on every device that ran them."""
    least = int(wanted.get("repeats") or 2)
    device_of = {row.attempt_id: row.device_id for row in data.results() if row.status == "ok"}
    rows: dict[str, list[MeasurementRow]] = defaultdict(list)
    for row in data.measurements:
        if row.attempt_id in device_of:
            rows[row.attempt_id].append(row)
    cell_of = {row.attempt_id: row.cell_index for row in data.results()}
    runs: dict[tuple[int, str], list[dict[tuple[str, str], float]]] = defaultdict(list)
    for attempt_id, mine in rows.items():
        runs[(cell_of[attempt_id], device_of[attempt_id])].append(named(mine))
    left = []
    for cell in data.cells:
        trials = [trial for trial in data.trials if trial.cell_index == cell.cell_index]
        early = [trial for trial in trials if trial.repeat <= least]
        waiting = [trial for trial in trials if trial.state == "queued" and trial.repeat > least]
        if not waiting or any(trial.state in OPEN_STATES for trial in early):
            continue
        reached = [
            narrow(figures, wanted) for (index, _), figures in runs.items() if index == cell.cell_index
        ]
        if reached and all(reached):
            reason = f"precise: {reached[0]}"
            left += [LeftOut(trial.trial_id, reason) for trial in waiting]
    return left


def narrow(runs: Sequence[Mapping[tuple[str, str], float]], wanted: Mapping[str, Any]) -> str:
    """Words how precise the figures of one cell and device are; '' where one is not precise enough.

    A figure is precise if half of its 95 % t interval over runs is at most the
    wanted share of its mean. A figure that no run has (energy without a power
    sensor) stops nothing; one that only some runs have is not precise.

    Args:
        runs: figures of each run by name and boundary.
        wanted: `latency` and `energy`, each a share; 0 or absent = not asked.
    """
    texts = []
    for what, figures in FIGURES.items():
        limit = float(wanted.get(what) or 0.0)
        keys = sorted({key for run in runs for key in run if key[0] in figures})
        for key in keys if limit else ():
            values = [run[key] for run in runs if key in run]
            found = mean_interval(values)
            if len(values) < len(runs) or not found.estimate or found.high is None:
                return ""
            share = (found.high - found.estimate) / abs(found.estimate)
            if share > limit:
                return ""
            texts.append(f"{key[0]} to {100 * share:.2g} %")
    return f"{', '.join(texts)} over {len(runs)} runs" if texts else ""
