"""From an estimate to one of eight verdicts, by rules fixed before the data.

Order: first what could not be tested at all; then a statement that changes
with the registered definition; then supported, contradicted and equivalent;
then heterogeneous; and what is left is underpowered. A verdict is never given
without an interval. Pure; knows neither claims nor words of reports.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgerig_controller.guidelines.power import Needed, Spread, equivalence_reach, mde, needed

Interval = tuple[float, float]
HETEROGENEITY_ALPHA = 0.05


class Verdict(enum.Enum):
    """What the data say of a claim."""

    SUPPORTED = "supported"
    NEGLIGIBLE = "supported, negligible"
    EQUIVALENT = "equivalent"
    CONTRADICTED = "contradicted"
    UNDERPOWERED = "inconclusive: underpowered"
    HETEROGENEOUS = "inconclusive: heterogeneous"
    DEFINITION_DEPENDENT = "inconclusive: definition-dependent"
    NOT_TESTED = "not tested"


DECIDED = frozenset({Verdict.SUPPORTED, Verdict.NEGLIGIBLE, Verdict.EQUIVALENT, Verdict.CONTRADICTED})


@dataclass(frozen=True)
class Evidence:
    """All that a verdict is drawn from; estimates in one unit, positive = the claim's side.

    `interval` is the simultaneous (Holm-adjusted) 95 % interval, `tost` the 90 %
    interval. `positive_tasks` and `negative_tasks` count tasks whose own effect
    is significant after Holm; `heterogeneity_p` is Cochran's Q test over tasks.
    `missing` says in words what a required cell lacks. `checks` are
    conditions of the claim beside its contrast: (what, met).
    """

    delta: float
    estimate: float | None
    se: float | None
    df: float | None
    interval: Interval | None
    tost: Interval | None
    prediction: Interval | None = None
    heterogeneity_p: float | None = None
    positive_tasks: int = 0
    negative_tasks: int = 0
    missing: tuple[str, ...] = ()
    emulated_only: bool = False
    checks: tuple[tuple[str, bool], ...] = ()
    alternates: tuple[tuple[str, Verdict], ...] = ()
    spread: Spread | None = None
    # Figures are logarithms of ratios: reasons word them in percent.
    is_log_ratio: bool = False

    def words(self, value: float) -> str:
        """Words a size in the unit that people read."""
        return f"{100 * math.expm1(value):.3g} %" if self.is_log_ratio else f"{value:.3g}"


@dataclass(frozen=True)
class Judgement:
    """A verdict, why, and what more data would settle it (only where it is open)."""

    verdict: Verdict
    strongly: bool
    reasons: tuple[str, ...]
    mde: float | None
    needed: Needed | None


def judge(evidence: Evidence, *, equivalence: bool = False) -> Judgement:
    """Gives the verdict.

    Args:
        evidence: what is known.
        equivalence: the claim says that there is no difference; then more data
            are projected for two one-sided tests instead of a difference.

    Raises:
        ValueError: delta is not positive.
    """
    if not evidence.delta > 0:
        raise ValueError(f"delta is {evidence.delta}, expected a positive smallest effect of interest")
    untested = _untested(evidence)
    if untested:
        return Judgement(Verdict.NOT_TESTED, False, untested, None, None)
    assert evidence.se is not None and evidence.df is not None
    found = mde(evidence.se, evidence.df)
    verdict, reasons = _decide(evidence, found)
    strongly = verdict is Verdict.SUPPORTED and _bounds(evidence)[0] > evidence.delta
    is_open = verdict not in DECIDED and verdict is not Verdict.DEFINITION_DEPENDENT
    more = _more(evidence, equivalence) if is_open else None
    return Judgement(verdict, strongly, reasons, found, more)


def _untested(evidence: Evidence) -> tuple[str, ...]:
    if evidence.missing:
        return evidence.missing
    if evidence.estimate is None:
        return ("there is nothing to estimate from",)
    if evidence.emulated_only:
        return ("only emulated hardware was measured",)
    if evidence.se is None or evidence.df is None or evidence.interval is None or evidence.tost is None:
        return ("the data hold no spread to build an interval on",)
    return ()


def _bounds(evidence: Evidence) -> Interval:
    assert evidence.interval is not None
    return evidence.interval


def _decide(evidence: Evidence, found: float) -> tuple[Verdict, tuple[str, ...]]:
    verdict, reason = _by_interval(evidence)
    others = tuple(f"{name}: {other.value}" for name, other in evidence.alternates)
    if _flips(verdict, [other for _, other in evidence.alternates]):
        return Verdict.DEFINITION_DEPENDENT, (reason, *others)
    unmet = tuple(what for what, met in evidence.checks if not met)
    if verdict is Verdict.SUPPORTED and unmet:
        return Verdict.DEFINITION_DEPENDENT, (reason, *(f"not met: {what}" for what in unmet))
    if verdict is not None:
        return verdict, (reason,)
    split = _heterogeneous(evidence)
    if split:
        return Verdict.HETEROGENEOUS, (split,)
    size = "more than" if found > evidence.delta else "although it is at most"
    delta = evidence.words(evidence.delta)
    text = f"the minimal detectable effect is {evidence.words(found)}, {size} the {delta} of interest"
    return Verdict.UNDERPOWERED, (text,)


def _by_interval(evidence: Evidence) -> tuple[Verdict | None, str]:
    low, high = _bounds(evidence)
    assert evidence.tost is not None and evidence.estimate is not None
    delta, margin = evidence.delta, evidence.words(evidence.delta)
    inside = -delta < evidence.tost[0] and evidence.tost[1] < delta
    if low > 0 and inside:
        return (
            Verdict.NEGLIGIBLE,
            f"above 0, and the 90 % interval lies inside ±{margin}: real and irrelevant",
        )
    if low > 0 and evidence.estimate >= delta:
        return Verdict.SUPPORTED, f"the interval lies above 0 and the estimate is at least {margin}"
    if high < 0:
        small = f", by less than {margin}" if inside else ""
        return Verdict.CONTRADICTED, f"the interval lies below 0{small}"
    if inside:
        return Verdict.EQUIVALENT, f"the 90 % interval lies inside ±{margin}"
    return None, "the interval decides nothing"


def _flips(verdict: Verdict | None, alternates: Sequence[Verdict]) -> bool:
    """Tells whether registered definitions lead to different decisions; an open one contradicts none."""
    decided = {other for other in alternates if other in DECIDED} | ({verdict} if verdict else set())
    # Real and irrelevant agrees with both of its neighbours.
    if not decided & {Verdict.CONTRADICTED}:
        decided -= {Verdict.NEGLIGIBLE}
    return len(decided) > 1


def _heterogeneous(evidence: Evidence) -> str:
    if evidence.positive_tasks and evidence.negative_tasks:
        return (
            f"{evidence.positive_tasks} tasks are significantly positive and "
            f"{evidence.negative_tasks} significantly negative"
        )
    low, high = _bounds(evidence)
    if evidence.prediction is None or not low <= 0 <= high:
        return ""
    # Where tasks differ no more than their own errors, a wide prediction interval is lack of data.
    if evidence.heterogeneity_p is None or evidence.heterogeneity_p > HETEROGENEITY_ALPHA:
        return ""
    if evidence.prediction[0] < -evidence.delta and evidence.prediction[1] > evidence.delta:
        return f"a new task may lie beyond {evidence.words(evidence.delta)} on either side"
    return ""


def _more(evidence: Evidence, equivalence: bool) -> Needed | None:
    if evidence.spread is None or evidence.se is None or evidence.df is None:
        return None
    reach = equivalence_reach(1.0, evidence.df) if equivalence else mde(1.0, evidence.df)
    return needed(evidence.spread, evidence.delta / reach)
