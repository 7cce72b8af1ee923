"""Writes a report as HTML, Markdown and JSON.

The page is self-contained: no network, no script, plots inline. Everything
that came from a device or a study file is escaped on the way in.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jinja2

from edgerig.errors import StorageError
from edgerig_controller.report import numbers
from edgerig_controller.report.aggregate import Figure
from edgerig_controller.report.memory import prediction_report
from edgerig_controller.report.model import DeviceFigures, Report
from edgerig_controller.report.plots import plots, why_missing

HTML_NAME = "report.html"
MARKDOWN_NAME = "report.md"
SUMMARY_NAME = "summary.json"


@dataclass(frozen=True)
class ReportFiles:
    """Where the three forms of a report were written."""

    html: Path
    markdown: Path
    summary: Path

    def document(self) -> dict[str, str]:
        """Returns the paths for `--json`."""
        return {"html": str(self.html), "markdown": str(self.markdown), "summary": str(self.summary)}


def html(report: Report) -> str:
    """Renders the self-contained page."""
    template = environment(autoescape=True).get_template("report.html.j2")
    return template.render(report=report, plots=plots(report), memory=prediction_report(report.cells))


def markdown(report: Report) -> str:
    """Renders the same content as Markdown, tables instead of plots."""
    return (
        environment(autoescape=False)
        .get_template("report.md.j2")
        .render(report=report, memory=prediction_report(report.cells))
    )


def document(report: Report) -> dict[str, Any]:
    """Returns the report as a JSON document in stored (SI) units."""
    return dataclasses.asdict(report)


def write(report: Report, folder: Path) -> ReportFiles:
    """Writes all three forms into a folder, each replaced in one step.

    Raises:
        StorageError: the folder cannot be written.
    """
    files = ReportFiles(folder / HTML_NAME, folder / MARKDOWN_NAME, folder / SUMMARY_NAME)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(files.html, html(report))
        replace_file(files.markdown, markdown(report))
        replace_file(files.summary, json.dumps(document(report), indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise StorageError(
            f"the report cannot be written to {folder}: {error.strerror}",
            hint="free some space, or choose another folder with --out",
        ) from error
    return files


def replace_file(path: Path, text: str) -> None:
    """Writes a file in one step: a reader sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def environment(*, autoescape: bool) -> jinja2.Environment:
    """Makes the templates' environment with the filters that word figures."""
    # Markdown is escaped by its own filter, `cell`; HTML entities would be wrong there.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgerig_controller.report", "templates"),
        autoescape=autoescape,  # noqa: S701
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        points=_points,
        signed=_signed,
        figure=figure_words,
        peak=peak_words,
        energy=energy_words,
        date=date_words,
        bytes=lambda value: numbers.quantity(value, "B"),
        seconds=lambda value: numbers.quantity(value, "s"),
        joules=lambda value: numbers.quantity(value, "J"),
        cell=markdown_cell,
        missing=why_missing,
    )
    return environment


def _points(found: Any) -> str:
    return numbers.points(found.estimate, found.low, found.high)


def _signed(found: Any) -> str:
    return numbers.signed_points(found.estimate, found.low, found.high)


def figure_words(figure: Figure | None) -> str:
    """Words a figure with its interval, or '–' where a cell has none."""
    if figure is None:
        return "–"
    found = figure.estimate
    return numbers.quantity(found.estimate, figure.unit, found.low, found.high)


def peak_words(figure: Figure | None) -> str:
    """Words the largest run of a figure: what a box must have, not the average."""
    return "–" if figure is None else numbers.quantity(figure.maximum, figure.unit)


def energy_words(device: DeviceFigures) -> str:
    """Words the energy of inference per boundary, or says that it is unavailable."""
    if not device.energy:
        return "unavailable"
    return "; ".join(
        f"{figure_words(figure)} ({figure.boundary or 'boundary unknown'})" for figure in device.energy
    )


def date_words(unix_s: float | None) -> str:
    """Words a moment in UTC."""
    if unix_s is None:
        return "–"
    return datetime.fromtimestamp(unix_s, tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def markdown_cell(value: Any) -> str:
    """Escapes text for a Markdown table or sentence; nothing in it can become markup."""
    text = " ".join(str(value).split())
    for character in "\\`*_[]|":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
