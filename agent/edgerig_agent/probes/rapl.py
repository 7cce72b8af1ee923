"""Energy counters of x86 processors through the powercap tree (RAPL).

Zones nest: psys contains the package, the package contains core and uncore.
Only a package (or a die of one) is reported as a boundary of its own; every other
zone is a rail, so that nothing is summed over levels. AMD's processors appear in
the same tree under the same names.
"""

from __future__ import annotations

from edgerig_agent.probes.base import (
    ENERGY_J,
    Channel,
    FileProbe,
    Places,
    Probe,
    list_folder,
    read_number,
    read_text,
    why_refused,
)

_MICRO = 1e-6
_ALLOW = "/sys/class/powercap/intel-rapl:*/energy_uj"


def discover(at: Places) -> list[Probe]:
    """Finds the powercap zones of the processor, by any vendor.

    `intel-rapl-mmio` shows the same package a second time; a zone of it is taken only
    where the first view has none of that name.
    """
    base = f"{at.sysfs}/class/powercap"
    names = list_folder(base)
    zones = _zones(base, names, "intel-rapl")
    known = {source for source, _ in zones}
    zones += [zone for zone in _zones(base, names, "intel-rapl-mmio") if zone[0] not in known]
    channels = [_channel(source, folder) for source, folder in _distinct(zones)]
    return [FileProbe("rapl", 10_000_000, channels)] if channels else []


def _zones(base: str, names: list[str], control_type: str) -> list[tuple[str, str]]:
    """Lists (name, folder) of the zones of one control type; a child bears its parent's name too."""
    found = []
    for name in names:
        family, _, rest = name.partition(":")
        if family != control_type or not rest:
            continue
        zone = read_text(f"{base}/{name}/name") or name
        parent, _, child = rest.partition(":")
        if child:
            above = read_text(f"{base}/{control_type}:{parent}/name") or parent
            zone = f"{above}/{zone}"
        found.append((zone, f"{base}/{name}"))
    return found


def _distinct(zones: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Tells zones of one name apart by the number of their folder."""
    names = [zone for zone, _ in zones]
    return [
        (zone if names.count(zone) == 1 else f"{zone}@{folder.partition(':')[2].replace(':', '.')}", folder)
        for zone, folder in zones
    ]


def _channel(zone: str, folder: str) -> tuple[Channel, str]:
    is_package = "/" not in zone and zone.startswith("package")
    # The counter runs from 0 to the range inclusive, so one turn is range + 1.
    range_uj = read_number(f"{folder}/max_energy_range_uj")
    path = f"{folder}/energy_uj"
    channel = Channel(
        f"rapl:{zone}",
        ENERGY_J,
        "cpu_pkg" if is_package else "rail",
        _MICRO,
        range_uj + 1 if range_uj > 0 else 0,
        why_refused(path, _ALLOW),
    )
    return channel, path
