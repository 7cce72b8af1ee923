"""Words a result for a person: plain text that reads at 80 columns; pure.

Figures stand in readable units here and nowhere else; what was not measured is
listed with its reason, never left out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from edgerig.v1.attempt_pb2 import (
    AttemptResult,
    Boundary,
    FailureClass,
    Measurement,
    Phase,
    ProtocolRecord,
    Status,
)
from edgerig.words import word

WIDTH = 80
# Shorter waits are not worth a line.
_SHOWN_S = 0.5

_SCALES = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")),
    "bytes": ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")),
    "j": ((1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ")),
    "w": ((1.0, "W"), (1e-3, "mW")),
}


def result_lines(result: AttemptResult) -> list[str]:
    """Returns the lines of a result: what came of it, its figures, what could not be measured."""
    lines = [f"status     {word(Status, result.status)}"]
    if result.failure_class:
        phase = word(Phase, result.failure_phase)
        where = f" in {phase}" if phase else ""
        lines.append(f"failure    {word(FailureClass, result.failure_class)}{where}")
    if result.failure_message:
        lines += _wrapped(result.failure_message, first="           ")
    if result.HasField("quality"):
        lines.append(f"quality    {result.quality:.4f} over {result.item_count} items")
    lines += point_lines(result)
    if result.flags:
        lines += _wrapped(", ".join(result.flags), first="flags      ")
    lines += protocol_lines(result.protocol_record)
    measured = [m for m in result.measurements if m.HasField("value")]
    if measured:
        lines += ["", *measurement_lines(measured)]
    missing = [m for m in result.measurements if not m.HasField("value")]
    if missing:
        lines += ["", "Not measured:", *unavailable_lines(missing)]
    return lines


def point_lines(result: AttemptResult) -> list[str]:
    """Returns the curve of training, a line for each point; nothing where only the end was looked at."""
    if len(result.points) < 2:
        return []
    lines = ["", "Training by points of its budget:"]
    for point in result.points:
        parts = [f"{point.budget_share:.0%}", f"{point.steps} steps", f"{point.samples} samples"]
        parts += [f"{point.tokens} tokens", f"{point.duration_s:.2f} s"]
        parts += [f"{energy.energy_j:.2f} J ({energy.source})" for energy in point.energy]
        if point.HasField("held_out_loss"):
            parts.append(f"held-out loss {point.held_out_loss:.4f}")
        if point.HasField("score"):
            parts.append(f"score {point.score:.4f}")
        kept = "kept: " if point.index == result.worker.train_kept_point else ""
        lines += _wrapped(", ".join(parts), first=f"  {kept}")
    return lines


def protocol_lines(record: ProtocolRecord) -> list[str]:
    """Returns what the device was like, what was set and waited for, and what did not hold."""
    before = record.before
    if not before.t_mono_ns:
        return []
    clocks = {True: "clocks pinned", False: "clocks free"}[before.clocks_pinned]
    words = [before.power_mode, before.cpu_governor, clocks if before.HasField("clocks_pinned") else ""]
    if before.HasField("load1"):
        words.append(f"load {before.load1:.2f}")
    if before.temperatures:
        hottest = max(before.temperatures, key=lambda zone: zone.temperature_c)
        base = f" (idle {hottest.base_c:.1f})" if hottest.HasField("base_c") else ""
        words.append(f"{hottest.source} {hottest.temperature_c:.1f} °C{base}")
    lines = _wrapped(", ".join(word for word in words if word), first="device     ")
    if record.settings:
        applied = ", ".join(f"{one.name} {one.before} -> {one.during}" for one in record.settings)
        restored = "" if record.not_restored else "; put back"
        lines += _wrapped(f"{applied}{restored}", first="set        ")
    if record.not_restored:
        lines += _wrapped(f"could not be put back: {record.not_restored}", first="           ")
    if record.waited_s >= _SHOWN_S or record.cooldown_s >= _SHOWN_S:
        ended = "" if record.cooled or not record.HasField("cooled") else ", and it is not cool yet"
        lines.append(
            f"waited     {record.waited_s:.0f} s for the start, {record.cooldown_s:.0f} s to cool down{ended}"
        )
    for broken in record.broken:
        lines += _wrapped(broken, first="broken     ")
    return lines


def measurement_lines(measurements: Sequence[Measurement]) -> list[str]:
    """Returns a table of measured figures, one line each, the phase named where it changes."""
    lines = [f"{'phase':<14} {'figure':<25} {'':<8} {'value':>12} {'n, u95':>6}  boundary"]
    last = ""
    # Figures of one phase together, the phases in the order in which they ran.
    order: dict[int, int] = {}
    for measured in measurements:
        order.setdefault(measured.phase, len(order))
    for measured in sorted(measurements, key=lambda one: order[one.phase]):
        phase = word(Phase, measured.phase) or "whole attempt"
        shown = phase if phase != last else ""
        last = phase
        boundary = word(Boundary, measured.boundary)
        count = _reach(measured) or (str(measured.sample_count) if measured.sample_count else "")
        value = format_value(measured.name, measured.value)
        name = measured.name
        if measured.boundary == Boundary.Value("BOUNDARY_RAIL"):
            name = f"{name} {measured.source.rpartition(':')[2]}"[:25]
        line = f"{shown:<14} {name:<25} {measured.statistic:<8} {value:>12} {count:>6}  {boundary}"
        lines.append(line.rstrip())
    return lines


def _reach(measured: Measurement) -> str:
    """Returns u95 in percent: ±, or ≥ where a part of it is not known; '' where a figure has none."""
    if not measured.interval_kind.startswith("u95") or not measured.value:
        return ""
    percent = 100 * (measured.high - measured.low) / 2 / abs(measured.value)
    sign = "±" if measured.interval_kind == "u95" else "≥"
    return f"{sign}{percent:.2f}%" if percent < 10 else f"{sign}{percent:.0f}%"


def unavailable_lines(measurements: Sequence[Measurement]) -> list[str]:
    """Returns what could not be measured, the figures with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for measured in measurements:
        phase = word(Phase, measured.phase) or "whole attempt"
        name = f"{measured.name} {measured.statistic} ({phase})"
        by_reason.setdefault(measured.unavailable_reason, []).append(name)
    lines = []
    for reason, names in by_reason.items():
        lines += _wrapped(f"{', '.join(names)}: {reason}", first="  ", rest="    ")
    return lines


def format_value(name: str, value: float) -> str:
    """Returns a value with the unit that its name ends in, scaled to be read."""
    if name.endswith("_per_s"):
        return f"{value:.4g} /s"
    if name.startswith("j_per_"):
        return _scaled(value, _SCALES["j"])
    scales = _SCALES.get(name.rpartition("_")[2])
    return _scaled(value, scales) if scales else f"{value:.4g}"


def _scaled(value: float, scales: Sequence[tuple[float, str]]) -> str:
    for scale, unit in scales:
        if abs(value) >= scale:
            return f"{value / scale:.4g} {unit}"
    scale, unit = scales[0] if value == 0 else scales[-1]
    return f"{value / scale:.3g} {unit}"


def _wrapped(text: str, *, first: str, rest: str = "           ") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest) or [first]
