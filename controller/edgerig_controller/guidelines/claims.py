"""Claims fixed before the first run: the registered H1 to H10, and those of a study file.

A claim has a margin (the smallest effect of interest), a unit and a measure.
`subject` completes sentences: "We could not tell whether SUBJECT." Sources: the
statements G1 to G9 of arXiv 2406.03777 as far as they could be recovered, and
2409.09510 for H10.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgerig_controller.guidelines import hypotheses, words
from edgerig_controller.guidelines.corpus import (
    DRAWS,
    Draws,
    corpus_contrast,
    rmse,
    squared_error_sums,
)
from edgerig_controller.guidelines.effects import effect_of
from edgerig_controller.guidelines.hypotheses import Finding, Measure, absent, measured
from edgerig_controller.guidelines.matching import Selector, StudyRecords, averaged_pairs, free_names
from edgerig_controller.guidelines.resources import log_contrast
from edgerig_controller.guidelines.scores import Contrast, ScoreTable

POINTS, LOG_RATIO = "points", "log ratio"
# Smallest effects of interest, fixed here: points of a hundred; 10 % for time and energy, 5 % for memory.
SESOI_POINTS = {"accuracy": 2.0, "rating": 5.0, "rouge1_f": 1.0, "rougeL_f": 1.0}
SESOI_RATIO = math.log(1.10)
SESOI_MEMORY_RATIO = math.log(1.05)
RMSE_SCALE = 4.0
# Factors whose plain name in a selector means their kind.
KINDED = ("method", "compression")
SESOI_RMSE = 0.05 * RMSE_SCALE


@dataclass(frozen=True)
class Claim:
    """A statement to be tested; `equivalence`: it says that there is no difference that matters."""

    claim_id: str
    source: str
    subject: str
    delta: float
    unit: str
    measure: Measure
    equivalence: bool = False
    # The claim holds only if one of its alternates supports it as well.
    needs_second_definition: bool = False
    # What is so where the effect has the other sign, and where it is too small to matter
    # (with a place for `{margin}`); '' = said by what is not so.
    opposite: str = ""
    alike: str = ""
    # -1 where a measured figure is to be smaller: the effect is that of the other side then.
    sign: float = 1.0
    # The selectors, metric and direction as the study file has them.
    asked: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Row:
    """A registered claim: what is said where it holds, where the opposite does, and where nothing matters."""

    claim_id: str
    source: str
    measure: Measure
    subject: str
    opposite: str
    alike: str
    equivalence: bool = False
    unit: str = POINTS


_TOGETHER = "RAG and LoRA together"
REGISTERED = (
    _Row(
        "H1", "G2", hypotheses.curvature_of_gain,
        "RAG's lead over LoRA is largest at middle difficulty",
        "RAG's lead over LoRA is smallest at middle difficulty",
        "RAG's lead over LoRA at middle difficulty is that at the ends to within {margin}",
    ),
    _Row(
        "H2", "G6", hypotheses.longer_training,
        "twice the sufficient training raises quality",
        "twice the sufficient training lowers quality",
        "twice the sufficient training changes quality by less than {margin}",
        equivalence=True,
    ),
    _Row(
        "H3a", "G8", hypotheses.compressed_small,
        "quantisation raises quality when history is scarce",
        "quantisation lowers quality when history is scarce",
        "quantisation changes quality by less than {margin} when history is scarce",
    ),
    _Row(
        "H3b", "G8", hypotheses.compressed_interaction,
        "quantisation costs less quality when history is scarce than when there is much",
        "quantisation costs more quality when history is scarce than when there is much",
        "quantisation costs the same quality with little history as with much, to within {margin}",
    ),
    _Row(
        "H3c", "G3", hypotheses.larger_quantised,
        "a larger quantised model beats a smaller full one",
        "a smaller full model beats a larger quantised one",
        "a larger quantised model and a smaller full one differ by less than {margin}",
    ),
    _Row(
        "H4", "G4", hypotheses.strong_over_weak,
        "LoRA and RAG both beat prompt tuning, prefix tuning and IA3",
        "the best of prompt tuning, prefix tuning and IA3 beats the weaker of LoRA and RAG",
        "the best of prompt tuning, prefix tuning and IA3 is as good as the weaker of LoRA and RAG, "
        "to within {margin}",
    ),
    _Row(
        "H5", "G5", hypotheses.rank_matters,
        "LoRA of rank 64 is better than LoRA of rank 8",
        "LoRA of rank 64 is worse than LoRA of rank 8",
        "LoRA of rank 64 and of rank 8 differ by less than {margin}",
        equivalence=True,
    ),
    _Row(
        "H6", "G7", hypotheses.more_history,
        "RAG is better with all of the history than with the sufficient part of it",
        "RAG is worse with all of the history than with the sufficient part of it",
        "RAG with all of the history and with the sufficient part of it differ by less than {margin}",
        equivalence=True,
    ),
    _Row(
        "H7", "G9", hypotheses.small_beats_large,
        "some smaller model beats a larger one",
        "every smaller model is worse than the larger ones",
        "the smaller model that does best against a larger one differs from it by less than {margin}",
    ),
    _Row(
        "H8", "summary", hypotheses.order_of_compressions,
        "quantised models beat pruned ones, and pruned ones beat distilled ones",
        "pruned models beat quantised ones, or distilled ones beat pruned ones",
        "one step of the order quantised, pruned, distilled is smaller than {margin}",
    ),
    _Row(
        "H9", "new", hypotheses.energy_of_requests,
        "a request costs more energy with RAG than with LoRA",
        "a request costs less energy with RAG than with LoRA",
        "a request costs the same energy with RAG as with LoRA, to within {margin}",
        unit=LOG_RATIO,
    ),
    _Row(
        "H10", "2409.09510", hypotheses.combination,
        f"{_TOGETHER} beat the better of the two",
        f"{_TOGETHER} are worse than the better of the two",
        f"{_TOGETHER} are as good as the better of the two, to within {{margin}}",
    ),
    _Row(
        "H10b", "2409.09510", hypotheses.combination_cold,
        f"{_TOGETHER} beat the better of the two for users with little history",
        f"{_TOGETHER} are worse than the better of the two for users with little history",
        f"{_TOGETHER} are as good as the better of the two for users with little history, "
        "to within {margin}",
    ),
)  # fmt: skip


def registered(delta: float = SESOI_POINTS["accuracy"]) -> tuple[Claim, ...]:
    """Returns H1 to H10 (H3 is three claims, H10 two), with one margin in points for quality."""
    return tuple(
        Claim(
            claim_id=row.claim_id,
            source=row.source,
            subject=row.subject,
            delta=SESOI_RATIO if row.unit == LOG_RATIO else delta,
            unit=row.unit,
            measure=row.measure,
            equivalence=row.equivalence,
            needs_second_definition=row.claim_id == "H1",
            opposite=row.opposite,
            alike=row.alike,
        )
        for row in REGISTERED
    )


def of_study(entry: Mapping[str, Any], *, draws: int = DRAWS) -> Claim:
    """Makes a claim of a study file's `{id, better, than, metric, margin, direction}`.

    A margin of 0 takes the smallest effect of interest of the metric. A metric
    of the catalogue is judged in points, `rmse` in the rating's own unit, any
    other name is a measured figure and judged as a log ratio with its margin in
    percent.

    Raises:
        ValueError: the direction is not `larger` or `smaller`.
    """
    metric, margin = str(entry["metric"]), float(entry.get("margin") or 0.0)
    direction = entry.get("direction") or ("smaller" if metric == "rmse" else "larger")
    if direction not in ("larger", "smaller"):
        raise ValueError(f"claim {entry['id']!r} has direction {direction!r}, expected larger or smaller")
    sign = 1.0 if direction == "larger" else -1.0
    asked = {
        "better": entry["better"],
        "than": entry["than"],
        "metric": metric,
        "margin": margin,
        "direction": direction,
    }
    if direction != ("smaller" if metric == "rmse" else "larger") and (
        metric in SESOI_POINTS or metric == "rmse"
    ):
        # Worse is asked for: the same question with the sides swapped.
        entry = {**entry, "better": entry["than"], "than": entry["better"]}
    sides, larger = (entry["better"], entry["than"]), direction == "larger"
    subject = words.comparison(*sides, metric, larger=larger)
    measure, unit, delta = _measured(entry, metric, margin, subject, sign, draws)
    return Claim(
        claim_id=str(entry["id"]),
        source="study file",
        subject=subject,
        delta=delta,
        unit=unit,
        measure=measure,
        opposite=_opposite(*sides, metric, larger=larger),
        alike=words.likeness(*sides, metric),
        sign=sign if unit == LOG_RATIO else 1.0,
        asked=asked,
    )


def _measured(
    entry: Mapping[str, Any], metric: str, margin: float, subject: str, sign: float, draws: int
) -> tuple[Measure, str, float]:
    """Returns how a claim's metric is measured, in which unit, and the smallest effect of interest in it."""
    if metric == "rmse":
        return _rmse_measure(entry, draws), "rating", margin or SESOI_RMSE
    if metric in SESOI_POINTS:
        measure = hypotheses.difference(entry["better"], entry["than"], subject)
        return measure, POINTS, margin or SESOI_POINTS[metric]
    usual = SESOI_MEMORY_RATIO if metric.endswith("_bytes") else SESOI_RATIO
    delta = math.log1p(margin / 100) if margin else usual
    return _ratio_measure(entry, metric, sign), LOG_RATIO, delta


