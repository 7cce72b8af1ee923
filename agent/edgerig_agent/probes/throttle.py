"""Counts of what held a clock down: over-current events of a Jetson, thermal throttling of x86.

Counters since boot; an increase in a run says that it happened. On a Jetson
`oc1_event_cnt` and its kin stand in the hwmon folder of the over-current driver;
which bit means what differs between generations (forum 276251, 307919), so the
events are counted and not interpreted.
"""

from __future__ import annotations

from edgerig_agent.probes.base import (
    EVENT_COUNT,
    Channel,
    FileProbe,
    Places,
    Probe,
    list_folder,
    read_text,
    why_unreadable,
)

_INTERVAL_NS = 1_000_000_000
_SUFFIX = "_event_cnt"

_Found = list[tuple[Channel, str]]


def discover(at: Places) -> list[Probe]:
    """Finds the counters; hwmon numbers are not stable, so the driver's name stands in the source."""
    found = _over_current(f"{at.sysfs}/class/hwmon") + _thermal(f"{at.sysfs}/devices/system/cpu")
    return [FileProbe("throttle", _INTERVAL_NS, found)] if found else []


def _over_current(base: str) -> _Found:
    found: _Found = []
    for hwmon in list_folder(base):
        driver = read_text(f"{base}/{hwmon}/name") or hwmon
        for name in list_folder(f"{base}/{hwmon}"):
            if name.startswith("oc") and name.endswith(_SUFFIX):
                source = f"{driver}:{name.removesuffix(_SUFFIX)}"
                found.append(_channel(source, f"{base}/{hwmon}/{name}"))
    return found


def _thermal(base: str) -> _Found:
    """One counter for each core, and that of its package from the first core that shows it."""
    found: _Found = []
    packages: set[str] = set()
    for cpu in list_folder(base):
        folder = f"{base}/{cpu}/thermal_throttle"
        names = list_folder(folder)
        if "core_throttle_count" in names:
            found.append(_channel(f"thermal_throttle:{cpu}", f"{folder}/core_throttle_count"))
        package = read_text(f"{base}/{cpu}/topology/physical_package_id") or "0"
        if "package_throttle_count" in names and package not in packages:
            packages.add(package)
            source = f"thermal_throttle:package-{package}"
            found.append(_channel(source, f"{folder}/package_throttle_count"))
    return found


def _channel(source: str, path: str) -> tuple[Channel, str]:
    return Channel(source, EVENT_COUNT, "", 1.0, unavailable_reason=why_unreadable(path)), path
