"""A report on the terminal, and as the records of `edgerig run --json`."""

from __future__ import annotations

import dataclasses
from typing import Any

from edgerig.errors import EXIT_FAILED, EXIT_OK
from edgerig_controller.cli.output import Column, Output
from edgerig_controller.guidelines.estimate import STEADY_NOTE
from edgerig_controller.report.data import StudyData
from edgerig_controller.report.model import CellReport, DeviceFigures, Report
from edgerig_controller.report.numbers import points, quantity, signed_points
from edgerig_controller.report.plots import why_missing
from edgerig_controller.report.render import figure_words, peak_words

_COLUMNS = (
    Column("cell"),
    Column("n", right=True),
    Column("quality [95 %]"),
    Column("TTFT p50"),
    Column("decode"),
    Column("peak RAM", right=True),
    Column("energy, inference"),
    Column("failures"),
)
_CONTRAST_COLUMNS = (
    Column("cell"),
    Column("compared with"),
    Column("difference [95 %]"),
    Column("users", right=True),
    Column("items", right=True),
    Column("seeds", right=True),
)
_MEASUREMENT_FIELDS = (
    "name", "phase", "statistic", "value", "unavailable_reason", "boundary", "source", "flags",
)  # fmt: skip


def exit_code(report: Report) -> int:
    """Returns 0 when every trial has a result or is settled; a limit such as oom_host is a result."""
    accident = any(not failure.is_result for failure in report.failures)
    without = report.trial_count - report.ok_count - report.failed_count - report.settled_count
    return EXIT_FAILED if accident or without else EXIT_OK


def show(out: Output, report: Report) -> None:
    """Prints the table of cells, the differences to none, failures and what is unavailable."""
    badges = [
        text
        for flag, text in (
            (report.indicative, "indicative"),
            (report.instrument_check, "instrument check"),
            (report.canary is not None and report.canary.flags, "canary drift"),
        )
        if flag
    ]
    tail = f" ({', '.join(badges)})" if badges else ""
    left_out = f", {report.settled_count} not needed" if report.settled_count else ""
    counts = f"{report.ok_count} of {report.trial_count} trials ok{left_out}"
    out.heading(f"{report.name} {report.study_id}: {counts}{tail}")
    out.table(_COLUMNS, [row for cell in report.cells for row in _cell_rows(cell)])
    if report.contrasts:
        out.heading("Differences to none, paired on the same items and seeds (points)")
        out.table(
            _CONTRAST_COLUMNS,
            [
                (
                    contrast.cell,
                    contrast.baseline,
                    _signed(contrast.difference),
                    str(contrast.difference.n_users),
                    str(contrast.difference.n_items),
                    str(contrast.difference.n_seeds),
                )
                for contrast in report.contrasts
            ],
        )
        notes = {row.difference.note for row in report.contrasts} - {"", STEADY_NOTE}
        for note in sorted(notes):
            out.text(out.style(f"note: {note}", "dim"))
    _show_gaps(out, report)


def _show_gaps(out: Output, report: Report) -> None:
    if report.failures:
        out.heading("Failures")
        for failure in report.failures:
            kind = failure.failure_class or failure.status
            phase = f" in {failure.phase}" if failure.phase else ""
            out.text(f"{failure.cell} ({', '.join(failure.runs)}): {kind}{phase}: {failure.message}")
    if report.unavailable:
        out.heading("Not measured")
        for entry in report.unavailable:
            out.text(f"{', '.join(entry.names)} ({', '.join(entry.phases)}): {entry.words}")


def _cell_rows(cell: CellReport) -> list[tuple[str, ...]]:
    failures = why_missing(cell) if cell.failures else ""
    if not cell.devices:
        return [(cell.label, "0", "–", "–", "–", "–", "–", failures or why_missing(cell))]
    several = len(cell.devices) > 1
    return [
        (
            f"{cell.label} @ {device.device_id}" if several else cell.label,
            str(device.run_count),
            points(cell.quality.estimate, cell.quality.low, cell.quality.high),
            figure_words(device.ttft),
            figure_words(device.decode),
            peak_words(device.ram),
            _energy(device),
            failures or "–",
        )
        for device in cell.devices
    ]


def _energy(device: DeviceFigures) -> str:
    if not device.energy:
        return "unavailable"
    return "; ".join(
        f"{quantity(figure.estimate.estimate, figure.unit)} {figure.boundary}".strip()
        for figure in device.energy
    )


def _signed(found: Any) -> str:
    return signed_points(found.estimate, found.low, found.high)


def records(data: StudyData) -> list[dict[str, Any]]:
    """Returns one record per result: what ran, how it ended, its score and its figures."""
    labels = {cell.cell_index: cell.label for cell in data.cells}
    figures: dict[str, list[dict[str, Any]]] = {}
    for row in data.measurements:
        figures.setdefault(row.attempt_id, []).append(
            {name: getattr(row, name) for name in _MEASUREMENT_FIELDS}
        )
    return [
        {
            "attempt_id": row.attempt_id,
            "cell": labels.get(row.cell_index, ""),
            "cell_index": row.cell_index,
            "seed": row.seed,
            "repeat": row.repeat,
            "device_id": row.device_id,
            "status": row.status,
            "failure_class": row.failure_class,
            "quality": row.quality,
            "item_count": row.item_count,
            "duration_s": row.duration_s,
            "reused": row.reused,
            "measurements": figures.get(row.attempt_id, []),
        }
        for row in data.results()
    ]


def failures(report: Report) -> list[dict[str, Any]]:
    """Returns the failures of a report as JSON objects."""
    return [dataclasses.asdict(failure) for failure in report.failures]
