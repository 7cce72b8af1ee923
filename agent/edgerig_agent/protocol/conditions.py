"""What the device is like now: load, temperatures, swap, clocks, power mode, users of its GPU.

Reads and judges nothing. Everything is looked up below an injected root, so
that a tree of plain files can stand for a device.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgerig_agent.probes.base import (
    LAST_UNREAD,
    TEMPERATURE_C,
    Places,
    Probe,
    list_folder,
    places,
    read_text,
)
from edgerig_agent.probes.families import discover
from edgerig_agent.protocol.clocks import clock_files, governor_files
from edgerig_agent.protocol.gpu_users import GpuUsers
from edgerig_agent.protocol.power_mode import read_power_mode


@dataclass(frozen=True)
class ClockLimits:
    """The range in which one clock may run, in MHz."""

    name: str
    low_mhz: float
    high_mhz: float

    @property
    def pinned(self) -> bool:
        """Tells whether the range is a single frequency."""
        return self.low_mhz == self.high_mhz

    def words(self) -> str:
        """Returns the limits as text: `policy0 729-1510 MHz`."""
        return f"{self.name} {self.low_mhz:g}-{self.high_mhz:g} MHz"


@dataclass(frozen=True)
class Conditions:
    """One look at the device; None where it does not say."""

    t_mono_ns: int
    # Zone to temperature.
    temperatures_c: dict[str, float]
    load1: float | None
    cpu_count: int
    memory_bytes: int
    swap_total_bytes: int | None
    swap_used_bytes: int | None
    disk_free_bytes: int | None
    # Name of the nvpmodel mode or platform profile; empty where there is neither.
    power_mode: str
    cpu_governor: str
    clock_limits: tuple[ClockLimits, ...]
    fans: tuple[str, ...]
    foreign_gpu_processes: tuple[str, ...]
    # What could not be read, and why.
    unknown: tuple[str, ...]

    @property
    def clocks_pinned(self) -> bool | None:
        """Tells whether every clock has a single frequency; None where none is shown."""
        return all(limits.pinned for limits in self.clock_limits) if self.clock_limits else None


class Thermometer:
    """The readable temperatures of a device; its files stay open."""

    def __init__(self, at: Places, find: Callable[[Places], list[Probe]] = discover) -> None:
        self._probes: list[tuple[Probe, list[tuple[int, str, float]]]] = []
        for probe in find(at):
            if all(channel.quantity != TEMPERATURE_C for channel in probe.describe()):
                probe.close()
                continue
            opened = probe.open()
            wanted = [(i, c.source, c.scale) for i, c in enumerate(opened) if c.quantity == TEMPERATURE_C]
            self._probes.append((probe, wanted))

    def read_c(self) -> dict[str, float]:
        """Returns the temperature of every zone that answers, in degrees Celsius."""
        found: dict[str, float] = {}
        for probe, wanted in self._probes:
            raws = probe.read_all()
            found |= {source: raws[i] * scale for i, source, scale in wanted if raws[i] > LAST_UNREAD}
        return found

    def close(self) -> None:
        """Closes the files; may be called twice."""
        for probe, _ in self._probes:
            probe.close()
        self._probes = []


class Observer:
    """Looks at one device again and again."""

    def __init__(
        self,
        root: str,
        disk: Path,
        own_pids: Sequence[int] = (),
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`root` stands for `/`; `disk` is a folder on the disk that the attempt is written to."""
        self._root = root
        self._at = places(root)
        self._disk = disk
        self._clock = clock
        self._thermometer = Thermometer(self._at)
        self._gpu_users = GpuUsers(root, frozenset({os.getpid(), *own_pids}))

    def temperatures_c(self) -> dict[str, float]:
        """Returns the temperatures alone, which is a cheap look."""
        return self._thermometer.read_c()

    def look(self) -> Conditions:
        """Returns what the device is like now."""
        meminfo = read_text(f"{self._at.procfs}/meminfo")
        swap_total, swap_free = kib(meminfo, "SwapTotal"), kib(meminfo, "SwapFree")
        users, why_unknown = self._gpu_users.list()
        temperatures_c = self._thermometer.read_c()
        unknown = [] if temperatures_c else ["temperature: the kernel shows no thermal zone"]
        unknown += [f"GPU processes: {why_unknown}"] if why_unknown else []
        return Conditions(
            t_mono_ns=self._clock(),
            temperatures_c=temperatures_c,
            load1=_load1(read_text(f"{self._at.procfs}/loadavg")),
            cpu_count=os.cpu_count() or 1,
            memory_bytes=(kib(meminfo, "MemTotal") or 0) * 1024,
            swap_total_bytes=None if swap_total is None else swap_total * 1024,
            swap_used_bytes=None
            if swap_total is None or swap_free is None
            else (swap_total - swap_free) * 1024,
            disk_free_bytes=_disk_free_bytes(self._disk),
            power_mode=read_power_mode(self._root).name,
            cpu_governor=read_governor(self._at),
            clock_limits=read_clock_limits(self._at),
            fans=_fans(self._at),
            foreign_gpu_processes=users,
            unknown=tuple(unknown),
        )

    def close(self) -> None:
        """Closes what is kept open."""
        self._thermometer.close()


def read_governor(at: Places) -> str:
    """Returns the processor's frequency governor; several where the policies differ, '' for none."""
    found = {read_text(path) for path in governor_files(at).values()} - {""}
    fallback = read_text(f"{at.sysfs}/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return ",".join(sorted(found)) or fallback


def read_clock_limits(at: Places) -> tuple[ClockLimits, ...]:
    """Returns the limits of the processor's clocks and of the clock of an integrated GPU."""
    found = []
    for name, low, high in clock_files(at):
        low_text, high_text = read_text(low), read_text(high)
        if low_text.isdigit() and high_text.isdigit():
            per_mhz = 1e3 if name.startswith("policy") else 1e6
            found.append(ClockLimits(name, int(low_text) / per_mhz, int(high_text) / per_mhz))
    return tuple(found)


def kib(meminfo: str, name: str) -> int | None:
    """Returns a figure of /proc/meminfo in KiB; None where it is not shown."""
    match = re.search(rf"^{name}:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(match.group(1)) if match else None


def _load1(loadavg: str) -> float | None:
    try:
        return float(loadavg.split()[0])
    except (IndexError, ValueError):
        return None


def _disk_free_bytes(folder: Path) -> int | None:
    try:
        stat = os.statvfs(folder)
    except OSError:
        return None
    return stat.f_bavail * stat.f_frsize


def _fans(at: Places) -> tuple[str, ...]:
    """Returns each fan's drive: name and pulse width of 255."""
    base = f"{at.sysfs}/class/hwmon"
    found = []
    for name in list_folder(base):
        width = read_text(f"{base}/{name}/pwm1")
        if width.isdigit():
            found.append(f"{read_text(f'{base}/{name}/name') or name} {width}/255")
    return tuple(found)
