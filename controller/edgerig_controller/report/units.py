"""How much units of one device type differ from each other, apart from how much repeats differ; pure.

For a study with `units`: every unit ran every cell, so units are crossed with
cells. On the logarithm of a figure y, with cell means taken out,

    z_u = mean over cells of (mean_cu y - mean_c y),   s_z^2 = sum z_u^2 / (U - 1)
    s_w^2 = pooled variance of the runs of one cell on one unit
    between^2 = s_z^2 - h s_w^2,   h = mean over cells and units of 1 / n_cu, divided by the number of cells

(analysis of variance, random units; what a unit does to single cells only is in it
with the weight of one over the number of cells). Standard deviations of logarithms
are given as shares of the figure. The 95 % interval of the between part is that of
Williams (Biometrika 49, 1962), cut at zero; that of the within part by chi-square.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from scipy.special import chdtri, fdtri

from edgerig_controller.report.data import StudyData
from edgerig_controller.report.drift import WATCHED, is_one_of

# Power differs from unit to unit, and hardly from run to run.
_WATCHED = (*WATCHED, ("power_mean_w", "", "inference"))
_LOW, _HIGH = 0.025, 0.975


@dataclass(frozen=True)
class Components:
    """Standard deviations between and within units as shares of the figure, with 95 % intervals."""

    between: float
    between_low: float
    between_high: float
    within: float
    within_low: float
    within_high: float


@dataclass(frozen=True)
class Spread:
    """One figure over the units of a study. `components` is None where `reason` says why."""

    name: str
    phase: str
    boundary: str
    unit_count: int
    cell_count: int
    run_count: int
    # Device to how far it lies from the mean of all, as a share.
    offsets: dict[str, float]
    components: Components | None
    reason: str


@dataclass(frozen=True)
class UnitsReport:
    """The units of a study and how its figures spread over them."""

    wanted_count: int
    device_ids: tuple[str, ...]
    spreads: tuple[Spread, ...]


# Runs of one cell on one device.
Group = Mapping[tuple[int, str], Sequence[float]]


def spread_over_units(groups: Group) -> tuple[dict[str, float], Components | None, str]:
    """Returns the offsets of devices, the components, and why there are none ('' where there are).

    `groups` maps (cell, device) to positive figures of runs; cells that a device lacks are left out.
    """
    devices = sorted({device for _, device in groups})
    logs = {key: [math.log(value) for value in values] for key, values in groups.items() if values}
    cells = [
        cell for cell in sorted({cell for cell, _ in groups}) if all((cell, one) in logs for one in devices)
    ]
    if len(devices) < 2 or not cells:
        return {}, None, "no cell has runs on two units"
    means = {(cell, one): fmean(logs[cell, one]) for cell in cells for one in devices}
    level = {cell: fmean(means[cell, one] for one in devices) for cell in cells}
    z = {one: fmean(means[cell, one] - level[cell] for cell in cells) for one in devices}
    offsets = {one: math.expm1(value) for one, value in z.items()}
    counts = [len(logs[key]) for key in means]
    within_df = sum(count - 1 for count in counts)
    if within_df < 1:
        return offsets, None, "each unit ran each cell once: units and repeats cannot be told apart"
    squares = math.fsum((value - means[key]) ** 2 for key in means for value in logs[key])
    within = squares / within_df
    share = fmean(1 / count for count in counts) / len(cells)
    variance = math.fsum(value**2 for value in z.values()) / (len(devices) - 1)
    return offsets, _components(variance, len(devices) - 1, within, within_df, share), ""


def _components(variance: float, df: int, within: float, within_df: int, share: float) -> Components:
    noise = share * within
    ratio = variance / noise if noise > 0 else math.inf

    def bound(quantile: float) -> float:
        """One end of Williams' interval of the variance between units."""
        kept = 1 - float(fdtri(df, within_df, quantile)) / ratio if ratio > 0 else -1.0
        return math.sqrt(max(0.0, df * variance * kept / float(chdtri(df, 1 - quantile))))

    def around(quantile: float) -> float:
        return math.sqrt(within * within_df / float(chdtri(within_df, 1 - quantile)))

    return Components(
        between=math.sqrt(max(0.0, variance - noise)),
        between_low=bound(_HIGH),
        between_high=bound(_LOW),
        within=math.sqrt(within),
        within_low=around(_HIGH),
        within_high=around(_LOW),
    )


def units_report(data: StudyData) -> UnitsReport | None:
    """Returns how figures spread over the units of a study; None for a study of one unit."""
    wanted = data.study.resolved.get("units", 1)
    if not isinstance(wanted, int) or wanted < 2:
        return None
    runs = {row.attempt_id: row for row in data.results() if row.status == "ok" and row.device_id}
    series: dict[tuple[str, str, str, str], dict[tuple[int, str], list[float]]] = defaultdict(dict)
    for row in data.measurements:
        run = runs.get(row.attempt_id)
        if run is None or row.value is None or not row.value > 0 or not math.isfinite(row.value):
            continue
        if row.boundary != "rail" and is_one_of(_WATCHED, row.name, row.statistic, row.phase):
            found = series[row.name, row.phase, row.boundary, row.source]
            found.setdefault((run.cell_index, run.device_id), []).append(row.value)
    spreads = [_spread(key[:3], groups) for key, groups in sorted(series.items())]
    devices = tuple(sorted({run.device_id for run in runs.values()}))
    return UnitsReport(wanted, devices, tuple(spreads))


def _spread(key: tuple[str, str, str], groups: Group) -> Spread:
    offsets, components, reason = spread_over_units(groups)
    name, phase, boundary = key
    return Spread(
        name=name,
        phase=phase,
        boundary=boundary,
        unit_count=len({device for _, device in groups}),
        cell_count=len({cell for cell, _ in groups}),
        run_count=sum(len(values) for values in groups.values()),
        offsets=offsets,
        components=components,
        reason=reason,
    )
