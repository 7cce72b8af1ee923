"""Figures as people read them: sensible digits, a unit, an interval.

Knows units by the suffixes that measurement names carry (`ttft_s`,
`rss_peak_bytes`, `energy_j`). Digits follow the width of the interval: a
figure known to 0.4 ms is not printed to the nanosecond.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How a stored value becomes a printed one: printed = value / divisor."""

    unit: str
    divisor: float


_TIME = (("µs", 1e-6, 0.0), ("ms", 1e-3, 1e-3), ("s", 1.0, 1.0), ("min", 60.0, 300.0), ("h", 3600.0, 7200.0))
_BYTES = (("B", 1.0, 0.0), ("KiB", 2.0**10, 2.0**10), ("MiB", 2.0**20, 2.0**20), ("GiB", 2.0**30, 2.0**30))
_JOULE = (("mJ", 1e-3, 0.0), ("J", 1.0, 1.0), ("kJ", 1e3, 1e4))
_WATT = (("mW", 1e-3, 0.0), ("W", 1.0, 1.0))


def unit_of(name: str) -> str:
    """Returns the SI unit that a measurement's name carries; '' for a pure number."""
    for suffix, unit in (
        ("_tokens_per_s", "tokens/s"),
        ("_samples_per_s", "samples/s"),
        ("samples_per_s", "samples/s"),
        ("_per_s", "1/s"),
        ("_hz", "Hz"),
        ("_bytes", "B"),
        ("_j", "J"),
        ("_w", "W"),
        ("_s", "s"),
        ("_ratio", ""),
        ("_count", ""),
    ):
        if name.endswith(suffix):
            return unit
    if name.startswith("j_per_"):
        return "J/" + name.removeprefix("j_per_").replace("_", " ")
    return ""


def scale_for(unit: str, value: float) -> Scale:
    """Chooses the printed unit for a value, so that it reads without powers of ten."""
    steps = {"s": _TIME, "B": _BYTES, "J": _JOULE, "W": _WATT}.get(unit)
    if steps is None:
        return Scale(unit, 1.0)
    chosen = steps[0]
    for step in steps:
        if abs(value) >= step[2]:
            chosen = step
    return Scale(chosen[0], chosen[1])


def _decimals(value: float, half_width: float | None) -> int:
    """Digits after the point: two digits of the half-width, else three of the value."""
    basis = half_width if half_width else abs(value) / 10
    if not basis or not math.isfinite(basis):
        return 1
    return max(0, min(6, 1 - math.floor(math.log10(basis))))


def plain(value: float, half_width: float | None = None) -> str:
    """Formats a number with the digits that its half-width leaves meaningful."""
    decimals = _decimals(value, half_width)
    text = f"{value:,.{decimals}f}".replace(",", "\u202f")
    if float(f"{value:.{decimals}f}") == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def quantity(value: float | None, unit: str, low: float | None = None, high: float | None = None) -> str:
    """Formats a figure with its interval: `12.4 ms [11.9, 12.9]`; '–' for no value."""
    if value is None:
        return "–"
    scale = scale_for(unit, value)
    half = (high - low) / 2 / scale.divisor if low is not None and high is not None else None
    # There are no halves of a byte.
    text = plain(value, 10.0) if scale.unit == "B" else plain(value / scale.divisor, half)
    if scale.unit:
        text = f"{text} {scale.unit}"
    if half is not None:
        text += " " + _bracket((low or 0.0) / scale.divisor, (high or 0.0) / scale.divisor, half, plain)
    return text


def points(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """Formats a score in [0, 1] as points of 100 with its interval."""
    return _points(value, low, high, plain)


def signed_points(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """Formats a difference of scores as points, always with its sign."""
    return _points(value, low, high, _signed)


def _points(
    value: float | None, low: float | None, high: float | None, write: Callable[[float, float | None], str]
) -> str:
    if value is None:
        return "–"
    # One decimal always: scores of some hundred items are never known better.
    text = write(100 * value, 5.0)
    if low is None or high is None:
        return text
    return text + " " + _bracket(100 * low, 100 * high, 5.0, write)


def _signed(value: float, half_width: float | None) -> str:
    text = plain(value, half_width)
    return text if text.startswith("−") or not text.strip("0.") else f"+{text}"


def _bracket(low: float, high: float, half: float, write: Callable[[float, float | None], str]) -> str:
    return f"[{write(low, half)}, {write(high, half)}]"
