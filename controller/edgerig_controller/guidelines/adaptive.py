"""When a study may stop: looks at registered claims that keep the error of one look at the end.

Seeds run in blocks. After some of them every open claim is judged at the level
that alpha spending leaves it (`sequential`), Holm over all registered claims;
what rejected claims had is handed on (Maurer and Bretz 2013). A claim is settled
when its verdict is decided at that level and the rest of the seeds will more likely
than not leave it so, when nothing of it can be tested, or when it is
futile: the predictive probability that the rest of the seeds decides it is
small (Spiegelhalter, Freedman and Blackburn 1986). Futility claims nothing, so it
costs no error; nor does going on with a decided claim, which is judged anew. Cells
that no open claim looks at need no further seed.

Information is the inverse variance of an effect, projected to all seeds from its
variance components: where users and tasks and not seeds make the spread, two
seeds may already hold most of it. A claim whose interval all further seeds would narrow
by a twentieth at most is complete, and spends what is left of its alpha: that depends on
variances alone and not on the estimate. Pure: the same records give the same decision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import ndtri

from edgerig_controller.guidelines.claims import LOG_RATIO, Claim
from edgerig_controller.guidelines.effects import Effect
from edgerig_controller.guidelines.guideline import Guideline, finding_of, judge_claim
from edgerig_controller.guidelines.hypotheses import Finding
from edgerig_controller.guidelines.matching import StudyRecords
from edgerig_controller.guidelines.resources import RunTable
from edgerig_controller.guidelines.sequential import nominal_levels
from edgerig_controller.guidelines.verdict import DECIDED, Evidence, Verdict, judge

ALPHA, TOST_ALPHA = 0.05, 0.10
FUTILE_BELOW = 0.20
# A decided claim goes on where the planned end will more likely than not say otherwise,
# such as that an effect is real beside being too small to matter.
STABLE_FROM = 0.50
# Share of the final information from which a claim is complete: intervals 5 % wider than the final ones.
COMPLETE_FROM = 0.90
FIRST_LOOK, MOST_LOOKS = 2, 5
# An interval needs some level, also at a look that may spend nothing.
_LEAST_LEVEL = 1e-9
_POINTS = 41


@dataclass(frozen=True)
class Look:
    """The records of a study's first seeds."""

    n_seeds: int
    records: StudyRecords


@dataclass(frozen=True)
class Standing:
    """Where a claim stands. `why` is open, decided, futile, untestable or complete.

    `n_seeds` is the look that settled it (the newest if it is open), `level` the
    nominal two-sided level of that look, `information` its share of the planned
    end's, `chance` the predictive probability that the planned end decides it or, of a
    decided claim, that the planned end says the same.
    """

    claim_id: str
    why: str
    n_seeds: int
    level: float
    information: float
    chance: float | None
    guideline: Guideline
    # Every configuration that the claim looks at.
    cells: frozenset[str]


@dataclass(frozen=True)
class Decision:
    """The outcome of all looks so far."""

    standings: tuple[Standing, ...]
    n_seeds: int

    @property
    def cells(self) -> frozenset[str]:
        """Returns the configurations that open claims still need."""
        return frozenset(name for entry in self.standings if entry.why == "open" for name in entry.cells)

    @property
    def settled(self) -> bool:
        """Tells whether no claim is open."""
        return bool(self.standings) and all(entry.why != "open" for entry in self.standings)

    @property
    def guidelines(self) -> tuple[Guideline, ...]:
        """Returns the verdicts, each as of the look that settled it."""
        return tuple(entry.guideline for entry in self.standings)


@dataclass
class _Course:
    """One claim on its way through the looks."""

    claim: Claim
    fractions: list[float] = field(default_factory=list)
    finding: Finding = field(default_factory=lambda: Finding(None))
    # The level that Holm left it when it was rejected.
    rejected_at: float | None = None
    standing: Standing | None = None

    @property
    def is_open(self) -> bool:
        return self.standing is None or self.standing.why == "open"

    def nominal(self, alpha: float) -> float:
        return max(nominal_levels(self.fractions, alpha)[-1], _LEAST_LEVEL)


def look_after(n_seeds: int) -> tuple[int, ...]:
    """Returns after how many seeds to look: from two on, at most five times, the last at the end.

    Raises:
        ValueError: there is no seed.
    """
    if n_seeds < 1:
        raise ValueError("a study has at least one seed")
    if n_seeds <= FIRST_LOOK:
        return (n_seeds,)
    count = min(MOST_LOOKS, n_seeds - FIRST_LOOK + 1)
    return tuple(sorted({round(value) for value in np.linspace(FIRST_LOOK, n_seeds, count)}))


def of_first_seeds(records: StudyRecords, seeds: Sequence[int]) -> StudyRecords:
    """Returns the records of some seeds; runs are taken to be one per seed, in the seeds' order."""

    def cut(runs: RunTable) -> RunTable:
        return replace(
            runs,
            figures={
                name: {config: values[: len(seeds)] for config, values in figures.items()}
                for name, figures in runs.figures.items()
            },
        )

    return replace(
        records,
        tasks=tuple(
            replace(
                task,
                table=task.table.of_seeds(seeds),
                runs=tuple(cut(runs) for runs in task.runs),
                failed=tuple(cell for cell in task.failed if cell.seed in seeds),
            )
            for task in records.tasks
        ),
    )


