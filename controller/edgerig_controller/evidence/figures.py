"""What claims call a figure, out of the measurements of runs.

A claim names `ttft_s` or `j_per_request`; a run has a figure per phase,
statistic, boundary and sensor. This module says which one is meant, and keeps
boundaries apart: nothing that a different part of the box was measured for
ever meets in one table. Pure: rows in, `RunTable` out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from edgerig_controller.evidence.runs import Notice, Run
from edgerig_controller.guidelines.resources import RunTable
from edgerig_controller.store.rows import MeasurementRow

# Of equal coverage the boundary that holds most of the box; an estimate comes last.
WIDEST_FIRST = (
    "wall_ac",
    "dc_in",
    "carrier_in",
    "module_in",
    "rails_sum",
    "gpu_board",
    "cpu_pkg",
    "estimate",
)
RAIL = "rail"
# A bare name means the first of these phases and statistics that a run has.
PHASES = ("inference", "decode", "prefill", "train", "train_step", "evaluate", "load", "")
STATISTICS = ("p50", "ratio", "sum", "peak", "mean", "minimum", "p90", "p95", "p99")
_PERCENTILES = ("p90", "p95", "p99", "mean")
# Other names of `PHASE_figure`, as hypotheses use them.
ALIASES = {"train_energy_j": "train_j", "train_duration_s": "train_s"}


def named(rows: Iterable[MeasurementRow]) -> dict[tuple[str, str], float]:
    """Returns the figures of one run by (name, boundary).

    `rss_peak_bytes` and other peaks are the largest of all phases, because
    memory is a limit; every other bare name is that of the first phase and
    statistic of PHASES and STATISTICS. `ttft_p95_s` names a percentile,
    `train_duration_s` or `train_energy_j` (short `train_s`, `train_j`) a phase.
    A second sensor of one boundary goes under `boundary (source)`.
    """
    found: dict[tuple[str, str], dict[tuple[str, str], float]] = defaultdict(dict)
    sources: dict[str, str] = {}
    for row in rows:
        if row.value is None or not math.isfinite(row.value) or row.boundary == RAIL:
            continue
        boundary = row.boundary
        if boundary and sources.setdefault(boundary, row.source) != row.source:
            boundary = f"{boundary} ({row.source})"
        found[(row.name, boundary)][(row.phase, row.statistic)] = row.value
    figures: dict[tuple[str, str], float] = {}
    for (name, boundary), values in found.items():
        figures[(name, boundary)] = _bare(values)
        for (phase, statistic), value in values.items():
            if statistic in _PERCENTILES and name.endswith("_s"):
                figures.setdefault((f"{name.removesuffix('_s')}_{statistic}_s", boundary), value)
            if phase and name in ("duration_s", "energy_j"):
                full = f"{phase}_{name}"
                figures[(full, boundary)] = value
                if full in ALIASES:
                    figures[(ALIASES[full], boundary)] = value
    return figures


def _bare(values: Mapping[tuple[str, str], float]) -> float:
    if all(statistic == "peak" for _, statistic in values):
        return max(values.values())
    return values[min(values, key=_rank)]


def _rank(key: tuple[str, str]) -> tuple[int, int, str, str]:
    phase, statistic = key
    return (_place(PHASES, phase), _place(STATISTICS, statistic), phase, statistic)


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def tables(runs: Sequence[Run], config_of: Mapping[str, str]) -> dict[str, tuple[RunTable, ...]]:
    """Returns all tables by task: one per device and boundary ('' = figures that are no power figures).

    Args:
        runs: usable runs.
        config_of: trial id to configuration.
    """
    values: dict[tuple[str, str, str], dict[str, dict[str, list[float]]]] = {}
    for run in runs:
        for (name, boundary), value in named(run.measurements).items():
            table = values.setdefault((run.task, run.device_id, boundary), {})
            table.setdefault(name, {}).setdefault(config_of[run.trial_id], []).append(value)
    found: dict[str, list[RunTable]] = defaultdict(list)
    for (task, device_id, boundary), figures in sorted(values.items()):
        frozen = {
            name: {config: tuple(numbers) for config, numbers in configs.items()}
            for name, configs in figures.items()
        }
        found[task].append(RunTable(task, device_id, boundary, frozen))
    return {task: tuple(mine) for task, mine in found.items()}


def comparable(found: Mapping[str, Sequence[RunTable]]) -> tuple[str, tuple[Notice, ...]]:
    """Chooses the one power boundary that claims are judged by, blind to the values.

    The one that covers most configurations, tasks and devices; of equals the
    one that holds most of the box.
    """
    covered: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    for task, mine in found.items():
        for table in mine:
            if table.boundary:
                names = {config for configs in table.figures.values() for config in configs}
                covered[table.boundary] |= {(task, table.device, config) for config in names}
    if not covered:
        return "", ()
    chosen = min(covered, key=lambda name: (-len(covered[name]), _place(WIDEST_FIRST, name), name))
    if len(covered) == 1:
        return chosen, ()
    others = ", ".join(sorted(set(covered) - {chosen}))
    text = f"power was measured at several boundaries; claims compare {chosen} only, never with {others}"
    return chosen, (Notice("notice", "mixed_boundaries", text),)
