"""What to run next: the trials that would settle open claims with the fewest device-hours.

For each open claim the variance components of its contrast say how much more
of one kind (seeds, users, tasks) brings the standard error to where the margin is found
(or equivalence shown) with 80 % power (`power`); the measured durations of the
cells that the claim looks at say what that costs. The cheapest kind wins. Seeds that two
claims need in the same cell are run once. Projections rest on estimated variances: they plan,
they prove nothing. Pure: no files, no store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgerig_controller.guidelines.claims import LOG_RATIO, Claim
from edgerig_controller.guidelines.effects import Effect
from edgerig_controller.guidelines.guideline import finding_of, judge_claim
from edgerig_controller.guidelines.hypotheses import Finding
from edgerig_controller.guidelines.matching import StudyRecords
from edgerig_controller.guidelines.multiplicity import holm, holm_levels
from edgerig_controller.guidelines.power import Needed, Spread, equivalence_reach, mde, needed
from edgerig_controller.guidelines.verdict import DECIDED, Verdict

Kind = Literal["seeds", "users", "tasks", "repeats"]
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Way:
    """One way to settle a claim: so many more of one kind, and what it costs; None = durations unknown."""

    kind: Kind
    more: int
    trials: int
    device_hours: float | None


@dataclass(frozen=True)
class OpenClaim:
    """An open claim, the ways to settle it (the cheapest first), or why there is none."""

    claim_id: str
    verdict: str
    margin: float
    mde: float | None
    unit: str
    cells: tuple[str, ...]
    ways: tuple[Way, ...]
    reason: str


@dataclass(frozen=True)
class Addition:
    """More seeds or repeats of one configuration, for the claims that need them."""

    config_id: str
    kind: Kind
    more: int
    device_hours: float | None
    claims: tuple[str, ...]


@dataclass(frozen=True)
class NextPlan:
    """What to run next. `additions` are seeds and repeats; users and tasks need data: see `claims`."""

    claims: tuple[OpenClaim, ...]
    settled: tuple[str, ...]
    additions: tuple[Addition, ...]
    device_hours: float | None


def plan_next(records: StudyRecords, claims: Sequence[Claim], durations_s: Mapping[str, float]) -> NextPlan:
    """Plans the cheapest additions that would settle the open claims.

    Args:
        records: what was measured.
        claims: as registered.
        durations_s: mean wall time of one trial, by configuration; those never run are missing.
    """
    findings = [finding_of(records, claim) for claim in claims]
    p_values = [1.0 if found.effect is None else found.effect.p for found in findings]
    rows = zip(claims, findings, holm(p_values), holm_levels(p_values), strict=True)
    found, settled = [], []
    for claim, finding, adjusted, level in rows:
        guideline = judge_claim(records, claim, finding, adjusted=adjusted, level=level)
        if Verdict(guideline.verdict) in DECIDED:
            settled.append(f"{claim.claim_id}: {guideline.verdict}")
            continue
        ways, reason = _ways(claim, finding, 1.0 - level, durations_s)
        found.append(
            OpenClaim(
                claim.claim_id,
                guideline.verdict,
                claim.delta,
                guideline.mde,
                claim.unit,
                tuple(sorted(finding.cells)),
                tuple(ways),
                reason or ("; ".join(guideline.reasons) if not ways else ""),
            )
        )
    additions = _additions(found, len(records.tasks), durations_s)
    hours = [entry.device_hours for entry in additions]
    total = None if any(value is None for value in hours) else math.fsum(value or 0.0 for value in hours)
    return NextPlan(tuple(found), tuple(settled), additions, total)


def _ways(
    claim: Claim,
    finding: Finding,
    alpha: float,
    durations_s: Mapping[str, float],
) -> tuple[list[Way], str]:
    effect = finding.effect
    if effect is None or effect.se is None or effect.df is None:
        return [], "; ".join(finding.missing) or "there is no spread to project from"
    tasks = max(1, len({entry.task for entry in effect.contrasts}))
    cost_s = _cost_s(finding.cells, durations_s)
    if claim.unit == LOG_RATIO:
        return _repeats(effect, claim, alpha, tasks, len(finding.cells), cost_s), ""
    spread = effect.spread()
    if spread is None:
        return [], "more data of these tasks are no remedy: the claim is about how tasks differ"
    reach = _reach(claim, effect.df, alpha)
    target = claim.delta / reach
    if effect.se <= target and effect.heterogeneity_p is not None and spread.tau2 > 0:
        return [], "the margin could be seen: tasks differ, and more data of them change nothing"
    return _ordered(needed(spread, target), spread, tasks, len(finding.cells), cost_s), _hopeless(
        spread, target
    )


def _reach(claim: Claim, df: float, alpha: float) -> float:
    """Returns how many standard errors the margin must be; alpha is what Holm leaves the claim."""
    return equivalence_reach(1.0, df) if claim.equivalence else mde(1.0, df, alpha=alpha)


def _ordered(more: Needed, spread: Spread, tasks: int, cells: int, cost_s: float | None) -> list[Way]:
    """Costs every kind that would do. A trial with twice the users is taken to last twice as long."""
    seeds, ways = spread.n_seeds, []
    if more.seeds:
        trials = more.seeds * cells * tasks
        ways.append(Way("seeds", more.seeds, trials, _hours(cost_s, more.seeds * tasks)))
    if more.users:
        trials = seeds * cells * tasks
        share = more.users / spread.n_users
        ways.append(Way("users", more.users, trials, _hours(cost_s, seeds * tasks * share)))
    if more.tasks:
        trials = more.tasks * seeds * cells
        ways.append(Way("tasks", more.tasks, trials, _hours(cost_s, more.tasks * seeds)))
    return sorted(
        ways, key=lambda way: (math.inf if way.device_hours is None else way.device_hours, way.trials)
    )


def _repeats(
    effect: Effect, claim: Claim, alpha: float, tasks: int, cells: int, cost_s: float | None
) -> list[Way]:
    """Projects runs of a time or an energy: its variance falls as one over the runs."""
    assert effect.se is not None and effect.df is not None
    runs = min((entry.n_seeds for entry in effect.contrasts), default=1)
    target = claim.delta / _reach(claim, effect.df, alpha)
    more = max(0, math.ceil(runs * (effect.se / target) ** 2 - 1e-9) - runs)
    if not more:
        return []
    return [Way("repeats", more, more * cells * tasks, _hours(cost_s, more * tasks))]


def _hopeless(spread: Spread, target: float) -> str:
    more = needed(spread, target)
    if any((more.seeds, more.users, more.tasks)):
        return ""
    return "no number of seeds, users or tasks of one kind would do; a larger margin would"


def _cost_s(cells: frozenset[str], durations_s: Mapping[str, float]) -> float | None:
    """Returns what one trial of every cell takes together; None where one was never run."""
    if not cells or any(name not in durations_s for name in cells):
        return None
    return math.fsum(durations_s[name] for name in sorted(cells))


def _hours(cost_s: float | None, rounds: float) -> float | None:
    return None if cost_s is None else cost_s * rounds / SECONDS_PER_HOUR


def _additions(
    claims: Sequence[OpenClaim], tasks: int, durations_s: Mapping[str, float]
) -> tuple[Addition, ...]:
    """Brings the seeds and repeats of all claims together: a cell runs as many as its neediest claim asks."""
    wanted: dict[tuple[str, Kind], dict[str, int]] = {}
    for claim in claims:
        if claim.ways and claim.ways[0].kind in ("seeds", "repeats"):
            for name in claim.cells:
                wanted.setdefault((name, claim.ways[0].kind), {})[claim.claim_id] = claim.ways[0].more
    found = []
    for (name, kind), asked in sorted(wanted.items()):
        more = max(asked.values())
        duration_s = durations_s.get(name)
        hours = None if duration_s is None else duration_s * more * tasks / SECONDS_PER_HOUR
        found.append(Addition(name, kind, more, hours, tuple(sorted(asked))))
    return tuple(found)
