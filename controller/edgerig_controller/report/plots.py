"""Which plots a report shows: quality, differences, latency, speed, memory and energy.

A cell without a figure keeps its row and says why it has none: a plot that
drops what failed shows a better world than the one measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from edgerig_controller.report.aggregate import Figure
from edgerig_controller.report.model import CellReport, Contrast, DeviceFigures, Report
from edgerig_controller.report.numbers import points, quantity, scale_for, signed_points
from edgerig_controller.report.svg import MAX_ROWS, Dot, dot_plot


@dataclass(frozen=True)
class Plot:
    """One figure of the page: heading, what is drawn, and the drawing."""

    title: str
    caption: str
    svg: str


def plots(report: Report) -> tuple[Plot, ...]:
    """Draws everything of which at least one cell has a value."""
    drawn = [_quality(report), *_contrasts(report)]
    for title, caption, pick in (
        (
            "Time to first token",
            "Median request; strokes: runs, bar: 95 % t interval over runs.",
            _ttft,
        ),
        ("Decode speed", "Output tokens per second of one sequence; higher is better.", _decode),
        (
            "Peak memory",
            "Peak resident set of the worker in its largest phase; strokes: runs.",
            _ram,
        ),
        ("Training time", "Wall time of the training window.", _train),
    ):
        drawn.append(_figure_plot(report, title, caption, pick))
    drawn += _energy(report)
    return tuple(plot for plot in drawn if plot is not None)


def _ttft(device: DeviceFigures) -> Figure | None:
    return device.ttft


def _decode(device: DeviceFigures) -> Figure | None:
    return device.decode


def _ram(device: DeviceFigures) -> Figure | None:
    return device.ram


def _train(device: DeviceFigures) -> Figure | None:
    return device.train


def why_missing(cell: CellReport) -> str:
    """Says in a word or two why a cell has no figure."""
    classes = sorted({failure.failure_class or failure.status for failure in cell.failures})
    return ", ".join(classes) if classes else "no result yet" if cell.ok_count == 0 else "not measured"


def _quality(report: Report) -> Plot | None:
    rows = [
        Dot(
            label=cell.label,
            value=_times_100(cell.quality.estimate),
            low=_times_100(cell.quality.low),
            high=_times_100(cell.quality.high),
            text=points(cell.quality.estimate),
            missing=why_missing(cell),
        )
        for cell in report.cells
    ]
    if all(row.value is None for row in rows):
        return None
    metrics = ", ".join(sorted({cell.metric for cell in report.cells}))
    caption = f"Mean item score in points ({metrics}); bar: 95 % interval over users and seeds."
    svg = dot_plot(rows, title="Quality per cell", unit="points", bounds=(0, 100))
    return Plot("Quality", caption + _cut(rows), svg)


def _contrasts(report: Report) -> list[Plot]:
    drawn = []
    reasons = {cell.index: why_missing(cell) for cell in report.cells if cell.ok_count == 0}
    for factor in sorted({contrast.factor for contrast in report.contrasts}, reverse=True):
        mine = [contrast for contrast in report.contrasts if contrast.factor == factor]
        rows = [_contrast_row(contrast, reasons) for contrast in mine]
        if all(row.value is None for row in rows):
            continue
        title = f"Difference to {factor} none"
        caption = "Paired on the same items and seeds, in points; bar: 95 % interval over users and seeds."
        svg = dot_plot(rows, title=title, unit="points", zero=True)
        drawn.append(Plot(title, caption + _cut(rows), svg))
    return drawn


def _contrast_row(contrast: Contrast, reasons: Mapping[int, str]) -> Dot:
    found = contrast.difference
    reason = reasons.get(contrast.cell_index) or reasons.get(contrast.baseline_index) or found.note
    return Dot(
        label=contrast.cell,
        value=_times_100(found.estimate),
        low=_times_100(found.low),
        high=_times_100(found.high),
        text=signed_points(found.estimate),
        missing=reason,
    )


def _times_100(score: float | None) -> float | None:
    return None if score is None else 100 * score


def _figure_plot(
    report: Report, title: str, caption: str, pick: Callable[[DeviceFigures], Figure | None]
) -> Plot | None:
    rows = []
    unit = ""
    several = len({device.device_id for cell in report.cells for device in cell.devices}) > 1
    relevant = [cell for cell in report.cells if any(pick(device) for device in cell.devices)]
    if not relevant:
        return None
    for cell in report.cells:
        for device in cell.devices:
            label = f"{cell.label} @ {device.device_id}" if several else cell.label
            figure = pick(device)
            if figure is not None:
                unit = figure.unit
                rows.append(_figure_row(label, figure))
        if cell.failures and not cell.devices:
            rows.append(Dot(label=cell.label, value=None, missing=why_missing(cell)))
    return _drawn(title, caption, rows, unit)


def _energy(report: Report) -> list[Plot]:
    rows: dict[str, list[Dot]] = {}
    for cell in report.cells:
        for device in cell.devices:
            for figure in device.energy:
                key = f"{figure.boundary or 'unnamed boundary'}, {figure.source} on {device.device_id}"
                rows.setdefault(key, []).append(_figure_row(cell.label, figure))
    drawn = [
        _drawn(f"Energy of inference: {key}", "Gross energy of the measured block.", found, "J")
        for key, found in sorted(rows.items())
    ]
    return [plot for plot in drawn if plot is not None]


def _figure_row(label: str, figure: Figure) -> Dot:
    found = figure.estimate
    reason = figure.unavailable[0] if figure.unavailable else "not measured"
    return Dot(
        label=label,
        value=found.estimate,
        low=found.low,
        high=found.high,
        runs=figure.values,
        text=quantity(found.estimate, figure.unit),
        missing=reason,
    )


def _drawn(title: str, caption: str, rows: Sequence[Dot], unit: str) -> Plot | None:
    values = [row.value for row in rows if row.value is not None]
    if not values:
        return None
    scale = scale_for(unit, max(abs(value) for value in values))

    scaled = [_scaled(row, scale.divisor) for row in rows]
    return Plot(title, caption + _cut(rows), dot_plot(scaled, title=title, unit=scale.unit, zero=True))


def _scaled(row: Dot, divisor: float) -> Dot:
    """Moves a row into the printed unit, so that the axis has round values in it."""
    return replace(
        row,
        value=None if row.value is None else row.value / divisor,
        low=None if row.low is None else row.low / divisor,
        high=None if row.high is None else row.high / divisor,
        runs=tuple(run / divisor for run in row.runs),
    )


def _cut(rows: Sequence[Dot]) -> str:
    return f" First {MAX_ROWS} of {len(rows)} cells; the tables hold all." if len(rows) > MAX_ROWS else ""
