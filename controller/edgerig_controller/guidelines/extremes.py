"""Claims about the best or the worst of several pairs of configurations, with simultaneous bounds."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from edgerig_controller.guidelines.effects import effect_of, extreme
from edgerig_controller.guidelines.finding import NOTHING_COMMON, Finding, absent, contrasts_of
from edgerig_controller.guidelines.matching import StudyRecords, Weights, matched_pairs
from edgerig_controller.guidelines.scores import Config, Floats, ScoreTable


def size_pairs(records: StudyRecords, free: set[str]) -> list[tuple[Config, Config]]:
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


def extreme_of(records: StudyRecords, pairs: Sequence[Weights], *, largest: bool) -> Finding:
    missing = records.failures_of({name for pair in pairs for name in pair})
    if missing:
        return Finding(None, missing)
    tables = [task.table for task in records.tasks]
    per_pair = [contrasts_of(tables, pair) for pair in pairs]
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


def isotonic_facts(records: StudyRecords) -> dict[str, float]:
    """Returns how far quality departs from rising with size, in points, over groups alike but for the model.

    `largest_rest` is the largest distance between a mean and the closest rising
    curve through them (pool adjacent violators), 0 where quality rises with size throughout.
    """
    groups: dict[str, dict[float, list[Config]]] = {}
    for config in records.configs:
        if {"parameters", "ram_tier_bytes"} <= set(config.facts):
            rest = {name: value for name, value in config.factors.items() if name != "model"}
            key = json.dumps([rest, config.facts["ram_tier_bytes"]], sort_keys=True, default=str)
            groups.setdefault(key, {}).setdefault(config.facts["parameters"], []).append(config)
    rests, count = [0.0], 0
    for sizes in groups.values():
        if len(sizes) < 2:
            continue
        for task in records.tasks:
            means = [_quality(task.table, found) for _, found in sorted(sizes.items())]
            known = [mean for mean in means if mean is not None]
            if len(known) == len(means):
                count += 1
                rests.append(float(np.abs(np.array(known) - rising(known)).max()))
    return {"largest_rest": max(rests), "curves": count}


def rising(values: Sequence[float]) -> Floats:
    """Returns the closest curve that never falls (least squares; Ayer and others 1955)."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, size = float(value), 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        blocks.append((mean, size))
    return np.concatenate([np.full(size, mean) for mean, size in blocks])


def _quality(table: ScoreTable, configs: Sequence[Config]) -> float | None:
    found = [table.contrast({config.config_id: 1.0}) for config in configs if table.has(config.config_id)]
    known = [entry.estimate for entry in found if entry is not None]
    return float(np.mean(known)) if known else None
