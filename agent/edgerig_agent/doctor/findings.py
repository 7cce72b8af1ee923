"""What a look at a device found, and its words for a person; pure.

A finding is `ok`, a `warning` (it is measured, with less certainty) or `missing`
(something cannot be measured or run). Knows nothing of devices.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

State = Literal["ok", "warning", "missing"]
WIDTH = 80
SCHEMA = 1

_MARKS: dict[State, str] = {"ok": "ok", "warning": "!!", "missing": "--"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `fix` is the command or the page that mends it, for all but `ok`."""

    state: State
    text: str
    fix: str = ""


@dataclass(frozen=True)
class Section:
    """Findings of one kind. `required`: without it nothing can be measured as it should be."""

    name: str
    findings: tuple[Finding, ...]
    required: bool = False

    @property
    def state(self) -> State:
        """The worst state of its findings."""
        states = [finding.state for finding in self.findings]
        return "missing" if "missing" in states else "warning" if "warning" in states else "ok"


@dataclass(frozen=True)
class ChannelScan:
    """One channel of a sensor, as a short scan found it; None where it was not to be had."""

    source: str
    quantity: str
    boundary: str
    unavailable_reason: str
    # How often the sampler reads it, and how long one reading of its family takes.
    interval_s: float
    scan_s: float | None
    # How often it gave a new value in the scan.
    update_s: float | None
    # The last value, in the unit of `quantity`.
    value: float | None


@dataclass(frozen=True)
class Report:
    """Everything that was found."""

    machine: str
    sections: tuple[Section, ...]
    channels: tuple[ChannelScan, ...] = field(default=())

    @property
    def ready(self) -> bool:
        """Tells whether energy and worker are fine: nothing required is missing."""
        return all(section.state != "missing" for section in self.sections if section.required)

    def document(self) -> dict[str, Any]:
        """Returns the report as one JSON document."""
        return {
            "schema": SCHEMA,
            "ready": self.ready,
            "machine": self.machine,
            "sections": [
                {
                    "name": section.name,
                    "state": section.state,
                    "required": section.required,
                    "findings": [asdict(finding) for finding in section.findings],
                }
                for section in self.sections
            ],
            "channels": [asdict(channel) for channel in self.channels],
        }

    def lines(self) -> list[str]:
        """Returns the report as text of at most 80 columns."""
        found = [self.machine[:WIDTH]]
        for section in self.sections:
            found += ["", section.name]
            for finding in section.findings:
                found += _wrapped(f"  {_MARKS[finding.state]}  ", finding.text)
                found += _wrapped("      ", f"-> {finding.fix}", whole_words=True) if finding.fix else []
        return [*found, "", *_verdict(self)]


def channel_lines(channels: Sequence[ChannelScan]) -> list[str]:
    """Returns the readable channels as a table of at most 80 columns."""
    rows = [channel for channel in channels if not channel.unavailable_reason]
    if not rows:
        return []
    lines = ["", f"{'channel':<38} {'boundary':<11} {'value':>11} {'read':>8} {'new':>8}"]
    lines += [
        f"{_shortened(channel.source, 38):<38} {channel.boundary:<11} {_value(channel):>11} "
        f"{_seconds(channel.scan_s):>8} {_seconds(channel.update_s):>8}".rstrip()
        for channel in rows
    ]
    return [*lines, "read: time of one scan of its family; new: how often it gave a new value"]


def _verdict(report: Report) -> list[str]:
    if report.ready:
        return ["Ready: energy can be measured and the worker can run."]
    lacking = [s.name for s in report.sections if s.required and s.state == "missing"]
    return textwrap.wrap(f"Not ready: {', '.join(lacking)}. What mends it stands behind each ->.", WIDTH)


def _wrapped(first: str, text: str, *, whole_words: bool = False) -> list[str]:
    """Wraps a text; a command is copied, so it is broken at spaces only."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=not whole_words,
        break_on_hyphens=False,
    )


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 2]}.."


_UNITS = {
    "power_w": "W",
    "power_smoothed_w": "W",
    "energy_j": "J",
    "current_a": "A",
    "voltage_v": "V",
    "temperature_c": "°C",
}


def _value(channel: ChannelScan) -> str:
    if channel.value is None:
        return "-"
    if channel.quantity.endswith("_hz"):
        return f"{channel.value / 1e6:.4g} MHz"
    if channel.quantity == "memory_bytes":
        return f"{channel.value / 2**20:.0f} MiB"
    return f"{channel.value:.4g} {_UNITS.get(channel.quantity, '')}".strip()


def _seconds(duration_s: float | None) -> str:
    if duration_s is None:
        return "-"
    return f"{duration_s * 1e6:.0f} us" if duration_s < 1e-3 else f"{duration_s * 1e3:.3g} ms"
