"""Writes the report of guidelines as HTML, Markdown and JSON.

The page is self-contained and has no script. Everything that came from outside
is escaped on the way in; links lead from sentences to the lines of their runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerig.errors import StorageError
from edgerig_controller.guidelines.claims import LOG_RATIO
from edgerig_controller.guidelines.estimate import MeanEstimate
from edgerig_controller.guidelines.guideline import Guideline
from edgerig_controller.guidelines.resources import percent
from edgerig_controller.guidelines.wording import figure, size
from edgerig_controller.guidelines.words import metric_name
from edgerig_controller.report import numbers
from edgerig_controller.report.guide import draw, facts
from edgerig_controller.report.guide.coverage import anchor
from edgerig_controller.report.guide.extras import document
from edgerig_controller.report.guide.model import Amount, GuideReport
from edgerig_controller.report.render import environment, replace_file

HTML_NAME, MARKDOWN_NAME, JSON_NAME = "report.html", "report.md", "guidelines.json"
GOOD = ("supported", "equivalent", "clear", "certified", "ok", "no sign")
SOFT = ("not tested", "waiting", "running", "single", "excluded", "unknown")
BAD = ("contradicted", "sign")
# Runs that a sentence links one by one; more are folded away.
FEW = 6


@dataclass(frozen=True)
class GuideFiles:
    """Where the three forms were written."""

    html: Path
    markdown: Path
    guidelines: Path

    def document(self) -> dict[str, str]:
        """Returns the paths for `--json`."""
        return {
            "html": str(self.html),
            "markdown": str(self.markdown),
            "guidelines": str(self.guidelines),
        }


def html(report: GuideReport) -> str:
    """Renders the self-contained page."""
    return _render(report, "guide.html.j2", autoescape=True)


def markdown(report: GuideReport) -> str:
    """Renders the same content as Markdown, tables instead of drawings."""
    return _render(report, "guide.md.j2", autoescape=False)


def _render(report: GuideReport, template: str, *, autoescape: bool) -> str:
    made = environment(autoescape=autoescape)
    made.filters.update(
        badge=badge_class,
        amount=amount_words,
        effect=effect_words,
        margin=lambda found: size(found.delta, found.unit),
        mde=lambda found: size(found.mde, found.unit),
        facts=facts.sentences,
        losses=loss_words,
        prediction=prediction_words,
        forest=draw.forest,
        front=draw.front_plot,
        curve=draw.curve_plot,
        anchor=anchor,
        short=lambda attempt_id: attempt_id[:8],
        probability=lambda value: f"{value:.2f}",
        share=share_words,
        limit=lambda entry: numbers.quantity(entry.value, entry.unit, None, None),
        axis=metric_name,
    )
    return made.get_template(template).render(report=report, guide=report.guide, few=FEW)


def badge_class(word: str) -> str:
    """Returns the style of a verdict or a state."""
    if word.startswith(GOOD):
        return "good"
    if word.startswith(BAD):
        return "bad"
    return (
        "soft-badge"
        if word in ("not tested", "waiting", "running", "single", "excluded", "unknown")
        else "warn"
    )


def amount_words(found: Amount | None, unit: str = "") -> str:
    """Words an estimate with its interval; points by default, else a measured unit."""
    if found is None:
        return "–"
    if unit:
        return numbers.quantity(found.value, unit, found.low, found.high)
    low, high = (None if value is None else value / 100 for value in (found.low, found.high))
    return numbers.points(found.value / 100, low, high)


def share_words(value: float, low: float, high: float) -> str:
    """Words a share of the box between reference and ideal point, in percent, with its interval."""
    return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def loss_words(found: MeanEstimate | None) -> str:
    """Words a difference of losses in nats per token with its interval."""
    if found is None or found.estimate is None:
        return "–"
    text = f"{found.estimate:+.2f}"
    if found.low is not None and found.high is not None:
        text += f" [{found.low:+.2f}, {found.high:+.2f}]"
    return text.replace("-", "−")


def prediction_words(found: Guideline) -> str:
    """Words where the effect on a new task may lie, in the unit that people read."""
    if found.prediction is None:
        return "–"
    turn, unit = (percent, "%") if found.unit == LOG_RATIO else (float, found.unit)
    low, high = (turn(bound) for bound in found.prediction)
    return f"from {low:+.3g} to {high:+.3g} {unit}".replace("-", "−")


def effect_words(found: Guideline) -> str:
    """Words the effect with the interval that the verdict rests on."""
    if found.estimate is None:
        return "–"
    if found.interval is None:
        return f"{found.estimate:+.3g} {found.unit}, no interval".replace("-", "−")
    return figure(found.estimate, found.interval, found.unit)


def write(report: GuideReport, folder: Path) -> GuideFiles:
    """Writes all three forms into a folder, each replaced in one step.

    Raises:
        StorageError: the folder cannot be written.
    """
    files = GuideFiles(folder / HTML_NAME, folder / MARKDOWN_NAME, folder / JSON_NAME)
    whole: dict[str, Any] = document(report)
    texts: Sequence[tuple[Path, str]] = (
        (files.html, html(report)),
        (files.markdown, markdown(report)),
        (files.guidelines, json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts:
            replace_file(path, text)
    except OSError as error:
        raise StorageError(
            f"the report cannot be written to {folder}: {error.strerror}",
            hint="free some space, or choose another folder with --out",
        ) from error
    return files
