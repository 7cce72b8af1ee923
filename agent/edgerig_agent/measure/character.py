"""What a power sensor is like, found before the worker starts: speed, steps, noise.

Part of the sampler process, so standard library without its heavy modules. The
device idles while this runs, so that the spread of the readings is the sensor's
and the idle device's.
"""

from __future__ import annotations

import time

from edgerig_agent.probes.base import LAST_UNREAD, POWER_QUANTITIES, Channel, Probe

# Long enough for three steps of a counter that moves every 100 ms.
BUDGET_NS = 350_000_000
# A pause between two scans, so that a plain file is not read ten thousand times.
_PAUSE_S = 0.001
_FEWEST_CHANGES = 3
# A scan of a sensor may take this share of the sampling interval.
_SCAN_SHARE = 0.5
_SLOWEST_VOLTAGE = 100
_PACE_SCANS = 5

# What one channel showed: first reading, then (time of change, difference) of each change.
Readings = list[tuple[int, int]]


def is_power(probe: Probe) -> bool:
    """Tells whether a probe has a power channel that can be read."""
    return any(c.quantity in POWER_QUANTITIES and not c.unavailable_reason for c in probe.describe())


def pace(probe: Probe, interval_ns: int) -> int:
    """Makes a probe affordable and returns in how many intervals it is to be read once.

    A driver that waits for a conversion at every file takes milliseconds for each.
    Where a probe reads voltages apart, they are read so seldom that the mean scan
    takes half an interval at most; where the currents alone take longer, the whole
    probe is read in fewer intervals.
    """
    seldom = getattr(probe, "voltage_every", 0)
    if not seldom:
        return max(1, -(-_median_scan_ns(probe) // round(_SCAN_SHARE * interval_ns)))
    probe.voltage_every = 1  # type: ignore[attr-defined]
    whole_ns = _median_scan_ns(probe)
    probe.voltage_every = 1 << 30  # type: ignore[attr-defined]
    current_ns = _median_scan_ns(probe)
    probe.voltage_every = voltage_every(current_ns, whole_ns, interval_ns, seldom)  # type: ignore[attr-defined]
    return max(1, -(-current_ns // round(_SCAN_SHARE * interval_ns)))


def voltage_every(current_ns: int, whole_ns: int, interval_ns: int, least: int) -> int:
    """Returns how seldom voltages are read so that a mean scan takes half an interval at most."""
    left_ns = round(_SCAN_SHARE * interval_ns) - current_ns
    if left_ns <= 0:
        return _SLOWEST_VOLTAGE
    return min(max(least, -(-(whole_ns - current_ns) // left_ns)), _SLOWEST_VOLTAGE)


def characterise(probes: list[tuple[Probe, tuple[Channel, ...]]]) -> list[dict[str, object]]:
    """Reads opened probes for `BUDGET_NS` and returns what each channel is like.

    For each channel: median `scan_s` of its probe, `reading_count`, and where it
    changed often enough `update_s` (median time between changes), `least_step` (the
    smallest change) and for a channel that is no counter `noise_sd`, the standard
    deviation, in the channel's unit; None where the readings do not show it.
    """
    watches = [_Watch(probe, channels) for probe, channels in probes]
    end_ns = time.monotonic_ns() + BUDGET_NS
    while watches and time.monotonic_ns() < end_ns:
        for watch in watches:
            watch.read()
        time.sleep(_PAUSE_S)
    return [found for watch in watches for found in watch.result()]


class _Watch:
    def __init__(self, probe: Probe, channels: tuple[Channel, ...]) -> None:
        self._probe = probe
        self._channels = channels
        self._scans_ns: list[int] = []
        self._times_ns: list[int] = []
        self._columns: list[list[int]] = [[] for _ in channels]

    def read(self) -> None:
        begin_ns = time.monotonic_ns()
        values = self._probe.read_all()
        end_ns = time.monotonic_ns()
        self._scans_ns.append(end_ns - begin_ns)
        self._times_ns.append((begin_ns + end_ns) // 2)
        for column, raw in zip(self._columns, values):  # noqa: B905 - the probe's contract
            column.append(raw)

    def result(self) -> list[dict[str, object]]:
        scan_s = middle(self._scans_ns) * 1e-9
        return [
            {
                "source": channel.source,
                "quantity": channel.quantity,
                "scan_s": scan_s,
                **describe(self._times_ns, column, channel.scale, is_counter=channel.quantity == "energy_j"),
            }
            for channel, column in zip(self._channels, self._columns)  # noqa: B905
        ]


def describe(times_ns: list[int], raws: list[int], scale: float, *, is_counter: bool) -> dict[str, object]:
    """Returns what readings show of their channel; pure."""
    known = [(t, raw) for t, raw in zip(times_ns, raws) if raw > LAST_UNREAD]  # noqa: B905
    changes = [
        (later[0], later[1] - earlier[1])
        for earlier, later in zip(known, known[1:])  # noqa: B905, RUF007
        if later[1] != earlier[1]
    ]
    gaps = [later[0] - earlier[0] for earlier, later in zip(changes, changes[1:])]  # noqa: B905, RUF007
    seen = len(changes) >= _FEWEST_CHANGES
    return {
        "reading_count": len(known),
        "update_s": middle(gaps) * 1e-9 if seen else None,
        "least_step": min(abs(step) for _, step in changes) * scale if changes else None,
        "noise_sd": None if is_counter or len(known) < _FEWEST_CHANGES else _sd(known) * scale,
    }


def middle(values: list[int]) -> int:
    """Returns the median, the lower one of an even count, 0 of none."""
    return sorted(values)[(len(values) - 1) // 2] if values else 0


def _median_scan_ns(probe: Probe) -> int:
    scans = []
    for _ in range(_PACE_SCANS):
        begin_ns = time.monotonic_ns()
        probe.read_all()
        scans.append(time.monotonic_ns() - begin_ns)
    return middle(scans)


def _sd(known: list[tuple[int, int]]) -> float:
    mean = sum(raw for _, raw in known) / len(known)
    return float((sum((raw - mean) ** 2 for _, raw in known) / (len(known) - 1)) ** 0.5)
