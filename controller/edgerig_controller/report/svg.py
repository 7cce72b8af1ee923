"""Dot plots with intervals as inline SVG, drawn for a narrow page and scaled up to a wide one.

Colours come from the page's CSS variables, so that light, dark and print need
no second drawing. Labels stand above their row: at 400 pixels nothing has to
be cut or turned. Knows nothing of studies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 360
ROW = 34
TOP = 6
AXIS = 26
MARGIN = 8
# A page of dots stops being readable; the tables hold every row.
MAX_ROWS = 60


@dataclass(frozen=True)
class Dot:
    """One row: a mean with its interval and the single runs, or the reason why there is none."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    runs: tuple[float, ...] = ()
    text: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Axis:
    """A horizontal axis over the width of a drawing."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Returns where a value stands, in the drawing's units."""
        share = (value - self.low) / (self.high - self.low)
        return MARGIN + share * (WIDTH - 2 * MARGIN)


def dot_plot(
    rows: Sequence[Dot],
    *,
    title: str,
    unit: str = "",
    zero: bool = False,
    bounds: tuple[float, float] | None = None,
) -> str:
    """Draws one row per dot over a common axis.

    Args:
        rows: at most MAX_ROWS are drawn.
        title: read out by screen readers.
        unit: printed behind the last value of the axis.
        zero: include zero and mark it with a line (differences, amounts).
        bounds: limits that the axis never exceeds, for scores.
    """
    shown = rows[:MAX_ROWS]
    axis = _axis(shown, zero=zero, bounds=bounds)
    height = TOP + ROW * len(shown) + AXIS
    ticks = ticks_of(axis.low, axis.high)
    bottom = TOP + ROW * len(shown)
    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{attribute(title)}">',
        f"<title>{escape(title)}</title>",
    ]
    parts += [grid_line(axis.x(value), bottom, strong=zero and value == 0) for value in ticks]
    for number, row in enumerate(shown):
        parts += _row(row, axis, TOP + ROW * number)
    parts += tick_labels(axis, ticks, bottom, unit)
    parts.append("</svg>")
    return "".join(parts)


def tick_labels(axis: Axis, ticks: Sequence[float], bottom: float, unit: str) -> list[str]:
    """Writes the figures below an axis; the last one has the unit."""
    return [
        tick_label(
            axis.x(value),
            bottom + 15,
            f"{value:g}".replace("-", "−") + (f" {unit}" if unit and value == ticks[-1] else ""),
        )
        for value in ticks
    ]


def _row(row: Dot, axis: Axis, top: float) -> list[str]:
    middle = top + 23
    label = shorten(row.label, 58 - len(row.text or row.missing))
    parts = [f'<text class="label" x="{MARGIN}" y="{top + 12}">{escape(label)}</text>']
    note = row.missing if row.value is None else row.text
    kind = "missing" if row.value is None else "value"
    parts.append(
        f'<text class="{kind}" x="{WIDTH - MARGIN}" y="{top + 12}">{escape(shorten(note, 44))}</text>'
    )
    if row.low is not None and row.high is not None:
        left = axis.x(max(row.low, axis.low))
        right = axis.x(min(row.high, axis.high))
        parts.append(f'<path class="interval" d="M{left:.1f} {middle}H{right:.1f}"/>')
    parts += [f'<path class="run" d="M{axis.x(run):.1f} {middle - 4}v8"/>' for run in row.runs]
    if row.value is not None:
        parts.append(f'<circle class="dot" cx="{axis.x(row.value):.1f}" cy="{middle}" r="3.6"/>')
    return parts


def grid_line(x: float, bottom: float, *, strong: bool) -> str:
    """Draws the vertical line of a tick."""
    return f'<path class="{"zero" if strong else "gridline"}" d="M{x:.1f} {TOP}V{bottom + 3}"/>'


def tick_label(x: float, y: float, text: str) -> str:
    """Writes the figure of a tick, inside the drawing at its ends."""
    anchor = "start" if x < 30 else "end" if x > WIDTH - 30 else "middle"
    return f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _axis(rows: Sequence[Dot], *, zero: bool, bounds: tuple[float, float] | None) -> Axis:
    found = [value for row in rows for value in (row.value, row.low, row.high, *row.runs)]
    return axis_of([value for value in found if value is not None], zero=zero, bounds=bounds)


def axis_of(
    values: Sequence[float], *, zero: bool = False, bounds: tuple[float, float] | None = None
) -> Axis:
    """Makes an axis that holds all values, with a little room at its ends.

    Args:
        values: what has to fit.
        zero: zero has to fit as well.
        bounds: limits that the axis never exceeds.
    """
    inside = [*values, 0.0] if zero else list(values)
    low, high = (min(inside), max(inside)) if inside else (0.0, 1.0)
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    if high - low <= 1e-12 * max(abs(high), abs(low), 1e-300):
        half = abs(high) / 2 or 0.5
        low, high = low - half, high + half
    pad = 0.04 * (high - low)
    return Axis(low - (0.0 if zero and low == 0 else pad), high + pad)


def ticks_of(low: float, high: float) -> list[float]:
    """Chooses three to six round values inside [low, high]."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    count = math.floor(high / step) - first + 1
    return [(first + number) * step for number in range(count)]


def shorten(text: str, room: int) -> str:
    """Cuts text to so many characters, with an ellipsis."""
    return text if len(text) <= max(room, 8) else text[: max(room, 8) - 1] + "…"


def attribute(text: str) -> str:
    """Escapes text for an attribute in double quotes."""
    return escape(text, {'"': "&quot;"})
