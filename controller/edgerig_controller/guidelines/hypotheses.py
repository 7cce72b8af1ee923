"""How each registered hypothesis is measured: from records to a `Finding`.

Every function takes the records and returns the effect, what is missing, and
further conditions. What is chosen (a best method, a budget, an amount of
history) is chosen on one half of users and seeds and estimated on the other.
The claims themselves, their margins and wording, are in `claims`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import linregress

from edgerig_controller.guidelines.curvature import curvature, two_lines
from edgerig_controller.guidelines.effects import effect_of
from edgerig_controller.guidelines.extremes import extreme_of, isotonic_facts, size_pairs
from edgerig_controller.guidelines.finding import (
    NOTHING_COMMON,
    ONE_USER,
    Finding,
    Measure,
    absent,
    contrasts_of,
    difference,
    halves_of,
    mean_of,
    measured,
)
from edgerig_controller.guidelines.levels import amount_of, budget_facts, by_level, enough
from edgerig_controller.guidelines.matching import (
    StudyRecords,
    TaskEvidence,
    Weights,
    averaged_pairs,
    compression_family,
    matched_pairs,
)
from edgerig_controller.guidelines.resources import RunTable, cost_facts, fieller, log_contrast, ratio_fact
from edgerig_controller.guidelines.scores import Config, Floats, average

__all__ = ["Finding", "Measure", "absent", "difference", "measured"]

RAG, LORA, BOTH = {"method.kind": "rag"}, {"method.kind": "lora"}, {"method.kind": "rag-lora"}
STRONG = ("lora", "rag")
WEAK = ("prompt", "prefix", "ia3")
COLD_SHARE = 0.25
NOT_ALL = "RAG, LoRA and both together are all needed"
# Fewer tasks than this are too few for a line on each side of a vertex.
TASKS_FOR_LINES = 12
SIMPLER = ("D3", "D5")
NO_DIFFICULTY = (
    "difficulty D1 on at least five tasks, of three values or more, is needed: plan a model that is run "
    "without method and compression only, as the reference, or give --difficulty FILE"
)
RANK_COSTS = ("rss_peak_bytes", "train_j", "train_s")


def curvature_of_gain(records: StudyRecords, delta: float) -> Finding:
    """H1: how much higher RAG minus LoRA lies in the middle of difficulty than at the ends."""
    del delta
    weights = averaged_pairs(records.select(RAG), records.select(LORA), {"method"})
    if not weights:
        return absent("the study has no matched pair of RAG and LoRA")
    missing = records.failures_of(weights)
    common = set.intersection(*(set(task.difficulty or {}) for task in records.tasks))
    names = [name for name in sorted(common) if len({(t.difficulty or {})[name] for t in records.tasks}) >= 3]
    if missing or "D1" not in names or len(records.tasks) < 5:
        few = () if missing else (NO_DIFFICULTY,)
        return Finding(None, missing + few)
    contrasts = contrasts_of([task.table for task in records.tasks], weights)
    if len(contrasts) < len(records.tasks):
        return absent(f"{NOTHING_COMMON}: RAG and LoRA")
    gains = np.array([entry.estimate for entry in contrasts])
    found = {
        name: curvature(np.array([(task.difficulty or {})[name] for task in records.tasks]), gains)
        for name in names
    }
    effects = {name: replace(bend.effect, contrasts=tuple(contrasts)) for name, bend in found.items()}
    main = found["D1"]
    checks = [("the vertex lies inside the measured difficulties", main.vertex_inside)]
    lines = two_lines(np.array([(task.difficulty or {})["D1"] for task in records.tasks]), gains, main.vertex)
    if lines is not None and len(records.tasks) >= TASKS_FOR_LINES:
        checks.append(("a line left of the vertex rises and one right of it falls", lines[0] > 0 > lines[1]))
    return Finding(
        effects["D1"],
        checks=tuple(checks),
        alternates=tuple((name, effect) for name, effect in effects.items() if name != "D1"),
        facts={"vertex": main.vertex, "two_lines": lines, "rivals": _rivals(records, gains)},
        cells=frozenset(weights),
    )


def _rivals(records: StudyRecords, gains: Floats) -> dict[str, Any]:
    """Returns how gains go with D3 and D5 alone: the simpler explanation, a straight line."""
    found = {}
    for name in SIMPLER:
        values = [(task.difficulty or {}).get(name) for task in records.tasks]
        known = [value for value in values if value is not None]
        if len(known) == len(values) and len(set(known)) > 2:
            line = linregress(known, gains)
            found[name] = {
                "slope_points": float(line.slope),
                "r": float(line.rvalue),
                "p": float(line.pvalue),
            }
    return found


def longer_training(records: StudyRecords, delta: float) -> Finding:
    """H2: quality at twice the smallest sufficient budget minus quality at it."""
    by_budget = by_level(records, LORA, "train_samples")
    candidates = [budget for budget in by_budget if 2 * budget in by_budget]
    found = enough(records, delta, by_budget, {b: 2 * b for b in candidates}, "train_samples")
    if found.effect is None:
        return found
    return replace(found, facts={**found.facts, **budget_facts(records, by_budget, delta)})


def more_history(records: StudyRecords, delta: float) -> Finding:
    """H6: RAG with all of the history minus RAG with the smallest sufficient part of it."""
    by_history = by_level(records, RAG, "history")
    largest = max(by_history, default=0.0)
    return enough(records, delta, by_history, {n: largest for n in by_history if n != largest}, "history")


def compressed_small(records: StudyRecords, delta: float) -> Finding:
    """H3a: quantised minus full precision, same base and method, at the smallest history."""
    del delta
    return measured(records, _compressed(records, smallest=True), "quantised and full precision")


def compressed_interaction(records: StudyRecords, delta: float) -> Finding:
    """H3b: the cost of quantisation at the smallest history against that at the largest."""
    del delta
    small, large = _compressed(records, smallest=True), _compressed(records, smallest=False)
    if not small or not large or small == large:
        return absent("quantised and full precision at two amounts of history are needed")
    return measured(records, _minus(small, large), "quantised and full precision at two amounts of history")


def larger_quantised(records: StudyRecords, delta: float) -> Finding:
    """H3c: the larger model quantised minus the smaller one in full, in the same RAM tier."""
    del delta
    pairs = [
        {large.config_id: 1.0, small.config_id: -1.0}
        for large, small in size_pairs(records, {"model", "compression"})
        if compression_family(large) == "quantised" and compression_family(small) == "none"
    ]
    return measured(records, average(pairs) if pairs else None, "a larger quantised and a smaller full model")


def strong_over_weak(records: StudyRecords, delta: float) -> Finding:
    """H4: the weakest of LoRA and RAG minus the strongest of prompt tuning, prefix tuning and IA3."""
    del delta
    pairs = [
        averaged_pairs(records.select({"method.kind": a}), records.select({"method.kind": b}), {"method"})
        for a in STRONG
        for b in WEAK
    ]
    if not all(pairs):
        return absent("LoRA, RAG, prompt tuning, prefix tuning and IA3 are all needed")
    return extreme_of(records, [pair for pair in pairs if pair], largest=False)


def rank_matters(records: StudyRecords, delta: float) -> Finding:
    """H5: LoRA with rank 64 minus LoRA with rank 8."""
    del delta
    free = {"method.r", "method.alpha", "method.lr"}
    sides = (records.select(LORA | {"method.r": 64}), records.select(LORA | {"method.r": 8}))
    pair = averaged_pairs(*sides, free)
    found = measured(records, pair, "LoRA with ranks 64 and 8")
    if pair is None or found.effect is None:
        return found
    tables = [table for task in records.tasks for table in task.runs]
    return replace(found, facts={**found.facts, "cost_of_rank_64": cost_facts(tables, pair, RANK_COSTS)})


def small_beats_large(records: StudyRecords, delta: float) -> Finding:
    """H7: at least one smaller model beats a larger one of the same RAM tier."""
    del delta
    pairs = [{small.config_id: 1.0, large.config_id: -1.0} for large, small in size_pairs(records, {"model"})]
    if not pairs:
        return absent("two sizes in one RAM tier are needed")
    found = extreme_of(records, pairs, largest=True)
    if found.effect is None:
        return found
    return replace(found, facts={**found.facts, "isotonic": isotonic_facts(records)})


def order_of_compressions(records: StudyRecords, delta: float) -> Finding:
    """H8: quantised better than pruned, and pruned better than distilled."""
    del delta
    by_family = {
        family: [config for config in records.configs if compression_family(config) == family]
        for family in ("quantised", "pruned", "distilled")
    }
    steps = [("quantised", "pruned"), ("pruned", "distilled")]
    pairs = [averaged_pairs(by_family[a], by_family[b], {"compression"}) for a, b in steps]
    if not all(pairs):
        return absent("quantised, pruned and distilled models are all needed")
    return extreme_of(records, [pair for pair in pairs if pair], largest=False)


def energy_of_requests(records: StudyRecords, delta: float) -> Finding:
    """H9: J per request of RAG over that of LoRA (log ratio), and the break-even of training."""
    del delta
    pair = averaged_pairs(records.select(RAG), records.select(LORA), {"method"})
    if not pair:
        return absent("the study has no matched pair of RAG and LoRA")
    found, break_even = [], {}
    try:
        for runs in (runs for task in records.tasks for runs in task.runs):
            entry = log_contrast(runs, "j_per_request", pair)
            if entry is not None:
                found.append(entry)
                break_even[entry.task] = _break_even(runs, pair)
    except ValueError as error:
        return absent(str(error))
    if not found:
        return absent("J per request of RAG and of LoRA was not measured")
    facts = {"break_even_requests": break_even}
    return Finding(effect_of(found), facts=facts, cells=frozenset(pair))


def combination(records: StudyRecords, delta: float) -> Finding:
    """H10: RAG and LoRA together minus the better of the two, chosen on the other half."""
    del delta
    return _combination(records, records.tasks)


def combination_cold(records: StudyRecords, delta: float) -> Finding:
    """H10b: the same for users with the least history.

    These are the lowest quarter of each task where users differ in how much they
    have; else all users, in the cells that may use least of it (factor `history`).
    """
    del delta
    cold = [_coldest(task) for task in records.tasks]
    known = [task for task in cold if task is not None]
    if known and len(known) == len(cold):
        found = _combination(records, known)
        return replace(found, facts={**found.facts, "cold": "the quarter of users with the least history"})
    by_amount: dict[float, list[Config]] = {}
    for config in records.configs:
        by_amount.setdefault(amount_of(config, "history") or 0.0, []).append(config)
    *less, _ = sorted(by_amount) or [0.0]
    for amount in less:
        found = _combination(replace(records, configs=tuple(by_amount[amount])), records.tasks)
        if found.cells or found.missing != (NOT_ALL,):
            words = f"all users, with at most {amount:g} items of their history"
            return replace(found, facts={**found.facts, "cold": words})
    return absent(
        "users with little history cannot be told: the size of each user's history is the same or not known, "
        "and RAG, LoRA and both together were not run with less than the most history"
    )


def _combination(records: StudyRecords, tasks: Sequence[TaskEvidence]) -> Finding:
    both = records.select(BOTH)
    options = {
        name: averaged_pairs(both, records.select({"method.kind": name}), {"method"}) for name in STRONG
    }
    if not all(options.values()):
        return absent(NOT_ALL)
    cells = frozenset(name for pair in options.values() if pair for name in pair)
    missing = records.failures_of(cells)
    if missing:
        return Finding(None, missing)
    halves = halves_of([task.table for task in tasks])
    if halves is None:
        return absent(ONE_USER)
    first, second = halves
    # The rival that leaves the combination the smallest gain on half A is the better one.
    best = min(STRONG, key=lambda name: mean_of(first, options[name] or {}))
    return Finding(effect_of(contrasts_of(second, options[best] or {})), facts={"chosen": best}, cells=cells)


def _coldest(task: TaskEvidence) -> TaskEvidence | None:
    """Keeps the users whose history is in the lowest quarter; None where that is no group of its own."""
    sizes = task.history_of_user
    users = np.unique(task.table.user_of_item)
    if sizes is None or not all(int(user) in sizes for user in users):
        return None
    known = np.array([sizes[int(user)] for user in users])
    cut = np.quantile(known, COLD_SHARE)
    if known.max() <= cut:
        return None
    return replace(task, table=task.table.users(users[known <= cut]))


def _compressed(records: StudyRecords, *, smallest: bool) -> Weights | None:
    quantised = [c for c in records.configs if compression_family(c) == "quantised"]
    full = [c for c in records.configs if compression_family(c) == "none"]
    pairs = matched_pairs(quantised, full, {"compression"})
    by_id = {config.config_id: config for config in records.configs}
    # Matched pairs agree in their history.
    histories = [amount_of(by_id[next(iter(pair))], "history") or 0.0 for pair in pairs]
    if not histories:
        return None
    wanted = min(histories) if smallest else max(histories)
    kept = [pair for pair, history in zip(pairs, histories, strict=True) if history == wanted]
    return average(kept) if kept else None


def _minus(left: Weights, right: Weights) -> Weights:
    total = dict(left)
    for name, weight in right.items():
        total[name] = total.get(name, 0.0) - weight
    return {name: weight for name, weight in total.items() if weight}


def _break_even(runs: RunTable, pair: Weights) -> dict[str, Any]:
    """After how many requests LoRA's training has paid for itself; all matched cells taken together."""
    rag, lora = ([name for name, weight in pair.items() if weight * sign > 0] for sign in (1, -1))
    train = [value for name in lora for value in runs.runs("train_j", name)]
    requests = [[v for name in side for v in runs.runs("j_per_request", name)] for side in (rag, lora)]
    return ratio_fact(fieller(train, *requests))
