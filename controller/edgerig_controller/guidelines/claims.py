"""Claims fixed before the first run: the registered H1 to H10, and those of a study file.

A claim has a margin (the smallest effect of interest), a unit and a measure.
`subject` completes sentences: "We could not tell whether SUBJECT." Sources: the
statements G1 to G9 of arXiv 2406.03777 as far as they could be recovered, and
2409.09510 for H10.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgerig_controller.guidelines import hypotheses
from edgerig_controller.guidelines.corpus import (
    DRAWS,
    Draws,
    corpus_contrast,
    rmse,
    squared_error_sums,
)
from edgerig_controller.guidelines.effects import effect_of
from edgerig_controller.guidelines.hypotheses import Finding, Measure, absent, measured
from edgerig_controller.guidelines.matching import StudyRecords, averaged_pairs, free_names
from edgerig_controller.guidelines.resources import log_contrast
from edgerig_controller.guidelines.scores import Contrast, ScoreTable

POINTS, LOG_RATIO = "points", "log ratio"
# Smallest effects of interest, fixed here: points of a hundred; 10 % for time and energy, 5 % for memory.
SESOI_POINTS = {"accuracy": 2.0, "rating": 5.0, "rouge1_f": 1.0, "rougeL_f": 1.0}
SESOI_RATIO = math.log(1.10)
SESOI_MEMORY_RATIO = math.log(1.05)
RMSE_SCALE = 4.0
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


def registered(delta: float = SESOI_POINTS["accuracy"]) -> tuple[Claim, ...]:
    """Returns H1 to H10 (H3 is three claims, H10 two), with one margin in points for quality."""
    h = hypotheses
    rows: tuple[tuple[str, str, str, Measure, bool], ...] = (
        ("H1", "G2", "RAG's lead over LoRA is largest at middle difficulty", h.curvature_of_gain, False),
        ("H2", "G6", "twice the sufficient training changes quality", h.longer_training, True),
        ("H3a", "G8", "quantisation raises quality when history is scarce", h.compressed_small, False),
        ("H3b", "G8", "quantisation costs less when history is scarce", h.compressed_interaction, False),
        ("H3c", "G3", "a larger quantised model beats a smaller full one", h.larger_quantised, False),
        ("H4", "G4", "LoRA and RAG beat prompt tuning, prefix tuning and IA3", h.strong_over_weak, False),
        ("H5", "G5", "LoRA of rank 64 differs in quality from rank 8", h.rank_matters, True),
        ("H6", "G7", "all of the history changes RAG's quality", h.more_history, True),
        ("H7", "G9", "some smaller model beats a larger one", h.small_beats_large, False),
        ("H8", "summary", "quantised beats pruned, and pruned distilled", h.order_of_compressions, False),
        ("H9", "new", "a request costs more energy with RAG than with LoRA", h.energy_of_requests, False),
        ("H10", "2409.09510", "RAG and LoRA together beat the better of them", h.combination, False),
        (
            "H10b",
            "2409.09510",
            "RAG and LoRA together beat the better of them for users with little history",
            h.combination_cold,
            False,
        ),
    )
    return tuple(
        Claim(
            claim_id=claim_id,
            source=source,
            subject=subject,
            delta=SESOI_RATIO if claim_id == "H9" else delta,
            unit=LOG_RATIO if claim_id == "H9" else POINTS,
            measure=measure,
            equivalence=equivalence,
            needs_second_definition=claim_id == "H1",
        )
        for claim_id, source, subject, measure, equivalence in rows
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
    if direction != ("smaller" if metric == "rmse" else "larger") and (
        metric in SESOI_POINTS or metric == "rmse"
    ):
        # Worse is asked for: the same question with the sides swapped.
        entry = {**entry, "better": entry["than"], "than": entry["better"]}
    subject = f"{_words(entry['better'])} is better than {_words(entry['than'])} in {metric}"
    if metric == "rmse":
        measure, unit, delta = _rmse_measure(entry, draws), "rating", margin or SESOI_RMSE
    elif metric in SESOI_POINTS:
        measure = hypotheses.difference(entry["better"], entry["than"], subject)
        unit, delta = POINTS, margin or SESOI_POINTS[metric]
    else:
        usual = SESOI_MEMORY_RATIO if metric.endswith("_bytes") else SESOI_RATIO
        delta = math.log1p(margin / 100) if margin else usual
        measure, unit = _ratio_measure(entry, metric, sign), LOG_RATIO
    return Claim(str(entry["id"]), "study file", subject, delta, unit, measure)


def contradictions(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Finds pairs of registered claims that cannot both hold: sides swapped or direction turned."""

    def side(entry: Mapping[str, Any]) -> tuple[str, str]:
        turned = entry.get("direction") == "smaller" and entry["metric"] in SESOI_POINTS
        sides = (str(entry["better"]), str(entry["than"]))
        return (sides[1], sides[0]) if turned else sides

    return [
        (str(a["id"]), str(b["id"]))
        for index, a in enumerate(entries)
        for b in entries[index + 1 :]
        if a["metric"] == b["metric"] and side(a) == side(b)[::-1]
    ]


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


def _words(selector: Mapping[str, Any]) -> str:
    return " and ".join(f"{name} {value}" for name, value in selector.items())
