"""Measurements of single runs brought together: one figure per cell, device and sensor.

The run is the unit. Nothing is pooled over devices, boundaries, sources or
phases; runs that failed or were rejected do not enter and are counted
elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from edgerig_controller.guidelines.estimate import MeanEstimate, mean_interval
from edgerig_controller.report.numbers import unit_of
from edgerig_controller.store.rows import AttemptRow, MeasurementRow


@dataclass(frozen=True)
class Figure:
    """One figure of one cell on one device: its mean over runs and where it comes from.

    `unavailable` holds the reasons of the runs that have no value; it can be
    set beside an estimate when only some runs lack it.
    """

    device_id: str
    name: str
    phase: str
    statistic: str
    boundary: str
    source: str
    unit: str
    estimate: MeanEstimate
    values: tuple[float, ...]
    flags: tuple[str, ...]
    unavailable: tuple[str, ...]

    @property
    def maximum(self) -> float | None:
        """Returns the largest run: memory is a constraint, not an average."""
        return max(self.values, default=None)

    @property
    def title(self) -> str:
        """Names the figure with phase, statistic and boundary, as far as it has them."""
        parts = [self.name, self.phase, self.statistic, self.boundary]
        return " · ".join(part for part in parts if part)


def figures(attempts: Iterable[AttemptRow], measurements: Iterable[MeasurementRow]) -> tuple[Figure, ...]:
    """Aggregates the measurements of these attempts, which must belong to one cell."""
    device_of = {attempt.attempt_id: attempt.device_id for attempt in attempts}
    groups: dict[tuple[str, ...], list[MeasurementRow]] = defaultdict(list)
    for row in measurements:
        device_id = device_of.get(row.attempt_id)
        if device_id is not None:
            groups[(device_id, row.name, row.phase, row.statistic, row.boundary, row.source)].append(row)
    return tuple(_figure(key, rows) for key, rows in sorted(groups.items()))


def _figure(key: tuple[str, ...], rows: list[MeasurementRow]) -> Figure:
    device_id, name, phase, statistic, boundary, source = key
    ordered = sorted(rows, key=lambda row: (row.seed, row.repeat))
    values = tuple(row.value for row in ordered if row.value is not None)
    reasons = {row.unavailable_reason or "no reason given" for row in ordered if row.value is None}
    return Figure(
        device_id=device_id,
        name=name,
        phase=phase,
        statistic=statistic,
        boundary=boundary,
        source=source,
        unit=unit_of(name),
        estimate=_at_least_zero(mean_interval(values)),
        values=values,
        flags=tuple(sorted({flag for row in ordered for flag in row.flags})),
        unavailable=tuple(sorted(reasons)),
    )


def _at_least_zero(found: MeanEstimate) -> MeanEstimate:
    """Cuts an interval at zero: no latency, memory or energy lies below it, so no truth is lost."""
    if found.low is None or found.low >= 0 or found.estimate is None or found.estimate < 0:
        return found
    return replace(found, low=0.0)


def largest_over_phases(found: Iterable[Figure]) -> Figure | None:
    """Returns the figure of the phase with the largest run, for figures that are peaks."""
    measured = [figure for figure in found if figure.maximum is not None]
    return max(measured, key=lambda figure: figure.maximum or 0.0, default=None)
