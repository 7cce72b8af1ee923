"""Whether a device drifted over a study, by the cell that every block repeats; pure.

The figures of the canary are put against the time of their runs, device by
device and sensor by sensor. The line of least squares gives the change over the
study as a share of the mean, with its 95 % t interval (n - 2 degrees of freedom).
It has `drifted` when the interval excludes zero and the change is at least the
precision that the protocol asks of a mean (3 % for times and rates, 5 % for
energy: the rule that ends a cell's repeats); it is `steady` when the whole
interval lies within that; anything else is `undetermined`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from scipy.special import stdtrit

from edgerig_controller.report.data import StudyData
from edgerig_controller.store.rows import AttemptRow, MeasurementRow

FLAG = "canary_drift"
TIME_SHARE = 0.03
ENERGY_SHARE = 0.05
# A line through two points fits whatever they are.
FEWEST_RUNS = 4

# Figures that are watched: name, statistic and phase ('' = any).
WATCHED = (
    ("ttft_s", "p50", ""),
    ("decode_tokens_per_s", "", ""),
    ("step_s", "p50", ""),
    ("energy_j", "sum", "inference"),
    ("energy_j", "sum", "train"),
)

DriftVerdict = Literal["drifted", "steady", "undetermined"]


@dataclass(frozen=True)
class Drift:
    """How one figure of the canary changed on one device from the first run to the last."""

    device_id: str
    name: str
    phase: str
    boundary: str
    source: str
    run_count: int
    span_s: float
    # Change over the span as a share of the mean, with its interval; None with fewer than four runs.
    change: float | None
    low: float | None
    high: float | None
    verdict: DriftVerdict
    attempt_ids: tuple[str, ...]


@dataclass(frozen=True)
class CanaryReport:
    """The canary of a study: which cell it is, and what its figures say of each device."""

    cell_index: int
    cell: str
    drifts: tuple[Drift, ...]
    # `canary_drift` where a device drifted.
    flags: tuple[str, ...]


def change_over_time(times_s: Sequence[float], values: Sequence[float]) -> tuple[float, float, float] | None:
    """Returns the change over the span as a share of the mean, with its 95 % t interval.

    None with fewer than four runs, with one instant only, or where the mean is not positive.
    Source: simple linear regression, standard error of the slope.
    """
    count = len(values)
    mean, middle = fmean(values or [0.0]), fmean(times_s or [0.0])
    spread = math.fsum((time - middle) ** 2 for time in times_s)
    if count < FEWEST_RUNS or spread <= 0 or mean <= 0 or not all(map(math.isfinite, values)):
        return None
    products = ((t - middle) * (v - mean) for t, v in zip(times_s, values, strict=True))
    slope = math.fsum(products) / spread
    residuals = (v - mean - slope * (t - middle) for t, v in zip(times_s, values, strict=True))
    error = math.sqrt(math.fsum(r * r for r in residuals) / (count - 2) / spread)
    scale = (max(times_s) - min(times_s)) / mean
    half = float(stdtrit(count - 2, 0.975)) * error * scale
    return slope * scale, slope * scale - half, slope * scale + half


def judge(found: tuple[float, float, float] | None, least: float) -> DriftVerdict:
    """Returns the verdict on a change and its interval against the least change that matters."""
    if found is None:
        return "undetermined"
    change, low, high = found
    if abs(change) >= least and (low > 0 or high < 0):
        return "drifted"
    return "steady" if -least < low and high < least else "undetermined"


def canary_report(data: StudyData) -> CanaryReport | None:
    """Returns what the canary of a study says; None for a study without one (`quick`)."""
    index: Any = data.study.resolved.get("canary_cell")
    cells = {cell.cell_index: cell.label for cell in data.cells}
    if not isinstance(index, int) or index not in cells:
        return None
    # Results of other studies are from other days, and say nothing of this one's course.
    runs = {
        row.attempt_id: row
        for row in data.results()
        if row.cell_index == index and row.status == "ok" and not row.reused
    }
    drifts = [
        _drift(rows, runs)
        for key, rows in sorted(_series(data.measurements, runs).items())
        if is_one_of(WATCHED, key[1], key[2], key[3])
    ]
    flags = (FLAG,) if any(drift.verdict == "drifted" for drift in drifts) else ()
    return CanaryReport(index, cells[index], tuple(drifts), flags)


_Key = tuple[str, str, str, str, str, str]


def _series(
    measurements: Sequence[MeasurementRow], runs: dict[str, AttemptRow]
) -> dict[_Key, list[MeasurementRow]]:
    found: dict[_Key, list[MeasurementRow]] = defaultdict(list)
    for row in measurements:
        run = runs.get(row.attempt_id)
        if run is not None and row.value is not None and row.boundary != "rail":
            found[run.device_id, row.name, row.statistic, row.phase, row.boundary, row.source].append(row)
    return found


def is_one_of(watched: Sequence[tuple[str, str, str]], name: str, statistic: str, phase: str) -> bool:
    """Tells whether a figure is among those that are named by name, statistic and phase ('' = any)."""
    return any(name == n and s in ("", statistic) and p in ("", phase) for n, s, p in watched)


def _drift(rows: Sequence[MeasurementRow], runs: dict[str, AttemptRow]) -> Drift:
    first = rows[0]
    timed = sorted((runs[row.attempt_id].created_unix_s, row.attempt_id, row.value or 0.0) for row in rows)
    times = [time for time, _, _ in timed]
    found = change_over_time(times, [value for _, _, value in timed])
    least = ENERGY_SHARE if first.name == "energy_j" else TIME_SHARE
    change, low, high = found if found is not None else (None, None, None)
    return Drift(
        device_id=runs[first.attempt_id].device_id,
        name=first.name,
        phase=first.phase,
        boundary=first.boundary,
        source=first.source,
        run_count=len(rows),
        span_s=times[-1] - times[0],
        change=change,
        low=low,
        high=high,
        verdict=judge(found, least),
        attempt_ids=tuple(attempt_id for _, attempt_id, _ in timed),
    )
