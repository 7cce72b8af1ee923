"""The sentence that a verdict may say: made from the verdict, so that prose cannot outrun evidence.

Pure; knows claims and judgements and nothing of reports.
"""

from __future__ import annotations

from edgerig_controller.guidelines.claims import LOG_RATIO, Claim
from edgerig_controller.guidelines.effects import Effect
from edgerig_controller.guidelines.resources import percent
from edgerig_controller.guidelines.verdict import Interval, Judgement, Verdict

FEW_REASONS = 3
TEMPLATES = {
    Verdict.SUPPORTED: "{where}, {subject}: {figure}.",
    Verdict.NEGLIGIBLE: "{where}, {subject}, by less than the {margin} that matter: {figure}.",
    Verdict.EQUIVALENT: "{where}, not by {margin} is it so that {subject}: {figure}.",
    Verdict.CONTRADICTED: "{where}, it is not so that {subject}; the opposite holds: {figure}.",
    Verdict.HETEROGENEOUS: "{where}, whether {subject} depends on the task: {figure}.",
    Verdict.DEFINITION_DEPENDENT: (
        "{where}, whether {subject} depends on how it is defined or is not complete: {figure}."
    ),
    Verdict.UNDERPOWERED: "We could not tell whether {subject}: {figure}.{settle}",
    Verdict.NOT_TESTED: "Not tested: whether {subject} ({reasons}).",
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
        margin=size(claim.delta, claim.unit),
        figure="" if effect is None or interval is None else figure(effect.estimate, interval, claim.unit),
        settle=_settle(judgement),
        reasons=_few(judgement.reasons),
    )


def _few(reasons: tuple[str, ...]) -> str:
    """Words the first three reasons: a study can lack hundreds of cells."""
    more = len(reasons) - FEW_REASONS
    return "; ".join(reasons[:FEW_REASONS]) + (f"; and {more} more" if more > 0 else "")


def _where(claim: Claim, places: tuple[str, ...]) -> str:
    singular, plural = (
        ("pair of task and device", "pairs of task and device")
        if claim.unit == LOG_RATIO
        else ("task", "tasks")
    )
    count = len(places)
    return f"On the one {singular} measured" if count == 1 else f"On the {count} {plural} measured"


def _settle(judgement: Judgement) -> str:
    needed = judgement.needed
    if needed is None:
        return ""
    counts = {"items per task": needed.items, "seeds": needed.seeds, "tasks": needed.tasks}
    ways = [f"{count:,} more {name}" for name, count in counts.items() if count]
    return f" By projection, any one of these would: {', '.join(ways)}." if ways else ""


def size(value: float, unit: str) -> str:
    """Words a margin in its unit."""
    return f"{percent(value):.3g} %" if unit == LOG_RATIO else f"{value:.3g} {unit}"


def figure(estimate: float, interval: Interval, unit: str) -> str:
    """Words an estimate with its interval."""
    if unit == LOG_RATIO:
        low, high = percent(interval[0]), percent(interval[1])
        return f"{percent(estimate):+.3g} % (from {low:+.3g} to {high:+.3g})"
    return f"{estimate:+.3g} {unit} (from {interval[0]:+.3g} to {interval[1]:+.3g})"
