"""Temperatures of the kernel's thermal zones, once a second.

A zone that the kernel lists but cannot read (a powered-down part of a Jetson)
is described with the reason and left out of the trace.
"""

from __future__ import annotations

from edgerig_agent.probes.base import (
    TEMPERATURE_C,
    Channel,
    FileProbe,
    Places,
    Probe,
    list_folder,
    read_text,
    why_unreadable,
)

_MILLI = 1e-3


def discover(at: Places) -> list[Probe]:
    """Finds the thermal zones."""
    base = f"{at.sysfs}/class/thermal"
    zones = []
    for name in list_folder(base):
        if name.startswith("thermal_zone"):
            path = f"{base}/{name}/temp"
            kind = read_text(f"{base}/{name}/type") or name
            source = f"thermal:{name.removeprefix('thermal_zone')}:{kind}"
            zones.append((Channel(source, TEMPERATURE_C, "", _MILLI, 0, why_unreadable(path)), path))
    return [FileProbe("thermal", 1_000_000_000, zones)] if zones else []