def _opposite(better: Selector, than: Selector, metric: str, *, larger: bool) -> str:
    """Words the other sign: sides swapped for qualities, the other comparative for measured figures."""
    if metric in SESOI_POINTS or metric == "rmse":
        return words.comparison(than, better, metric, larger=larger)
    return words.comparison(better, than, metric, larger=not larger)


def contradictions(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Finds pairs of registered claims that cannot both hold: sides swapped or direction turned."""

    def side(entry: Mapping[str, Any]) -> tuple[str, str]:
        """Returns which side is said to have more of the metric, then the other."""
        usual = "smaller" if entry["metric"] == "rmse" else "larger"
        sides = (_canonical(entry["better"]), _canonical(entry["than"]))
        return sides[::-1] if (entry.get("direction") or usual) == "smaller" else sides

    return [
        (str(a["id"]), str(b["id"]))
        for index, a in enumerate(entries)
        for b in entries[index + 1 :]
        if a["metric"] == b["metric"] and side(a) == side(b)[::-1]
    ]


def _canonical(selector: Selector) -> str:
    """Writes a selector so that the order of its conditions and short forms do not matter."""
    full = {name if "." in name or name not in KINDED else f"{name}.kind": v for name, v in selector.items()}
    return json.dumps(full, sort_keys=True, default=str)


def _ratio_measure(entry: Mapping[str, Any], figure: str, sign: float) -> Measure:
    def measure(records: StudyRecords, delta: float) -> Finding:
        del delta
        sides = (records.select(entry["better"]), records.select(entry["than"]))
        pair = averaged_pairs(*sides, free_names(entry["better"], entry["than"]))
        if pair is None:
            return absent(f"the study has no pair of cells to compare in {figure}")
        weights = {name: sign * weight for name, weight in pair.items()}
        try:
            found = [log_contrast(runs, figure, weights) for task in records.tasks for runs in task.runs]
        except ValueError as error:
            return absent(str(error))
        contrasts = [contrast for contrast in found if contrast is not None]
        return (
            Finding(effect_of(contrasts), cells=frozenset(pair))
            if contrasts
            else absent(f"{figure} was not measured on both sides")
        )

    return measure


def _rmse_measure(entry: Mapping[str, Any], draws: int) -> Measure:
    def measure(records: StudyRecords, delta: float) -> Finding:
        del delta
        sides = (records.select(entry["better"]), records.select(entry["than"]))
        pair = averaged_pairs(*sides, free_names(entry["better"], entry["than"]))
        gap = measured(records, pair, "the two sides of an RMSE claim")
        if pair is None or gap.effect is None:
            return gap
        try:
            contrasts = [rmse_contrast(task.table, pair, draws) for task in records.tasks]
            return Finding(effect_of(contrasts), cells=frozenset(pair))
        except ValueError as error:
            return absent(str(error))

    return measure


def rmse_contrast(table: ScoreTable, pair: Mapping[str, float], draws: int) -> Contrast:
    """Estimates how much lower the RMSE of the better side is (positive = better).

    Raises:
        ValueError: an item lacks a score under some seed, or there is one user.
    """
    names = tuple(pair)
    rows = [table.configs.index(name) for name in names]
    part = ScoreTable(table.task, names, table.seeds, table.user_of_item, table.scores[rows])
    sums = squared_error_sums(part, scale=RMSE_SCALE)
    drawn = Draws.of(sums.shape[1], sums.shape[2], draws=draws)
    weights = -np.array([pair[name] for name in names])
    items = len(table.user_of_item)
    found = corpus_contrast(table.task, sums, weights, rmse, drawn, n_items=items, unit="rating")
    return replace(found, weights=dict(pair))
