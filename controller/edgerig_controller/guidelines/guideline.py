"""The guideline object: a claim, its verdict, its scope and its evidence, and the sentence it may say.

The sentence is made from the verdict, so that prose cannot outrun evidence.
All claims of a family are judged together, because their intervals depend on
how many there are (Holm). Pure; the caller adds digests and attempt ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgerig_controller.guidelines.claims import LOG_RATIO, Claim
from edgerig_controller.guidelines.effects import Effect
from edgerig_controller.guidelines.hypotheses import Finding
from edgerig_controller.guidelines.matching import StudyRecords
from edgerig_controller.guidelines.multiplicity import holm, holm_levels
from edgerig_controller.guidelines.resources import percent
from edgerig_controller.guidelines.verdict import Evidence, Interval, Judgement, Verdict, judge

LEVEL, TOST_LEVEL = 0.95, 0.90
INSTRUMENT_CHECK = "instrument check"


@dataclass(frozen=True)
class Guideline:
    """What may be said about one claim; figures in `unit`, positive = the claim's side.

    `interval` is the Holm-adjusted one that the verdict rests on, `interval_95`
    the same contrast taken alone.
    """

    claim_id: str
    source: str
    statement: str
    label: str
    verdict: str
    strongly: bool
    reasons: tuple[str, ...]
    unit: str
    delta: float
    estimate: float | None
    interval: Interval | None
    interval_95: Interval | None
    p_adjusted: float | None
    mde: float | None
    needed: Mapping[str, int | None] | None
    prediction: Interval | None
    n_users: int
    n_items: int
    n_seeds: int
    tasks: tuple[str, ...]
    positive_tasks: int
    negative_tasks: int
    counterexamples: tuple[str, ...]
    hardware: str
    preregistered: bool
    facts: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Returns the object of the JSON document (`SCHEMA`)."""
        return {"guideline": 1, **asdict(self)}


def judge_family(
    records: StudyRecords, claims: Sequence[Claim], *, preregistered: bool = True
) -> tuple[Guideline, ...]:
    """Tests a family of claims together, Holm at 5 %.

    Claims without data stay in the family's size: they were registered, and
    whether their cells fail must not change the level of the others.
    """
    findings = [claim.measure(records, claim.delta) for claim in claims]
    p_values = [1.0 if found.effect is None else found.effect.p for found in findings]
    rows = zip(claims, findings, holm(p_values), holm_levels(p_values), strict=True)
    return tuple(
        _guideline(records, claim, found, adjusted, level, preregistered)
        for claim, found, adjusted, level in rows
    )


def _guideline(
    records: StudyRecords, claim: Claim, found: Finding, adjusted: float, level: float, preregistered: bool
) -> Guideline:
    evidence = _evidence(claim, found, found.effect, level, _emulated(records))
    alternates = tuple(
        (name, judge(_evidence(claim, Finding(None), effect, level, False)).verdict)
        for name, effect in found.alternates
    )
    evidence = replace(evidence, alternates=alternates)
    if claim.needs_second_definition:
        agreeing = any(verdict in (Verdict.SUPPORTED, Verdict.NEGLIGIBLE) for _, verdict in alternates)
        check = ("a second measure of difficulty supports it", agreeing)
        evidence = replace(evidence, checks=(*evidence.checks, check))
    judgement = judge(evidence, equivalence=claim.equivalence)
    effect = found.effect
    contrasts = effect.contrasts if effect else ()
    negative = tuple(
        entry.task for entry in contrasts if (bounds := entry.interval(LEVEL)) is not None and bounds[1] < 0
    )
    tasks = tuple(dict.fromkeys(entry.task for entry in contrasts))
    return Guideline(
        claim_id=claim.claim_id,
        source=claim.source,
        statement=statement(claim, judgement, effect, evidence.interval, len(tasks)),
        label=INSTRUMENT_CHECK if records.instrument_check else "",
        verdict=judgement.verdict.value,
        strongly=judgement.strongly,
        reasons=judgement.reasons,
        unit=claim.unit,
        delta=claim.delta,
        estimate=evidence.estimate,
        interval=evidence.interval,
        interval_95=effect.interval(LEVEL) if effect else None,
        p_adjusted=adjusted if effect and effect.se is not None else None,
        mde=judgement.mde,
        needed=None if judgement.needed is None else asdict(judgement.needed),
        prediction=evidence.prediction,
        n_users=sum(entry.n_users for entry in contrasts),
        n_items=sum(entry.n_items for entry in contrasts),
        n_seeds=min((entry.n_seeds for entry in contrasts), default=0),
        tasks=tasks,
        positive_tasks=evidence.positive_tasks,
        negative_tasks=evidence.negative_tasks,
        counterexamples=negative,
        hardware="emulated" if _emulated(records) else "measured",
        preregistered=preregistered,
        facts=found.facts,
    )


