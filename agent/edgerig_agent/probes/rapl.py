"""Energy counters of x86 processors through the powercap tree (RAPL).

Zones nest: psys contains the package, the package contains core and uncore.
Only a package is reported as a boundary of its own; every other zone is a rail,
so that nothing is summed over levels.
"""

from __future__ import annotations

import os

from edgerig_agent.probes.base import (
    ENERGY_J,
    Channel,
    FileProbe,
    Places,
    Probe,
    file_exists,
    list_folder,
    read_text,
    why_unreadable,
)

_MICRO = 1e-6


def discover(at: Places) -> list[Probe]:
    """Finds the powercap zones of the processor, by any vendor.

    `intel-rapl-mmio` shows the same package a second time and is passed over.
    """
    base = f"{at.sysfs}/class/powercap"
    zones = [_zone(f"{base}/{name}", base, name) for name in list_folder(base) if _is_zone(name)]
    return [FileProbe("rapl", 10_000_000, zones)] if zones else []


def _is_zone(name: str) -> bool:
    family, _, rest = name.partition(":")
    return family == "intel-rapl" and bool(rest)


def _zone(folder: str, base: str, name: str) -> tuple[Channel, str]:
    zone = read_text(f"{folder}/name") or name
    indices = name.split(":")[1:]
    if len(indices) > 1:
        parent = read_text(f"{base}/intel-rapl:{indices[0]}/name") or indices[0]
        zone = f"{parent}/{zone}"
    is_package = len(indices) == 1 and zone.startswith("package")
    path = f"{folder}/energy_uj"
    wrap_text = read_text(f"{folder}/max_energy_range_uj")
    # The counter runs from 0 to the range inclusive, so one turn is range + 1.
    wrap_raw = int(wrap_text) + 1 if wrap_text.isdigit() else 0
    boundary = "cpu_pkg" if is_package else "rail"
    return Channel(f"rapl:{zone}", ENERGY_J, boundary, _MICRO, wrap_raw, _reason(path)), path


def _reason(path: str) -> str:
    if file_exists(path) and not os.access(path, os.R_OK):
        return (
            "energy_uj is readable by root only since CVE-2020-8694; "
            "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj allows it until the next boot"
        )
    return why_unreadable(path)