def decide(
    looks: Sequence[Look],
    claims: Sequence[Claim],
    *,
    planned_seeds: int,
    alpha: float = ALPHA,
    futile_below: float = FUTILE_BELOW,
) -> Decision:
    """Judges every look in order and says which claims are settled and what is still needed.

    Args:
        looks: all that were due, the earliest first, each with the records that it had.
        claims: as registered.
        planned_seeds: seeds of the whole study.
        alpha: family-wise two-sided level over all claims and looks.
        futile_below: predictive probability under which going on is not worth it.

    Raises:
        ValueError: no look, looks out of order, or more seeds than planned.
    """
    numbers = [look.n_seeds for look in looks]
    if not numbers or numbers != sorted(set(numbers)) or numbers[-1] > planned_seeds:
        raise ValueError(f"looks after {numbers} of {planned_seeds} seeds make no sequence")
    courses = [_Course(claim) for claim in claims]
    for look in looks:
        going = [course for course in courses if course.is_open]
        for course in going:
            course.finding = finding_of(look.records, course.claim)
            share = information(course.finding.effect, look.n_seeds, planned_seeds)
            course.fractions.append(1.0 if share >= COMPLETE_FROM else max([share, *course.fractions]))
        _reject(courses, going, alpha)
        open_count = len([course for course in courses if course.rejected_at is None])
        for course in going:
            course.standing = _stand(course, look, alpha / max(1, open_count), futile_below)
    standings = tuple(course.standing for course in courses if course.standing is not None)
    return Decision(standings, numbers[-1])


def information(effect: Effect | None, n_seeds: int, planned_seeds: int) -> float:
    """Returns the share of the planned end's information that an effect holds, at most 1.

    Spread between tasks counts for means over tasks only; a variance component
    that came out negative counts as none. Without components (time, energy) every
    seed brings the same.
    """
    if n_seeds >= planned_seeds:
        return 1.0
    share = n_seeds / planned_seeds
    known = [entry for entry in effect.contrasts if entry.components is not None] if effect else []
    if effect is None or not known or effect.unit == LOG_RATIO:
        return share
    user, seed, both = np.maximum(
        np.mean([entry.components for entry in known if entry.components is not None], axis=0), 0.0
    )
    users = float(np.mean([entry.n_users for entry in known]))
    floor = float(user) / users + (effect.tau2 if effect.is_mean else 0.0)
    per_seed = float(seed) + float(both) / users
    now, end = floor + per_seed / n_seeds, floor + per_seed / planned_seeds
    return max(share, end / now) if now > 0 else 1.0


def _reject(courses: Sequence[_Course], going: Sequence[_Course], alpha: float) -> None:
    """Holm over the looks: each rejection leaves more to those that are still open."""
    while True:
        left = [course for course in courses if course.rejected_at is None]
        if not left:
            return
        share = alpha / len(left)
        found = [
            course
            for course in going
            if course.rejected_at is None
            and course.finding.effect is not None
            and course.finding.effect.p <= course.nominal(share)
        ]
        if not found:
            return
        for course in found:
            course.rejected_at = share


def _stand(course: _Course, look: Look, share: float, futile_below: float) -> Standing:
    claim, found = course.claim, course.finding
    overall = course.rejected_at or share
    level = course.nominal(overall)
    tost = course.nominal(TOST_ALPHA)
    p = 1.0 if found.effect is None else found.effect.p
    guideline = judge_claim(
        look.records,
        claim,
        found,
        adjusted=min(1.0, p * overall / level) if level > _LEAST_LEVEL else 1.0,
        level=1.0 - level,
        tost_level=1.0 - tost,
    )
    why, chance = "open", None
    verdict = Verdict(guideline.verdict)
    if verdict is Verdict.NOT_TESTED:
        why = "untestable"
    elif course.fractions[-1] == 1.0:
        why = "decided" if verdict in DECIDED else "complete"
    elif found.effect is not None:
        chances = chances_at_end(claim, found.effect, course.fractions[-1], overall)
        if verdict in DECIDED:
            chance = chances.get(verdict, 0.0)
            why = "decided" if chance >= STABLE_FROM else "open"
        else:
            chance = sum(share for end, share in chances.items() if end in DECIDED)
            why = "futile" if chance < futile_below else "open"
    return Standing(
        claim.claim_id, why, look.n_seeds, level, course.fractions[-1], chance, guideline, found.cells
    )


def chances_at_end(claim: Claim, effect: Effect, fraction: float, alpha: float) -> dict[Verdict, float]:
    """Returns the predictive probability of each verdict at the planned end.

    The final estimate is normal around the present one with variance
    (1 - fraction) se^2, the error of what is known and of what is to come
    together; the final error is sqrt(fraction) se. Verdict rules as at the end.
    Empty where the effect has no standard error.
    """
    if effect.se is None or effect.df is None:
        return {}
    normal = ndtri((np.arange(_POINTS) + 0.5) / _POINTS)
    places = effect.estimate + effect.se * np.sqrt(1.0 - fraction) * normal
    counts: Counter[Verdict] = Counter()
    for place in places:
        final = replace(effect, estimate=float(place), se=effect.se * float(np.sqrt(fraction)))
        evidence = Evidence(
            claim.delta,
            final.estimate,
            final.se,
            final.df,
            final.interval(1.0 - alpha),
            final.interval(1.0 - TOST_ALPHA),
        )
        counts[judge(evidence).verdict] += 1
    return {verdict: count / _POINTS for verdict, count in counts.items()}
