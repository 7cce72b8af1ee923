"""Resources of runs: log ratios, break-even and the upper bound that a limit is held against.

Time, energy and memory are compared as ratios, so they are estimated as
differences of logarithms. The run is the unit (one attempt = one figure).
Runs of different power boundaries are never put into one table by the caller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgerig_controller.guidelines.estimate import t_quantile
from edgerig_controller.guidelines.scores import Contrast


@dataclass(frozen=True)
class RunTable:
    """Figures of runs on one task and device: figure name -> configuration -> one value per run."""

    task: str
    device: str
    boundary: str
    figures: Mapping[str, Mapping[str, tuple[float, ...]]]

    def runs(self, figure: str, config_id: str) -> tuple[float, ...]:
        """Returns the values of a figure, one per run; empty when it was not measured."""
        return self.figures.get(figure, {}).get(config_id, ())


@dataclass(frozen=True)
class Ratio:
    """A quotient and the set of values that the data cannot rule out (Fieller 1954).

    `low` and `high` are None when the denominator's interval holds 0: then no
    finite interval exists.
    """

    estimate: float | None
    low: float | None
    high: float | None
    note: str


def log_ratio(table: RunTable, figure: str, a: str, b: str) -> Contrast | None:
    """Estimates log(a / b) of a figure; see `log_contrast`."""
    return log_contrast(table, figure, {a: 1.0, b: -1.0})


def log_contrast(table: RunTable, figure: str, weights: Mapping[str, float]) -> Contrast | None:
    """Estimates a weighted sum of mean logarithms, such as the log ratio of two geometric means.

    Standard error and degrees of freedom after Welch (1947) and Satterthwaite
    (1946). Returns None when a configuration was not measured. Unit of the
    result: `log ratio`; `percent` words it.

    Raises:
        ValueError: a figure is not a positive number.
    """
    runs = {name: table.runs(figure, name) for name in weights}
    if not all(runs.values()):
        return None
    if any(not (math.isfinite(value) and value > 0) for values in runs.values() for value in values):
        raise ValueError(f"{figure} has a value that is not a positive number")
    logs = {name: np.log(values) for name, values in runs.items()}
    fewest = min(len(values) for values in logs.values())
    se, df, note = None, None, "one run: no interval"
    if fewest > 1:
        parts = [
            (weights[name] ** 2 * float(values.var(ddof=1)) / len(values), len(values) - 1)
            for name, values in logs.items()
        ]
        variance = sum(part for part, _ in parts)
        note = "every run has the same value: there is no spread to build an interval on"
        if variance > 0:
            se, note = math.sqrt(variance), ""
            df = variance**2 / sum(part**2 / free for part, free in parts)
    return Contrast(
        task=f"{table.task} on {table.device}",
        estimate=float(sum(weights[name] * values.mean() for name, values in logs.items())),
        se=se,
        df=df,
        unit="log ratio",
        n_users=0,
        n_items=0,
        n_seeds=fewest,
        components=None,
        note=note,
        weights=dict(weights),
        device=table.device,
    )


def percent(log_value: float) -> float:
    """Returns what a log ratio means in percent: log 1.1 is +10."""
    return 100.0 * math.expm1(log_value)


def upper_bound(values: Sequence[float], *, margin: float = 0.0) -> float:
    """Returns the largest value over runs plus a relative margin: a limit must hold every time.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("no run has this figure, so no limit can be checked")
    return max(values) * (1.0 + margin)


def fieller(
    numerator: Sequence[float], plus: Sequence[float], minus: Sequence[float], *, level: float = 0.95
) -> Ratio:
    """Estimates mean(numerator) / (mean(plus) - mean(minus)), such as J of training / J saved a request.

    The three sets of runs are independent. Source: Fieller (1954), with the
    smallest degrees of freedom of the three.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (numerator, plus, minus)]
    if any(len(side) < 2 for side in sides):
        return Ratio(None, None, None, "fewer than two runs on a side")
    top, down = float(sides[0].mean()), float(sides[1].mean() - sides[2].mean())
    v_top, v_plus, v_minus = (float(side.var(ddof=1)) / len(side) for side in sides)
    t2 = t_quantile(level, min(len(side) for side in sides) - 1) ** 2
    leading = down**2 - t2 * (v_plus + v_minus)
    if leading <= 0 or down == 0:
        return Ratio(None, None, None, "no finite break-even: the difference per request may be zero")
    root = math.sqrt(max((top * down) ** 2 - leading * (top**2 - t2 * v_top), 0.0))
    return Ratio(top / down, (top * down - root) / leading, (top * down + root) / leading, "")


def ratio_fact(ratio: Ratio) -> dict[str, float | str | None]:
    """Returns a ratio as plain values for a guideline's facts."""
    return {"estimate": ratio.estimate, "low": ratio.low, "high": ratio.high, "note": ratio.note}


def cost_facts(
    tables: Sequence[RunTable], pair: Mapping[str, float], figures: Sequence[str]
) -> dict[str, dict[str, float | str | None]]:
    """Returns how much more of each figure one side of a contrast takes, in percent, per device.

    Keys are `figure on device, task`; figures that were not measured on both sides are left out.
    """
    found: dict[str, dict[str, float | str | None]] = {}
    for table in tables:
        for name in figures:
            try:
                entry = log_contrast(table, name, pair)
            except ValueError:
                continue
            if entry is not None:
                low, high = entry.interval(0.95) or (None, None)
                found[f"{name} on {table.device}, {table.task}"] = {
                    "percent": percent(entry.estimate),
                    "low": None if low is None else percent(low),
                    "high": None if high is None else percent(high),
                    "note": entry.note,
                }
    return found
