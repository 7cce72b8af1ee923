"""The guideline object: a claim, its verdict, its scope, its evidence, and the sentence it may say.

All claims of a family are judged together, because their intervals depend on
how many there are (Holm). Pure; where the records come from (`Origin`) is
added by the caller that read them. The document's schema is in `document`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from edgerig_controller.guidelines.claims import LOG_RATIO, Claim
from edgerig_controller.guidelines.document import SCHEMA, SCHEMA_VERSION
from edgerig_controller.guidelines.effects import Effect
from edgerig_controller.guidelines.hypotheses import Finding
from edgerig_controller.guidelines.matching import StudyRecords, level
from edgerig_controller.guidelines.meta import p_value
from edgerig_controller.guidelines.multiplicity import benjamini_hochberg, holm, holm_levels
from edgerig_controller.guidelines.scores import Config, Contrast
from edgerig_controller.guidelines.verdict import Evidence, Interval, Judgement, Verdict, judge
from edgerig_controller.guidelines.wording import TEMPLATES, statement

__all__ = ["INSTRUMENT_CHECK", "SCHEMA", "Guideline", "judge_family"]

LEVEL, TOST_LEVEL = 0.95, 0.90
INSTRUMENT_CHECK = "instrument check"
ESTIMANDS = {
    "points": "mean over seeds of the mean over users of the mean over items, times 100, paired on the same "
    "users, items and seeds; mean over tasks as a random effect",
    LOG_RATIO: "difference of the mean logarithms of a figure of runs; mean over tasks and devices as a "
    "random effect",
    "rating": "difference of the RMSE of all items on the rating's scale; mean over tasks as a random effect",
}


@dataclass(frozen=True)
class Place:
    """The effect on one task (and device, where the figure is a device's); no verdict rests on it alone.

    `p_bh` is adjusted over the places of the claim after Benjamini and Hochberg.
    """

    task: str
    device: str
    estimate: float
    # With items instead of users weighed equally.
    micro: float | None
    interval_95: Interval | None
    p_bh: float | None
    n_users: int
    n_items: int
    n_seeds: int
    note: str


@dataclass(frozen=True)
class Scope:
    """What was covered, and therefore all that the statement is about."""

    tasks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    # Factor -> levels that occur on either side.
    ranges: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Origin:
    """Which records, code and registration a guideline comes from; empty where records were simulated.

    `first_run_unix_s` is the earliest start of a run that entered; with
    `registered_unix_s` at or before it the claim is pre-registered.
    """

    family: str = ""
    studies: tuple[Mapping[str, str], ...] = ()
    run_ids: tuple[str, ...] = ()
    data_sha256: str = ""
    config_sha256: str = ""
    code: Mapping[str, str] = field(default_factory=dict)
    registered_unix_s: float | None = None
    first_run_unix_s: float | None = None
    # D1 to D5 by task, where they were given.
    difficulty: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Guideline:
    """What may be said about one claim; figures in `unit`, positive = the claim's side.

    `interval` is the Holm-adjusted one that the verdict rests on, `interval_95`
    the same contrast taken alone. `contrast` maps configurations to weights.
    """

    claim_id: str
    source: str
    # Selectors, metric and direction of a study file's claim; empty for registered ones.
    asked: Mapping[str, Any]
    template: str
    statement: str
    label: str
    verdict: str
    strongly: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    estimand: str
    contrast: Mapping[str, float]
    unit: str
    delta: float
    estimate: float | None
    interval: Interval | None
    interval_95: Interval | None
    p_adjusted: float | None
    mde: float | None
    needed: Mapping[str, int | None] | None
    prediction: Interval | None
    heterogeneity_p: float | None
    n_users: int
    n_items: int
    n_seeds: int
    k_of_t: tuple[int, int]
    tasks: tuple[str, ...]
    places: tuple[Place, ...]
    positive_tasks: int
    negative_tasks: int
    counterexamples: tuple[str, ...]
    scope: Scope
    hardware: str
    preregistered: bool
    origin: Origin
    facts: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Returns the object of the JSON document (`SCHEMA`)."""
        return {"guideline": SCHEMA_VERSION, **asdict(self)}


def judge_family(
    records: StudyRecords, claims: Sequence[Claim], *, preregistered: bool = True
) -> tuple[Guideline, ...]:
    """Tests a family of claims together, Holm at 5 %.

    Claims without data stay in the family's size: they were registered, and
    whether their cells fail must not change the level of the others.
    """
    findings = [finding_of(records, claim) for claim in claims]
    p_values = [1.0 if found.effect is None else found.effect.p for found in findings]
    rows = zip(claims, findings, holm(p_values), holm_levels(p_values), strict=True)
    return tuple(
        judge_claim(records, claim, found, adjusted=adjusted, level=level, preregistered=preregistered)
        for claim, found, adjusted, level in rows
    )


def finding_of(records: StudyRecords, claim: Claim) -> Finding:
    """Measures one claim; an effect that rests on one training seed, or has no spread, is none."""
    return _with_spread(_with_seeds(records, claim.measure(records, claim.delta)))


def _with_spread(found: Finding) -> Finding:
    """Says why there is no interval where the contrasts themselves know it: one user, one run."""
    if found.effect is None or found.effect.se is not None:
        return found
    notes = _notes([entry for entry in found.effect.contrasts if entry.se is None])
    return replace(found, missing=(*found.missing, *notes), alternates=()) if notes else found


def _with_seeds(records: StudyRecords, found: Finding) -> Finding:
    """Takes an effect back that rests on one training seed: its interval lacks the luck of that seed."""
    if found.effect is None:
        return found
    trained = {config.config_id for config in records.configs if config.facts.get("trains")}
    lonely = [
        entry.task
        for entry in found.effect.contrasts
        if entry.n_seeds == 1 and entry.unit != LOG_RATIO and trained & set(entry.weights)
    ]
    if not lonely:
        return found
    reason = f"one seed for configurations that train ({', '.join(lonely)}): the luck of a seed is unknown"
    return replace(found, effect=None, missing=(reason,), alternates=())


def judge_claim(
    records: StudyRecords,
    claim: Claim,
    found: Finding,
    *,
    adjusted: float,
    level: float,
    tost_level: float = TOST_LEVEL,
    preregistered: bool = True,
) -> Guideline:
    """Judges one claim of a family at the levels that the family leaves it.

    Args:
        records: what was measured.
        claim: the claim.
        found: its finding in these records.
        adjusted: its p value, adjusted for the family.
        level: of the interval for a difference.
        tost_level: of the interval for equivalence.
        preregistered: it was fixed before the first run.
    """
    levels = (level, tost_level)
    evidence = _evidence(claim, found, found.effect, levels, _emulated(records))
    alternates = tuple(
        (name, judge(_evidence(claim, Finding(None), effect, levels, False)).verdict)
        for name, effect in found.alternates
    )
    evidence = replace(evidence, alternates=alternates)
    if claim.needs_second_definition:
        agreeing = any(verdict in (Verdict.SUPPORTED, Verdict.NEGLIGIBLE) for _, verdict in alternates)
        check = ("a second measure of difficulty supports it", agreeing)
        evidence = replace(evidence, checks=(*evidence.checks, check))
    judgement = judge(evidence, equivalence=claim.equivalence)
    return _object(records, claim, found, evidence, judgement, adjusted, preregistered)


def _object(
    records: StudyRecords,
    claim: Claim,
    found: Finding,
    evidence: Evidence,
    judgement: Judgement,
    adjusted: float,
    preregistered: bool,
) -> Guideline:
    effect = found.effect
    contrasts = effect.contrasts if effect else ()
    tasks = tuple(dict.fromkeys(entry.task for entry in contrasts))
    involved = _involved(records, contrasts)
    # Those whose own sign is the claim's or is not.
    signed = contrasts if effect is not None and effect.is_mean else ()
    return Guideline(
        claim_id=claim.claim_id,
        source=claim.source,
        asked=claim.asked,
        template=TEMPLATES[judgement.verdict],
        statement=statement(claim, judgement, effect, evidence.interval, tasks),
        label=_label(records, involved),
        verdict=judgement.verdict.value,
        strongly=judgement.strongly,
        reasons=judgement.reasons,
        notes=_notes(contrasts),
        estimand=ESTIMANDS.get(claim.unit, claim.unit),
        contrast=_weights(contrasts),
        unit=claim.unit,
        delta=claim.delta,
        estimate=evidence.estimate,
        interval=evidence.interval,
        interval_95=effect.interval(LEVEL) if effect else None,
        p_adjusted=adjusted if effect and effect.se is not None else None,
        mde=judgement.mde,
        needed=None if judgement.needed is None else asdict(judgement.needed),
        prediction=evidence.prediction,
        heterogeneity_p=evidence.heterogeneity_p,
        n_users=sum(entry.n_users for entry in contrasts),
        n_items=sum(entry.n_items for entry in contrasts),
        n_seeds=min((entry.n_seeds for entry in contrasts), default=0),
        k_of_t=(sum(entry.estimate > 0 for entry in signed), len(signed)),
        tasks=tasks,
        places=_places(contrasts),
        positive_tasks=evidence.positive_tasks,
        negative_tasks=evidence.negative_tasks,
        counterexamples=tuple(
            entry.task for entry in signed if (b := entry.interval(LEVEL)) is not None and b[1] < 0
        ),
        scope=_scope(contrasts, involved),
        hardware="emulated" if _emulated(records) else "measured",
        preregistered=preregistered,
        origin=Origin(),
        facts=found.facts,
    )


def _involved(records: StudyRecords, contrasts: Sequence[Contrast]) -> list[Config]:
    names = {name for entry in contrasts for name in entry.weights}
    return [config for config in records.configs if config.config_id in names]


def _label(records: StudyRecords, involved: Sequence[Config]) -> str:
    """Labels a claim whose models only test the instrument."""
    only_starters = bool(involved) and all(
        str(config.factors.get("model", "")).startswith("starter/") for config in involved
    )
    return INSTRUMENT_CHECK if records.instrument_check or only_starters else ""


def _weights(contrasts: Sequence[Contrast]) -> dict[str, float]:
    """Returns the weights of the contrast; of contrasts that differ by task, those of each."""
    total: dict[str, float] = {}
    for entry in contrasts:
        total |= entry.weights
    return dict(sorted(total.items()))


def _notes(contrasts: Sequence[Contrast]) -> tuple[str, ...]:
    """Says each note once, with the tasks that it holds for."""
    tasks: dict[str, list[str]] = {}
    for entry in contrasts:
        if entry.note:
            tasks.setdefault(entry.note, []).append(entry.task)
    return tuple(f"{', '.join(dict.fromkeys(names))}: {note}" for note, names in tasks.items())


def _places(contrasts: Sequence[Contrast]) -> tuple[Place, ...]:
    tested = [
        None if entry.se is None or entry.df is None else p_value(entry.estimate, entry.se, entry.df)
        for entry in contrasts
    ]
    adjusted = iter(benjamini_hochberg([p for p in tested if p is not None]))
    return tuple(
        Place(
            task=entry.task,
            device=entry.device,
            estimate=entry.estimate,
            micro=entry.micro,
            interval_95=entry.interval(LEVEL),
            p_bh=None if p is None else next(adjusted),
            n_users=entry.n_users,
            n_items=entry.n_items,
            n_seeds=entry.n_seeds,
            note=entry.note,
        )
        for entry, p in zip(contrasts, tested, strict=True)
    )


def _scope(contrasts: Sequence[Contrast], involved: Sequence[Config]) -> Scope:
    ranges: dict[str, tuple[Any, ...]] = {}
    for name in sorted({name for config in involved for name in config.factors} - {"model"}):
        found = {str(value): value for config in involved if (value := level(config, name)) is not None}
        ranges[name] = tuple(found[key] for key in sorted(found))
    return Scope(
        tasks=tuple(dict.fromkeys(entry.task.removesuffix(f" on {entry.device}") for entry in contrasts)),
        models=tuple(sorted({str(config.factors.get("model", "")) for config in involved})),
        devices=tuple(sorted({entry.device for entry in contrasts if entry.device})),
        ranges=ranges,
    )


def _evidence(
    claim: Claim, found: Finding, effect: Effect | None, levels: tuple[float, float], emulated_only: bool
) -> Evidence:
    if effect is None:
        return Evidence(claim.delta, None, None, None, None, None, missing=found.missing)
    # Places of a shape (H1) are gains that the shape is made of: their signs say nothing of the claim.
    positive, negative = effect.signs() if effect.is_mean else (0, 0)
    return Evidence(
        delta=claim.delta,
        estimate=effect.estimate,
        se=effect.se,
        df=effect.df,
        interval=effect.interval(levels[0]),
        tost=effect.interval(levels[1]),
        prediction=effect.prediction,
        heterogeneity_p=effect.heterogeneity_p,
        positive_tasks=positive,
        negative_tasks=negative,
        missing=found.missing,
        emulated_only=emulated_only,
        checks=found.checks,
        spread=effect.spread(),
        is_log_ratio=claim.unit == LOG_RATIO,
    )


def _emulated(records: StudyRecords) -> bool:
    return bool(records.tasks) and all(task.emulated for task in records.tasks)
