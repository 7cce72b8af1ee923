"""Builds `Measurement` messages: one figure each, with what is needed to judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from edgerig.v1.attempt_pb2 import Boundary, Measurement, Phase
from edgerig.words import number


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
    """Returns a figure that was measured."""
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


def _boundary(text: str) -> Boundary:
    return cast("Boundary", number(Boundary, text))
