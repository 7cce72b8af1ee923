"""Reads every power sensor of a device once: `python -m edgerig_agent.probes.show [ROOT]`.

Prints one JSON document: each source with its boundary and power, the totals by
boundary, and what cannot be read with the reason. For people, for `doctor`, and
for the conformance suite, which compares it with what stands in a tree of files.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from edgerig_agent.probes.base import (
    CURRENT_A,
    LAST_UNREAD,
    POWER_W,
    VOLTAGE_V,
    Channel,
    Probe,
    places,
    unread_reason,
)
from edgerig_agent.probes.families import discover
from edgerig_agent.probes.rails import rails_of_total


def show(root: str = "/") -> dict[str, Any]:
    """Returns `{"sources": {source: {boundary, power_w}}, "totals": {boundary: watts}, "unreadable": ...}`.

    Power is in watts, of one reading. Counters of energy have no power at one
    instant and are left out.
    """
    sources: dict[str, dict[str, Any]] = {}
    unreadable: dict[str, str] = {}
    for probe in discover(places(root)):
        channels = [c for c in probe.describe() if c.quantity in (POWER_W, CURRENT_A)]
        unreadable |= {c.source: c.unavailable_reason for c in channels if c.unavailable_reason}
        if any(not channel.unavailable_reason for channel in channels):
            _read(probe, sources, unreadable)
    return {"sources": sources, "unreadable": unreadable, "totals": _totals(sources)}


def _read(probe: Probe, sources: dict[str, dict[str, Any]], unreadable: dict[str, str]) -> None:
    opened = probe.open()
    raws = probe.read_all()
    values: dict[tuple[str, str], float] = {}
    for channel, raw in zip(opened, raws, strict=True):
        if raw <= LAST_UNREAD:
            unreadable[channel.source] = unread_reason(raw)
        else:
            values[channel.source, channel.quantity] = raw * channel.scale
    probe.close()
    for channel in opened:
        power_w = _power_w(channel, values)
        if power_w is not None and channel.source not in unreadable:
            sources[channel.source] = {"boundary": channel.boundary, "power_w": power_w}


def _power_w(channel: Channel, values: dict[tuple[str, str], float]) -> float | None:
    if channel.quantity == POWER_W:
        return values.get((channel.source, POWER_W))
    voltage_v = values.get((channel.source, VOLTAGE_V))
    if channel.quantity != CURRENT_A or voltage_v is None:
        return None
    current_a = values.get((channel.source, CURRENT_A))
    return None if current_a is None else current_a * voltage_v


def _totals(sources: dict[str, dict[str, Any]]) -> dict[str, float]:
    """One figure a boundary; of several sources of one boundary none is chosen, so they are left out."""
    by_boundary: dict[str, list[float]] = {}
    labels: dict[str, float] = {}
    for source, found in sources.items():
        if found["boundary"] == "rail":
            labels[source] = found["power_w"]
        else:
            by_boundary.setdefault(found["boundary"], []).append(found["power_w"])
    totals = {boundary: powers[0] for boundary, powers in by_boundary.items() if len(powers) == 1}
    names = rails_of_total([source.rpartition(":")[2] for source in sources if source.startswith("ina3221:")])
    if names:
        totals["rails_sum"] = sum(w for source, w in labels.items() if source.rpartition(":")[2] in names)
    return totals


def main(argv: list[str]) -> int:
    """Prints what `show` returns for the folder that stands for `/`."""
    sys.stdout.write(json.dumps(show(argv[0] if argv else "/"), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