def _evidence(
    claim: Claim, found: Finding, effect: Effect | None, level: float, emulated_only: bool
) -> Evidence:
    if effect is None:
        return Evidence(claim.delta, None, None, None, None, None, missing=found.missing)
    positive, negative = effect.signs()
    return Evidence(
        delta=claim.delta,
        estimate=effect.estimate,
        se=effect.se,
        df=effect.df,
        interval=effect.interval(level),
        tost=effect.interval(TOST_LEVEL),
        prediction=effect.prediction,
        heterogeneity_p=effect.heterogeneity_p,
        positive_tasks=positive,
        negative_tasks=negative,
        missing=found.missing,
        emulated_only=emulated_only,
        checks=found.checks,
        spread=effect.spread(),
    )


def _emulated(records: StudyRecords) -> bool:
    return bool(records.tasks) and all(task.emulated for task in records.tasks)


def statement(
    claim: Claim, judgement: Judgement, effect: Effect | None, interval: Interval | None, n_tasks: int
) -> str:
    """Words what may be said; only a decided verdict states the claim."""
    if effect is None or interval is None or judgement.verdict is Verdict.NOT_TESTED:
        return f"Not tested: whether {claim.subject} ({'; '.join(judgement.reasons)})."
    where = f"On the {n_tasks} tasks measured" if n_tasks != 1 else "On the one task measured"
    figure = _figure(effect.estimate, interval, claim)
    margin = _size(claim.delta, claim)
    sentences = {
        Verdict.SUPPORTED: f"{where}, {claim.subject}: {figure}.",
        Verdict.NEGLIGIBLE: f"{where}, {claim.subject}, by less than the {margin} that matter: {figure}.",
        Verdict.EQUIVALENT: f"{where}, not by {margin} is it so that {claim.subject}: {figure}.",
        Verdict.CONTRADICTED: f"{where}, it is not so that {claim.subject}; the opposite holds: {figure}.",
        Verdict.HETEROGENEOUS: f"{where}, whether {claim.subject} depends on the task: {figure}.",
        Verdict.DEFINITION_DEPENDENT: (
            f"{where}, whether {claim.subject} depends on how it is defined or is not complete: {figure}."
        ),
    }
    if judgement.verdict is Verdict.UNDERPOWERED:
        return f"We could not tell whether {claim.subject}: {figure}.{_settle(judgement)}"
    return sentences[judgement.verdict]


def _settle(judgement: Judgement) -> str:
    needed = judgement.needed
    if needed is None:
        return ""
    counts = {"items per task": needed.items, "seeds": needed.seeds, "tasks": needed.tasks}
    ways = [f"{count:,} more {name}" for name, count in counts.items() if count]
    return f" By projection, any one of these would: {', '.join(ways)}." if ways else ""


def _size(value: float, claim: Claim) -> str:
    return f"{percent(value):.3g} %" if claim.unit == LOG_RATIO else f"{value:.3g} {claim.unit}"


def _figure(estimate: float, interval: Interval, claim: Claim) -> str:
    if claim.unit == LOG_RATIO:
        low, high = percent(interval[0]), percent(interval[1])
        return f"{percent(estimate):+.3g} % (from {low:+.3g} to {high:+.3g})"
    return f"{estimate:+.3g} {claim.unit} (from {interval[0]:+.3g} to {interval[1]:+.3g})"


_NUMBER, _INTERVAL = (
    {"type": ["number", "null"]},
    {"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
)
_TEXTS = {"type": "array", "items": {"type": "string"}}
_PROPERTIES: dict[str, Any] = {
    "guideline": {"const": 1},
    "verdict": {"enum": [verdict.value for verdict in Verdict]},
    "needed": {"type": ["object", "null"]},
    "facts": {"type": "object"},
    **{name: {"type": "string"} for name in ("claim_id", "source", "statement", "label", "unit")},
    "hardware": {"enum": ["measured", "emulated"]},
    **{name: {"type": "boolean"} for name in ("strongly", "preregistered")},
    **dict.fromkeys(("reasons", "tasks", "counterexamples"), _TEXTS),
    **dict.fromkeys(("estimate", "p_adjusted", "mde"), _NUMBER),
    "delta": {"type": "number", "exclusiveMinimum": 0},
    **dict.fromkeys(("interval", "interval_95", "prediction"), _INTERVAL),
    **{
        name: {"type": "integer", "minimum": 0}
        for name in ("n_users", "n_items", "n_seeds", "positive_tasks", "negative_tasks")
    },
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "An edgerig guideline",
    "type": "object",
    "additionalProperties": False,
    "required": sorted(_PROPERTIES),
    "properties": _PROPERTIES,
}
