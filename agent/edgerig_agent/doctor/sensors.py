"""A short scan of every sensor channel, and what it means for energy.

Reads for about a second; nothing is loaded. Clock and rest are handed in.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median

from edgerig_agent.doctor.findings import ChannelScan, Finding, Section, State
from edgerig_agent.probes.base import (
    LAST_UNREAD,
    POWER_QUANTITIES,
    Places,
    Probe,
    list_folder,
    read_text,
    unread_reason,
)
from edgerig_agent.probes.families import POWER_FAMILIES
from edgerig_agent.probes.rails import rails_of_total

SCAN_S = 1.0
_KINDS = {
    "temperature_c": "temperatures",
    "memory_bytes": "memory",
    "page_count": "paging",
    "stall_s": "stalls",
    "event_count": "throttling events",
    "event_reasons": "throttling reasons",
    "process_count": "processes",
    "power_smoothed_w": "averaged power",
    "voltage_v": "voltages",
    **dict.fromkeys(
        ("frequency_hz", "frequency_requested_hz", "frequency_floor_hz", "frequency_ceiling_hz"), "clocks"
    ),
}
# Fewer changes say nothing of how often a channel is renewed.
_FEWEST_CHANGES = 3
_METER_PAGE = "docs/how-to/external-meter.md"
# Which kernel, driver or board shows what.
_SENSOR_PAGE = "docs/reference/sensors.md"


def scan(
    probes: Sequence[Probe],
    duration_s: float = SCAN_S,
    clock: Callable[[], float] = time.perf_counter,
    rest: Callable[[float], None] = time.sleep,
) -> list[ChannelScan]:
    """Reads every probe as fast as the sampler would, for `duration_s`; returns each channel."""
    runs = [_Run(probe, clock) for probe in probes]
    end_s = clock() + duration_s
    while True:
        now_s = clock()
        for run in runs:
            run.read_if_due(now_s)
        if now_s >= end_s:
            break
        # Clocks, temperatures and memory follow more slowly; each is read when it is due.
        rest(min((run.interval_s for run in runs), default=duration_s) / 2)
    found = [channel for run in runs for channel in run.channels()]
    for run in runs:
        run.close()
    return found


class _Run:
    """One probe while it is scanned."""

    def __init__(self, probe: Probe, clock: Callable[[], float]) -> None:
        self._probe = probe
        self._clock = clock
        self.interval_s = probe.interval_ns * 1e-9
        self._opened = probe.open()
        self._due_s = float("-inf")
        self._scans_s: list[float] = []
        self._series: list[list[tuple[float, int]]] = [[] for _ in self._opened]
        self._reasons = [""] * len(self._opened)

    def read_if_due(self, now_s: float) -> None:
        """Reads all channels once where their interval is over."""
        if now_s < self._due_s or not self._opened:
            return
        self._due_s = now_s + self.interval_s
        begin_s = self._clock()
        raws = self._probe.read_all()
        self._scans_s.append(self._clock() - begin_s)
        for index, raw in enumerate(raws):
            if raw > LAST_UNREAD:
                self._series[index].append((begin_s, raw))
            else:
                self._reasons[index] = unread_reason(raw)

    def channels(self) -> list[ChannelScan]:
        """Returns what was found of each channel, readable or not."""
        opened = {(c.source, c.quantity): index for index, c in enumerate(self._opened)}
        found = []
        for channel in self._probe.describe():
            index = opened.get((channel.source, channel.quantity))
            series = self._series[index] if index is not None else []
            reason = channel.unavailable_reason
            if not reason and not series:
                reason = self._reasons[index] if index is not None else "it could not be opened"
            found.append(
                ChannelScan(
                    source=channel.source,
                    quantity=channel.quantity,
                    boundary=channel.boundary,
                    unavailable_reason=reason,
                    interval_s=self.interval_s,
                    scan_s=median(self._scans_s) if series else None,
                    update_s=_update_s(series),
                    value=series[-1][1] * channel.scale if series else None,
                )
            )
        return found

    def close(self) -> None:
        """Closes the probe."""
        self._probe.close()


def _update_s(series: Sequence[tuple[float, int]]) -> float | None:
    changes = [time_s for (_, one), (time_s, two) in pairwise(series) if one != two]
    if len(changes) <= _FEWEST_CHANGES:
        return None
    return median(two - one for one, two in pairwise(changes))


def energy_section(channels: Sequence[ChannelScan], at: Places) -> Section:
    """Says at which boundary energy can be measured, how fast, and what is in the way."""
    powers = [channel for channel in channels if channel.quantity in POWER_QUANTITIES and channel.boundary]
    readable = [channel for channel in powers if not channel.unavailable_reason]
    totals = [channel for channel in readable if channel.boundary != "rail"]
    findings = [_total(channel) for channel in _distinct(totals)]
    names = rails_of_total(
        list({channel.source: channel.source.rpartition(":")[2] for channel in readable}.values())
    )
    if names:
        rate = _rate(next(c for c in readable if c.source.rpartition(":")[2] in names))
        findings.append(Finding("ok", f"rails_sum: {' + '.join(names)}{rate}"))
    rails = [channel for channel in _distinct(readable) if channel.boundary == "rail"]
    if not findings and rails:
        labels = ", ".join(channel.source for channel in rails)
        findings.append(
            Finding(
                "missing",
                f"only single rails can be read ({labels}); they are not known to add up to a total",
                f"an external meter: {_METER_PAGE}",
            )
        )
    if not powers:
        findings.append(_no_sensor(at))
    findings += _refused([channel for channel in powers if channel.unavailable_reason], bool(findings))
    return Section("energy", tuple(findings), required=True)


def other_section(channels: Sequence[ChannelScan]) -> Section:
    """Says what else the sampler reads (temperatures, clocks, memory, events), and what it cannot."""
    others = [one for one in channels if not (one.quantity in POWER_QUANTITIES and one.boundary)]
    counts = Counter(_KINDS.get(one.quantity, one.quantity) for one in others if not one.unavailable_reason)
    findings = []
    if counts:
        listed = ", ".join(f"{kind} ({count})" for kind, count in sorted(counts.items()))
        findings.append(Finding("ok", f"channels that are read beside power: {listed}"))
    findings += _refused([one for one in others if one.unavailable_reason], has_any=True)
    return Section("other sensors", tuple(findings))


def _total(channel: ChannelScan) -> Finding:
    return Finding("ok", f"{channel.boundary}: {channel.source}{_rate(channel)}")


def _rate(channel: ChannelScan) -> str:
    scan_ms = "" if channel.scan_s is None else f", one scan takes {channel.scan_s * 1e3:.2g} ms"
    slow = channel.scan_s is not None and channel.scan_s > channel.interval_s
    period_s = channel.scan_s if slow and channel.scan_s else channel.interval_s
    return f", read {1 / period_s:.0f} times a second{scan_ms}"


def _refused(channels: Sequence[ChannelScan], has_any: bool) -> list[Finding]:
    """One finding for each reason, with the command that stands in it as the fix."""
    by_reason: dict[str, list[str]] = {}
    for channel in channels:
        by_reason.setdefault(channel.unavailable_reason, []).append(channel.source)
    found = []
    for reason, sources in by_reason.items():
        said, _, command = reason.partition("sudo ")
        command = f"sudo {command}" if command else ""
        if not command and "pip install" in reason:
            said, _, command = reason.partition("pip install")
            command = f"pip install{command}"
        names = ", ".join(dict.fromkeys(sources))
        text = f"{names}: {said.rstrip(' ;:') or reason}"
        # A board that has a total may well lack single queries; that is how NVML is.
        state: State = "warning" if has_any and not command else "missing"
        found.append(Finding(state, text, command or _remedy(reason, sources)))
    return found


def _remedy(reason: str, sources: Sequence[str]) -> str:
    """Returns what there is to do about channels whose reason names no command."""
    if "ENODATA" in reason:
        # A disabled channel of an INA3221 (Documentation/hwmon/ina3221.rst: in[123]_enable).
        parts = [source.split(":") for source in sources if source.startswith("ina3221:")]
        files = [
            f"/sys/bus/i2c/devices/{address}/hwmon/hwmon*/in{channel}_enable"
            for _, address, channel, *_ in dict.fromkeys(map(tuple, parts))
        ]
        if files:
            return f"echo 1 | sudo tee {' '.join(files)}"
    return _SENSOR_PAGE


def _no_sensor(at: Places) -> Finding:
    cpuinfo = read_text(f"{at.procfs}/cpuinfo")
    text = f"no power sensor of a known family is there ({POWER_FAMILIES})"
    if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE):
        return Finding(
            "missing", f"{text}; a virtual machine is shown none", f"an external meter: {_METER_PAGE}"
        )
    if "GenuineIntel" in cpuinfo or "AuthenticAMD" in cpuinfo:
        zones = list_folder(f"{at.sysfs}/class/powercap")
        fix = f"an external meter: {_METER_PAGE}" if zones else "sudo modprobe intel_rapl_msr"
        return Finding("missing", text, fix)
    return Finding("missing", text, f"an external meter: {_METER_PAGE}")


def _distinct(channels: Sequence[ChannelScan]) -> list[ChannelScan]:
    """Keeps one channel of each source: current and voltage are one power."""
    by_source: dict[str, ChannelScan] = {}
    for channel in channels:
        by_source.setdefault(channel.source, channel)
    return list(by_source.values())
