"""Temperatures of the kernel's thermal zones, once a second.

A zone that the kernel lists but cannot read (a powered-down part of a Jetson)
is described with the reason and left out of the trace.
"""

from __future__ import annotations

from edgerig_agent.probes.base import (
    TEMPERATURE_C,
    Channel,
    KeptFile,
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
    return [Thermal(zones)] if zones else []


class Thermal:
    """All thermal zones of one machine."""

    name = "thermal"
    interval_ns = 1_000_000_000

    def __init__(self, zones: list[tuple[Channel, str]]) -> None:
        self._zones = zones
        self._files: list[KeptFile] = []

    def describe(self) -> tuple[Channel, ...]:
        return tuple(channel for channel, _ in self._zones)

    def open(self) -> tuple[Channel, ...]:
        readable = [(channel, path) for channel, path in self._zones if not channel.unavailable_reason]
        self._files = [KeptFile(path) for _, path in readable]
        return tuple(channel for channel, _ in readable)

    def read_all(self) -> list[int]:
        return [file.read_int() for file in self._files]

    def close(self) -> None:
        for file in self._files:
            file.close()
        self._files = []
