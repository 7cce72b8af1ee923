"""Forest, front and curve drawings as inline SVG, for a narrow page and scaled up to a wide one.

Colours come from the page's CSS variables. State and kind are told by shape as
well as by colour: filled = certified, hollow = undetermined, cross = excluded;
circle = measured hardware, square = emulated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from edgerig_controller.guidelines.claims import LOG_RATIO
from edgerig_controller.guidelines.guideline import Guideline
from edgerig_controller.guidelines.resources import percent
from edgerig_controller.guidelines.words import metric_name
from edgerig_controller.report.guide.model import Curve, CurvePlot, FrontPlot, FrontPoint
from edgerig_controller.report.numbers import scale_for
from edgerig_controller.report.svg import (
    AXIS,
    MARGIN,
    MAX_ROWS,
    ROW,
    TOP,
    WIDTH,
    Axis,
    attribute,
    axis_of,
    grid_line,
    shorten,
    tick_labels,
    ticks_of,
)

PLANE_HEIGHT = 240
PLANE_LEFT = 40
# Of more points than this the excluded ones have neither number nor bars.
CROWD = 12


def forest(found: Guideline) -> str:
    """Draws a guideline: places with 95 % intervals, the pooled effect, the prediction interval, ±delta."""
    turn = percent if found.unit == LOG_RATIO else _same
    places = found.places[:MAX_ROWS]
    pooled = [found.estimate, *(found.interval or ()), *(found.prediction or ())]
    values = [turn(value) for value in pooled if value is not None]
    values += [turn(v) for place in places for v in (place.estimate, *(place.interval_95 or ()))]
    band = (turn(-found.delta), turn(found.delta))
    axis = axis_of([*values, *band], zero=True)
    rows = len(places) + 1 + (found.prediction is not None)
    bottom = TOP + ROW * rows
    ticks = ticks_of(axis.low, axis.high)
    title = f"{found.claim_id}: effect per task and pooled"
    parts = [_open(bottom + AXIS, title)]
    left, right = axis.x(band[0]), axis.x(band[1])
    parts.append(
        f'<rect class="band" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" height="{bottom - TOP}"/>'
    )
    parts += [grid_line(axis.x(value), bottom, strong=value == 0) for value in ticks]
    at = 0
    for at, place in enumerate(places, start=1):
        interval = place.interval_95
        bounds = None if interval is None else (turn(interval[0]), turn(interval[1]))
        parts += _interval_row(axis, at - 1, place.task, turn(place.estimate), bounds, "dot")
    assert found.estimate is not None
    whole = found.interval
    bounds = None if whole is None else (turn(whole[0]), turn(whole[1]))
    parts += _interval_row(
        axis, at, "pooled, adjusted for all claims", turn(found.estimate), bounds, "diamond"
    )
    if found.prediction is not None:
        low, high = turn(found.prediction[0]), turn(found.prediction[1])
        parts += _interval_row(axis, at + 1, "a new task, 95 % prediction", None, (low, high), "prediction")
    unit = "%" if found.unit == LOG_RATIO else found.unit
    return "".join([*parts, *tick_labels(axis, ticks, bottom, unit), "</svg>"])


def _same(value: float) -> float:
    return value


def _open(height: float, title: str) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{attribute(title)}">'
        f"<title>{escape(title)}</title>"
    )


def _interval_row(
    axis: Axis, row: int, label: str, value: float | None, bounds: tuple[float, float] | None, kind: str
) -> list[str]:
    top = TOP + ROW * row
    middle = top + 23
    text = "" if value is None else f"{value:+.3g}".replace("-", "−")
    parts = [
        f'<text class="label" x="{MARGIN}" y="{top + 12}">{escape(shorten(label, 48))}</text>',
        f'<text class="value" x="{WIDTH - MARGIN}" y="{top + 12}">{text}</text>',
    ]
    if bounds is not None:
        style = "prediction" if kind == "prediction" else "interval"
        ends = f"M{axis.x(bounds[0]):.1f} {middle}H{axis.x(bounds[1]):.1f}"
        parts.append(f'<path class="{style}" d="{ends}"/>')
    if value is not None:
        x = axis.x(value)
        if kind == "diamond":
            parts.append(f'<path class="dot" d="M{x - 6:.1f} {middle}l6 -5l6 5l-6 5z"/>')
        else:
            parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{middle}" r="3.6"/>')
    return parts


class _Plane:
    """A plane with a horizontal axis of its own place and a vertical one."""

    def __init__(self, x: Axis, y: Axis) -> None:
        self._x, self._y = x, y

    def x(self, value: float) -> float:
        share = (value - self._x.low) / (self._x.high - self._x.low)
        return PLANE_LEFT + share * (WIDTH - MARGIN - PLANE_LEFT)

    def y(self, value: float) -> float:
        share = (value - self._y.low) / (self._y.high - self._y.low)
        return PLANE_HEIGHT - AXIS - 12 - share * (PLANE_HEIGHT - AXIS - 12 - TOP)

    def frame(self, x_ticks: Sequence[tuple[float, str]], x_name: str, y_name: str) -> list[str]:
        """Draws grid, figures and names of both axes."""
        bottom = self.y(self._y.low)
        parts = []
        for value in ticks_of(self._y.low, self._y.high):
            y = self.y(value)
            strong = "zero" if value == 0 else "gridline"
            parts.append(f'<path class="{strong}" d="M{PLANE_LEFT} {y:.1f}H{WIDTH - MARGIN}"/>')
            text = f"{value:g}".replace("-", "−")
            parts.append(_tick(f'x="{PLANE_LEFT - 4}" y="{y + 3:.1f}"', "end", text))
        for value, text in x_ticks:
            x = self.x(value)
            anchor = "end" if x > WIDTH - 30 else "middle"
            parts.append(f'<path class="gridline" d="M{x:.1f} {TOP}V{bottom + 3:.1f}"/>')
            parts.append(_tick(f'x="{x:.1f}" y="{bottom + 14:.1f}"', anchor, text))
        middle = (PLANE_LEFT + WIDTH - MARGIN) / 2
        parts.append(_tick(f'x="{middle}" y="{PLANE_HEIGHT - 3}"', "middle", x_name))
        turned = f'transform="translate(9 {PLANE_HEIGHT / 2 - 10}) rotate(-90)"'
        parts.append(_tick(turned, "middle", y_name))
        return parts


def _tick(place: str, anchor: str, text: str) -> str:
    return f'<text class="tick" {place} text-anchor="{anchor}">{escape(text)}</text>'


def front_plot(found: FrontPlot) -> str:
    """Draws quality over one cost; what lies left and above is better."""
    most = max(point.cost.value for point in found.points)
    scale = scale_for(found.unit, most)
    costs = [v / scale.divisor for p in found.points for v in _span(p.cost.value, p.cost.low, p.cost.high)]
    quality = [v for p in found.points for v in _span(p.quality.value, p.quality.low, p.quality.high)]
    x_axis, y_axis = axis_of(costs), axis_of(quality)
    plane = _Plane(x_axis, y_axis)
    title = f"Quality and {metric_name(found.cost)} on {found.device}, {found.task}"
    parts = [_open(PLANE_HEIGHT, title)]
    ticks = [(value, f"{value:g}") for value in ticks_of(x_axis.low, x_axis.high)]
    parts += plane.frame(ticks, f"{metric_name(found.cost)} in {scale.unit}", "quality, points")
    crowded = len(found.points) > CROWD
    # What is worth choosing is drawn last, above the rest.
    for number, point in reversed(list(enumerate(found.points, start=1))):
        bare = crowded and point.state == "excluded"
        parts += [] if bare else _cross(plane, point, scale.divisor)
        x, y = plane.x(point.cost.value / scale.divisor), plane.y(point.quality.value)
        parts += _mark(x, y, point, "" if bare else str(number))
    return "".join([*parts, "</svg>"])


def _span(value: float, low: float | None, high: float | None) -> list[float]:
    return [found for found in (value, low, high) if found is not None]


def _cross(plane: _Plane, point: FrontPoint, divisor: float) -> list[str]:
    parts = []
    x, y = plane.x(point.cost.value / divisor), plane.y(point.quality.value)
    cost, quality = point.cost, point.quality
    if cost.low is not None and cost.high is not None:
        left, right = plane.x(cost.low / divisor), plane.x(cost.high / divisor)
        parts.append(f'<path class="thin" d="M{left:.1f} {y:.1f}H{right:.1f}"/>')
    if quality.low is not None and quality.high is not None:
        parts.append(
            f'<path class="thin" d="M{x:.1f} {plane.y(quality.low):.1f}V{plane.y(quality.high):.1f}"/>'
        )
    return parts


def _mark(x: float, y: float, point: FrontPoint, number: str) -> list[str]:
    label = f'<text class="label" x="{x + 7:.1f}" y="{y - 6:.1f}">{number}</text>'
    if point.state == "excluded":
        arms = f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"
        return [f'<path class="excluded" d="{arms}"/>', label]
    style = "dot" if point.state == "certified" else "hollow"
    if point.emulated:
        return [f'<rect class="{style}" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>', label]
    return [f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="4.4"/>', label]


def curve_plot(found: CurvePlot) -> str:
    """Draws up to six curves over an amount; `all` stands one step behind the largest number."""
    place = _places({point.x for curve in found.curves for point in curve.points})
    x_axis = axis_of(list(place.values()))
    values = [v for c in found.curves for p in c.points for v in _span(p.y.value, p.y.low, p.y.high)]
    plane = _Plane(x_axis, axis_of(values, zero="against" in found.y_name))
    parts = [_open(PLANE_HEIGHT, f"{found.title}, {found.task}")]
    named = [(at, "all" if math.isinf(x) else f"{x:.4g}") for x, at in place.items()]
    parts += plane.frame(_sparse(named, plane), found.x_name, found.y_name)
    for number, curve in enumerate(found.curves, start=1):
        parts += _curve(plane, place, curve, number)
    return "".join([*parts, "</svg>"])


def _places(amounts: set[float]) -> dict[float, float]:
    """Places amounts on the axis: by their logarithm where they span much, as designs that double do."""
    numbers = sorted(x for x in amounts if math.isfinite(x))
    is_log = bool(numbers) and numbers[0] > 0 and numbers[-1] / numbers[0] > 8
    place = {x: math.log(x) if is_log else x for x in numbers}
    if math.inf in amounts:
        step = (place[numbers[-1]] - place[numbers[0]]) / 4 if len(numbers) > 1 else 1.0
        place[math.inf] = (place[numbers[-1]] if numbers else 0.0) + step
    return place


def _curve(plane: _Plane, place: Mapping[float, float], curve: Curve, number: int) -> list[str]:
    # Curves stand a little beside each other, so that their intervals do not hide one another.
    line = [(plane.x(place[p.x]) + 2 * (number - 1), plane.y(p.y.value)) for p in curve.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
    parts = [f'<path class="curve s{number}" d="M{path}"/>']
    for (x, y), point in zip(line, curve.points, strict=True):
        if point.y.low is not None and point.y.high is not None:
            ends = f"M{x:.1f} {plane.y(point.y.low):.1f}V{plane.y(point.y.high):.1f}"
            parts.append(f'<path class="thin s{number}" d="{ends}"/>')
        parts.append(f'<circle class="mark s{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    x, y = line[-1]
    where = f'x="{x - 6:.1f}" y="{y - 6:.1f}" text-anchor="end"'
    return [*parts, f'<text class="label" {where}>{number}</text>']


def _sparse(ticks: Sequence[tuple[float, str]], plane: _Plane) -> list[tuple[float, str]]:
    """Leaves out ticks whose figures would run into the one before."""
    kept: list[tuple[float, str]] = []
    for value, text in ticks:
        if not kept or plane.x(value) - plane.x(kept[-1][0]) >= 6 * max(len(text), len(kept[-1][1])):
            kept.append((value, text))
    return kept
