"""External meters: each that is configured is asked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgerig.errors import UsageError
from edgerig_agent.doctor.findings import ChannelScan, Finding, Section
from edgerig_agent.doctor.sensors import scan
from edgerig_agent.probes.base import POWER_QUANTITIES, Places
from edgerig_agent.probes.meters.address import parse_all

_PAGE = "docs/how-to/external-meter.md"


@dataclass(frozen=True)
class Meters:
    """What the configured meters answered; no section where none is configured."""

    channels: tuple[ChannelScan, ...] = ()
    section: Section | None = None


def ask(addresses: Sequence[str], at: Places) -> Meters:
    """Asks every meter once; one that does not answer costs its time limit of some seconds."""
    if not addresses:
        return Meters()
    try:
        probes = [address.probe(at) for address in parse_all(addresses)]
    except UsageError as error:
        fix = error.hint or _PAGE
        return Meters(section=Section("external meters", (Finding("missing", error.message, fix),)))
    findings, channels = [], []
    for probe in probes:
        found = scan([probe], 0.0)
        powers = [one for one in found if one.quantity in POWER_QUANTITIES]
        answered = [one for one in powers if not one.unavailable_reason]
        channels += found
        if answered:
            name = probe.identity or probe.name
            listed = ", ".join(f"{one.quantity} at {one.boundary}" for one in answered)
            findings.append(
                Finding("ok", f"{name} answers in {(answered[0].scan_s or 0) * 1e3:.0f} ms: {listed}")
            )
        else:
            findings.append(Finding("missing", f"{probe.name} does not answer: {probe.last_error}", _PAGE))
    return Meters(tuple(channels), Section("external meters", tuple(findings)))
