"""The sentence that a verdict may say: made from the verdict, so that prose cannot outrun evidence.

Pure; knows claims and judgements and nothing of reports.
"""

from __future__ import annotations

import math

from edgerig_controller.guidelines.claims import LOG_RATIO, Claim
from edgerig_controller.guidelines.effects import Effect
from edgerig_controller.guidelines.resources import percent
from edgerig_controller.guidelines.verdict import Interval, Judgement, Verdict

FEW_REASONS = 3
TEMPLATES = {
    Verdict.SUPPORTED: "{where}, {subject}: {figure}.",
    Verdict.NEGLIGIBLE: "{where}, {subject}, but by less than the {margin} that matter: {figure}.",
    Verdict.EQUIVALENT: "{where}, {alike}: {figure}.",
    Verdict.CONTRADICTED: "{where}, the opposite holds, that is, {opposite}: {figure}.",
    Verdict.HETEROGENEOUS: "{where}, whether {subject} depends on the task: {figure} on average.",
    Verdict.DEFINITION_DEPENDENT: (
        "{where}, whether {subject} depends on how it is defined, or only part of it holds: {figure}."
    ),
    Verdict.UNDERPOWERED: "We could not tell whether {subject}: {figure}.{settle}",
    Verdict.NOT_TESTED: "Not tested: whether {subject}. Why: {reasons}.",
}


def statement(
    claim: Claim,
    judgement: Judgement,
    effect: Effect | None,
    interval: Interval | None,
    places: tuple[str, ...],
) -> str:
    """Words what may be said; only a decided verdict states the claim.

    Args:
        claim: what was asked.
        judgement: what the data say of it.
        effect: the pooled effect; None where nothing could be estimated.
        interval: the one that the verdict rests on.
        places: the tasks (or task and device) that were contrasted.
    """
    untested = effect is None or interval is None or judgement.verdict is Verdict.NOT_TESTED
    template = TEMPLATES[Verdict.NOT_TESTED if untested else judgement.verdict]
    return template.format(
        where=_where(claim, places),
        subject=claim.subject,
        opposite=claim.opposite or f"it is not so that {claim.subject}",
        alike=_alike(claim),
        margin=size(claim.delta, claim.unit),
        figure="" if effect is None or interval is None else _figure(claim, effect.estimate, interval),
        settle=_settle(judgement),
        reasons=few(judgement.reasons),
    )


def _figure(claim: Claim, estimate: float, interval: Interval) -> str:
    """Words the effect as a sentence needs it: ratios as how many times as much the first side takes."""
    if claim.unit != LOG_RATIO:
        return figure(estimate, interval, claim.unit)
    low, high = sorted(math.exp(claim.sign * bound) for bound in interval)
    return f"{math.exp(claim.sign * estimate):.3g} times as much (from {low:.3g} to {high:.3g})"


def few(reasons: tuple[str, ...]) -> str:
    """Words the first three reasons: a study can lack hundreds of cells."""
    more = len(reasons) - FEW_REASONS
    return "; ".join(reasons[:FEW_REASONS]) + (f"; and {more} more" if more > 0 else "")


def _alike(claim: Claim) -> str:
    margin = size(claim.delta, claim.unit)
    if claim.alike:
        return claim.alike.format(margin=margin)
    return f"there is no difference of {margin} or more in whether {claim.subject}"


def _where(claim: Claim, places: tuple[str, ...]) -> str:
    if len(places) == 1:
        return f"On {places[0]}, the only {'place' if claim.unit == LOG_RATIO else 'task'} measured"
    what = "pairs of task and device" if claim.unit == LOG_RATIO else "tasks"
    return f"On the {len(places)} {what} measured"


def _settle(judgement: Judgement) -> str:
    needed = judgement.needed
    if needed is None:
        return ""
    counts = {"item": (needed.items, " per task"), "seed": (needed.seeds, ""), "task": (needed.tasks, "")}
    ways = [f"{n:,} more {name}{'s' if n > 1 else ''}{rest}" for name, (n, rest) in counts.items() if n]
    return f" By projection, {' or '.join(ways)} would settle it." if ways else ""


def size(value: float, unit: str) -> str:
    """Words a margin in its unit."""
    return f"{percent(value):.3g} %" if unit == LOG_RATIO else f"{value:.3g} {unit}"


def figure(estimate: float, interval: Interval, unit: str) -> str:
    """Words an estimate with its interval."""
    if unit == LOG_RATIO:
        low, high = percent(interval[0]), percent(interval[1])
        return _minus(f"{percent(estimate):+.3g} % (from {low:+.3g} to {high:+.3g})")
    return _minus(f"{estimate:+.3g} {unit} (from {interval[0]:+.3g} to {interval[1]:+.3g})")


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
