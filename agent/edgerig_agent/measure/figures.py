"""Builds `Measurement` messages: one figure each, with what is needed to judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import cast

from edgerig.v1.attempt_pb2 import Boundary, Measurement, Phase, UncertaintyPart
from edgerig.words import number
from edgerig_agent.measure.uncertainty import Part, expanded


@dataclass(frozen=True)
class Origin:
    """Where a figure comes from; goes unchanged into the measurement."""

    source: str
    method: str
    boundary: str = ""
    flags: tuple[str, ...] = ()


def figure(
    name: str,
    phase: Phase,
    statistic: str,
    value: float,
    origin: Origin,
    *,
    sample_count: int = 0,
) -> Measurement:
    """Returns a figure that was measured; what came out as no number is unavailable."""
    if not isfinite(value):
        reason = f"not_finite: the figures it is made of give {value}"
        return unavailable(name, phase, statistic, reason, origin, sample_count=sample_count)
    return Measurement(
        name=name,
        phase=phase,
        statistic=statistic,
        value=value,
        boundary=_boundary(origin.boundary),
        source=origin.source,
        method=origin.method,
        sample_count=sample_count,
        flags=origin.flags,
    )


def unavailable(
    name: str, phase: Phase, statistic: str, reason: str, origin: Origin, *, sample_count: int = 0
) -> Measurement:
    """Returns a figure that could not be measured, with the reason instead of a value."""
    return Measurement(
        name=name,
        phase=phase,
        statistic=statistic,
        unavailable_reason=reason,
        boundary=_boundary(origin.boundary),
        source=origin.source,
        method=origin.method,
        sample_count=sample_count,
        flags=origin.flags,
    )


def with_uncertainty(measured: Measurement, parts: Sequence[Part]) -> Measurement:
    """Puts the parts of its uncertainty on a figure, and value ± u95 as its interval.

    The interval is called `u95_partial` where a part is not known.
    """
    reach = expanded(parts)
    if measured.unavailable_reason or not isfinite(reach):
        return measured
    measured.low, measured.high = measured.value - reach, measured.value + reach
    is_whole = all(part.standard is not None for part in parts)
    measured.interval_kind = "u95" if is_whole else "u95_partial"
    for part in parts:
        measured.uncertainty.append(
            UncertaintyPart(name=part.name, standard=part.standard, unknown_reason=part.unknown_reason)
        )
    return measured


def _boundary(text: str) -> Boundary:
    return cast("Boundary", number(Boundary, text))
