"""How each registered hypothesis is measured: from records to a `Finding`.

Every function takes the records and returns the effect, what is missing, and
further conditions. What is chosen (a best method, a budget, an amount of
history) is chosen on one half of users and seeds and estimated on the other.
The claims themselves, their margins and wording, are in `claims`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgerig_controller.guidelines.curvature import curvature
from edgerig_controller.guidelines.effects import Effect, effect_of, extreme
from edgerig_controller.guidelines.matching import (
    Selector,
    StudyRecords,
    TaskEvidence,
    Weights,
    averaged_pairs,
    compression_family,
    free_names,
    level,
    matched_pairs,
)
from edgerig_controller.guidelines.resources import Ratio, RunTable, fieller, log_contrast
from edgerig_controller.guidelines.saturation import x95
from edgerig_controller.guidelines.scores import Config, Contrast, Floats, ScoreTable, average

RAG, LORA, BOTH = {"method.kind": "rag"}, {"method.kind": "lora"}, {"method.kind": "rag-lora"}
STRONG = ("lora", "rag")
NOTHING_COMMON = "on a task no item was scored on all sides under every seed"
WEAK = ("prompt", "prefix", "ia3")
COLD_SHARE = 0.25


@dataclass(frozen=True)
class Finding:
    """What the records hold about one claim."""

    effect: Effect | None
    missing: tuple[str, ...] = ()
    checks: tuple[tuple[str, bool], ...] = ()
    # The same claim under other registered definitions.
    alternates: tuple[tuple[str, Effect], ...] = ()
    # What was chosen, and other figures that the report prints.
    facts: Mapping[str, Any] = field(default_factory=dict)
    # Every configuration that the claim looks at, chosen or not: an open claim needs all of them.
    cells: frozenset[str] = frozenset()


Measure = Callable[[StudyRecords, float], Finding]


def absent(what: str) -> Finding:
    """The finding when the study has no cells for a claim."""
    return Finding(None, (what,))


def measured(records: StudyRecords, weights: Weights | None, what: str, **facts: Any) -> Finding:
    """Measures one contrast on all tasks; a task on which a required cell has no score is said."""
    if not weights:
        return absent(f"the study has no pair of cells for: {what}")
    missing = records.failures_of(weights)
    if missing:
        return Finding(None, missing)
    contrasts = _contrasts([task.table for task in records.tasks], weights)
    if len(contrasts) < len(records.tasks):
        return absent(f"{NOTHING_COMMON}: {what}")
    return Finding(effect_of(contrasts), facts=facts, cells=frozenset(weights))


def difference(better: Selector, than: Selector, what: str) -> Measure:
    """Makes the measure of: cells of one selector against matched cells of the other."""

    def measure(records: StudyRecords, delta: float) -> Finding:
        del delta
        free = free_names(better, than)
        return measured(records, averaged_pairs(records.select(better), records.select(than), free), what)

    return measure


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
        few = () if missing else ("difficulty D1 on at least five tasks, of three values or more, is needed",)
        return Finding(None, missing + few)
    contrasts = _contrasts([task.table for task in records.tasks], weights)
    if len(contrasts) < len(records.tasks):
        return absent(f"{NOTHING_COMMON}: RAG and LoRA")
    gains = np.array([entry.estimate for entry in contrasts])
    found = {
        name: curvature(np.array([(task.difficulty or {})[name] for task in records.tasks]), gains)
        for name in names
    }
    effects = {name: replace(bend.effect, contrasts=tuple(contrasts)) for name, bend in found.items()}
    main = found["D1"]
    return Finding(
        effects["D1"],
        checks=(("the vertex lies inside the measured difficulties", main.vertex_inside),),
        alternates=tuple((name, effect) for name, effect in effects.items() if name != "D1"),
        facts={"vertex": main.vertex},
        cells=frozenset(weights),
    )


def longer_training(records: StudyRecords, delta: float) -> Finding:
    """H2: quality at twice the smallest sufficient budget minus quality at it."""
    by_budget = _by_level(records, LORA, "train_samples")
    candidates = [budget for budget in by_budget if 2 * budget in by_budget]
    found = _enough(records, delta, by_budget, {b: 2 * b for b in candidates}, "train_samples")
    if found.effect is None or len(by_budget) < 4:
        return found
    return replace(found, facts={**found.facts, "x95_samples": _ratio_fact(_saturation(records, by_budget))})


def more_history(records: StudyRecords, delta: float) -> Finding:
    """H6: RAG with all of the history minus RAG with the smallest sufficient part of it."""
    by_history = _by_level(records, RAG, "history")
    largest = max(by_history, default=0.0)
    return _enough(records, delta, by_history, {n: largest for n in by_history if n != largest}, "history")


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
        for large, small in _size_pairs(records, {"model", "compression"})
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
    return _extreme_of(records, [pair for pair in pairs if pair], largest=False)


def rank_matters(records: StudyRecords, delta: float) -> Finding:
    """H5: LoRA with rank 64 minus LoRA with rank 8."""
    del delta
    free = {"method.r", "method.alpha", "method.lr"}
    sides = (records.select(LORA | {"method.r": 64}), records.select(LORA | {"method.r": 8}))
    return measured(records, averaged_pairs(*sides, free), "LoRA with ranks 64 and 8")


def small_beats_large(records: StudyRecords, delta: float) -> Finding:
    """H7: at least one smaller model beats a larger one of the same RAM tier."""
    del delta
    pairs = [
        {small.config_id: 1.0, large.config_id: -1.0} for large, small in _size_pairs(records, {"model"})
    ]
    return (
        _extreme_of(records, pairs, largest=True) if pairs else absent("two sizes in one RAM tier are needed")
    )


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
    return _extreme_of(records, [pair for pair in pairs if pair], largest=False)


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
                break_even[entry.task] = _ratio_fact(_break_even(runs, pair))
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
    """H10b: the same for the users with the least history, the lowest quarter of each task."""
    del delta
    cold = [_coldest(task) for task in records.tasks]
    if any(task is None for task in cold):
        return absent("how much history each user has is not known, or it is the same for all")
    return _combination(records, [task for task in cold if task is not None])


def _combination(records: StudyRecords, tasks: Sequence[TaskEvidence]) -> Finding:
    both = records.select(BOTH)
    options = {
        name: averaged_pairs(both, records.select({"method.kind": name}), {"method"}) for name in STRONG
    }
    if not all(options.values()):
        return absent("RAG, LoRA and both together are all needed")
    cells = frozenset(name for pair in options.values() if pair for name in pair)
    missing = records.failures_of(cells)
    if missing:
        return Finding(None, missing)
    halves = _halves([task.table for task in tasks])
    if halves is None:
        return absent("a task has one user: nothing can be chosen on another half")
    first, second = halves
    # The rival that leaves the combination the smallest gain on half A is the better one.
    best = min(STRONG, key=lambda name: _mean(first, options[name] or {}))
    return Finding(effect_of(_contrasts(second, options[best] or {})), facts={"chosen": best}, cells=cells)


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


def _contrasts(tables: Sequence[ScoreTable], weights: Weights) -> list[Contrast]:
    found = [table.contrast(weights) for table in tables]
    return [entry for entry in found if entry is not None]


def _mean(tables: Sequence[ScoreTable], weights: Weights) -> float:
    contrasts = _contrasts(tables, weights)
    return float(np.mean([entry.estimate for entry in contrasts])) if contrasts else 0.0


def _halves(tables: Sequence[ScoreTable]) -> tuple[list[ScoreTable], list[ScoreTable]] | None:
    if any(len(np.unique(table.user_of_item)) < 2 for table in tables):
        return None
    return [table.half(True) for table in tables], [table.half(False) for table in tables]


def _by_level(records: StudyRecords, selector: Selector, name: str) -> dict[float, list[Config]]:
    """Sorts configurations by the level of a numeric factor; `history: all` (-1) is the largest."""
    groups: dict[float, list[Config]] = {}
    for config in records.select(selector):
        value = _amount(config, name)
        if value is not None:
            groups.setdefault(value, []).append(config)
    return dict(sorted(groups.items()))


def _amount(config: Config, name: str) -> float | None:
    """Returns a numeric level; `all` (stored as -1) is more than any number, None is no level."""
    value = level(config, name)
    if value == "all":
        return float("inf")
    if not isinstance(value, (int, float)):
        return None
    return float("inf") if value < 0 else float(value)


def _enough(
    records: StudyRecords,
    delta: float,
    levels: Mapping[float, Sequence[Config]],
    steps: Mapping[float, float],
    name: str,
) -> Finding:
    """Chooses on half A the smallest level whose step adds less than delta; estimates it on half B."""
    pairs = {low: averaged_pairs(levels[high], levels[low], {name}) for low, high in steps.items()}
    gains = {low: pair for low, pair in pairs.items() if pair}
    if not gains:
        return absent(f"no two levels of {name} to compare")
    missing = records.failures_of({config for gain in gains.values() for config in gain})
    halves = _halves([task.table for task in records.tasks])
    if missing or halves is None:
        return Finding(None, missing or ("a task has one user: nothing can be chosen on another half",))
    enough = [low for low, gain in gains.items() if _mean(halves[0], gain) < delta]
    chosen = min(enough, default=max(gains))
    effect = effect_of(_contrasts(halves[1], gains[chosen]))
    against = "all" if steps[chosen] == float("inf") else steps[chosen]
    facts = {"chosen": chosen, "against": against, "factor": name}
    return Finding(effect, facts=facts, cells=frozenset(config for gain in gains.values() for config in gain))


def _saturation(records: StudyRecords, levels: Mapping[float, Sequence[Config]]) -> Ratio:
    """Fits quality against the budget; tasks are the units, or the users where there is one task."""
    tables = [task.table for task in records.tasks]
    weights = [{config.config_id: 1.0 / len(found) for config in found} for found in levels.values()]
    columns: list[list[float]] = []
    for entry in weights:
        found = [means for table in tables if (means := table.user_means(entry)) is not None]
        columns.append(
            [float(means.means.mean()) for means in found]
            if len(found) > 1
            else found[0].means.mean(axis=1).tolist()
        )
    if len({len(column) for column in columns}) != 1:
        return Ratio(None, None, None, "the budgets were not measured on the same users or tasks")
    return x95(np.array(list(levels)), np.array(columns).T)


def _compressed(records: StudyRecords, *, smallest: bool) -> Weights | None:
    quantised = [c for c in records.configs if compression_family(c) == "quantised"]
    full = [c for c in records.configs if compression_family(c) == "none"]
    pairs = matched_pairs(quantised, full, {"compression"})
    by_id = {config.config_id: config for config in records.configs}
    # Matched pairs agree in their history.
    histories = [_amount(by_id[next(iter(pair))], "history") or 0.0 for pair in pairs]
    if not histories:
        return None
    wanted = min(histories) if smallest else max(histories)
    kept = [pair for pair, history in zip(pairs, histories, strict=True) if history == wanted]
    return average(kept) if kept else None


def _size_pairs(records: StudyRecords, free: set[str]) -> list[tuple[Config, Config]]:
    """Returns (larger, smaller) of the same RAM tier that agree in everything that is not free."""
    known = [c for c in records.configs if {"parameters", "ram_tier_bytes"} <= set(c.facts)]
    return [
        (a, b)
        for a in known
        for b in known
        if a.facts["parameters"] > b.facts["parameters"]
        and a.facts["ram_tier_bytes"] == b.facts["ram_tier_bytes"]
        and matched_pairs([a], [b], free)
    ]


def _extreme_of(records: StudyRecords, pairs: Sequence[Weights], *, largest: bool) -> Finding:
    missing = records.failures_of({name for pair in pairs for name in pair})
    if missing:
        return Finding(None, missing)
    tables = [task.table for task in records.tasks]
    per_pair = [_contrasts(tables, pair) for pair in pairs]
    if any(len(found) < len(tables) for found in per_pair):
        return absent(NOTHING_COMMON)
    effects = [effect for found in per_pair if (effect := effect_of(found)) is not None]
    residuals = _residuals(tables, pairs)
    if len(residuals) < 2:
        return absent("the pairs have no users in common: their errors' correlation is unknown")
    effect = extreme(effects, residuals, largest=largest)
    if effect is None:
        return absent("a pair has no spread to build a simultaneous interval on")
    chosen = pairs[effects.index(next(e for e in effects if e.contrasts is effect.contrasts))]
    facts = {"pair": chosen, "pairs": len(pairs)}
    return Finding(effect, facts=facts, cells=frozenset(name for pair in pairs for name in pair))


def _residuals(tables: Sequence[ScoreTable], pairs: Sequence[Weights]) -> Floats:
    """Returns users of all tasks x pairs, centred per task: how the pairs' errors go together.

    Users and not tasks are the units: a handful of tasks says little of a correlation.
    """
    blocks = []
    for table in tables:
        found = [table.user_means(pair) for pair in pairs]
        columns = [means.means.mean(axis=1) for means in found if means is not None]
        if len({len(column) for column in columns}) == 1:
            block = np.array(columns).T
            blocks.append(block - block.mean(axis=0))
    return np.concatenate(blocks) if blocks else np.zeros((0, len(pairs)))


def _minus(left: Weights, right: Weights) -> Weights:
    total = dict(left)
    for name, weight in right.items():
        total[name] = total.get(name, 0.0) - weight
    return {name: weight for name, weight in total.items() if weight}


def _break_even(runs: RunTable, pair: Weights) -> Ratio:
    """After how many requests LoRA's training has paid for itself; all matched cells taken together."""
    rag, lora = ([name for name, weight in pair.items() if weight * sign > 0] for sign in (1, -1))
    train = [value for name in lora for value in runs.runs("train_j", name)]
    requests = [[v for name in side for v in runs.runs("j_per_request", name)] for side in (rag, lora)]
    return fieller(train, *requests)


def _ratio_fact(ratio: Ratio) -> dict[str, Any]:
    return {"estimate": ratio.estimate, "low": ratio.low, "high": ratio.high, "note": ratio.note}
