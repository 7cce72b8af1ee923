"""The sampler process: reads every probe at jittered times and writes the traces.

One random instant in each interval (stratified jitter) keeps samples from
locking onto the rhythm of tokens or steps; a fixed grid of the same rate has an
energy error that does not shrink with the length of the window (docs/adr/0012).

Standard library only (NVML's binding lazily, where a driver answers): this
process runs beside every measurement. It knows nothing of trials or phases. It
ends on SIGTERM, and when its parent dies.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from edgerig_agent.measure.tracefile import TraceWriter
from edgerig_agent.probes.base import UNREAD, Channel, Probe, places
from edgerig_agent.probes.families import discover

BASE_INTERVAL_NS = 10_000_000

# Lateness is counted in steps of 0.1 ms up to 100 ms; the last step takes the rest.
_LATE_STEP_NS = 100_000
_LATE_STEPS = 1_001
_MASK = 2**64 - 1
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Lateness:
    """Distribution of how late ticks began, in constant memory; knows no clock."""

    def __init__(self) -> None:
        self._counts = [0] * _LATE_STEPS
        self.tick_count = 0

    def add(self, late_ns: int) -> None:
        """Counts one tick that began `late_ns` after its planned instant."""
        step = min(max(late_ns, 0) // _LATE_STEP_NS, _LATE_STEPS - 1)
        self._counts[step] += 1
        self.tick_count += 1

    def percentile_ns(self, share: float) -> int:
        """Returns the upper end of the step that holds this share of the ticks, 0 without ticks."""
        rest = share * self.tick_count
        for step, count in enumerate(self._counts):
            rest -= count
            if count and rest <= 0:
                return (step + 1) * _LATE_STEP_NS
        return 0


class Schedule:
    """Plans one random instant in each interval; pure but for its own random numbers.

    The place inside the interval is uniform in the long run, so that no rhythm is
    favoured, and walks by at most half an interval from one to the next (reflected
    at the ends). Two samples are then 0.5 to 1.5 intervals apart and never almost 0
    or 2, which makes the error of waves below half the rate a tenth smaller than
    independent places do.
    """

    def __init__(self, began_ns: int, interval_ns: int, seed: int) -> None:
        self._began_ns = began_ns
        self._interval_ns = interval_ns
        self._state = seed & _MASK
        self._offset_ns = self._random_word() * interval_ns >> 64
        self.index = -1

    def next_ns(self, now_ns: int) -> int:
        """Returns the instant of the next interval that is not over yet."""
        current = (now_ns - self._began_ns) // self._interval_ns
        self.index = max(self.index + 1, current)
        step_ns = (self._random_word() * self._interval_ns >> 64) - self._interval_ns // 2
        offset_ns = abs(self._offset_ns + step_ns)
        if offset_ns >= self._interval_ns:
            offset_ns = 2 * self._interval_ns - 1 - offset_ns
        self._offset_ns = offset_ns
        return self._began_ns + self.index * self._interval_ns + offset_ns

    def _random_word(self) -> int:
        """SplitMix64: the same instants on every Python, and 0.4 MB less than `random`."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        word = self._state
        word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        word = (word ^ word >> 27) * 0x94D049BB133111EB & _MASK
        return word ^ word >> 31


class Stream:
    """One probe with the trace it is written to."""

    def __init__(self, probe: Probe, folder: str, base_interval_ns: int, seed: int, began_ns: int) -> None:
        self.every = max(1, round(probe.interval_ns / base_interval_ns))
        self._probe = probe
        self._next_index = 0
        header = {
            "schema": 1,
            "name": probe.name,
            "clock": "CLOCK_MONOTONIC",
            "interval_ns": self.every * base_interval_ns,
            "jitter": "stratified_walk",
            "seed": seed,
            "began_mono_ns": began_ns,
            "boot_id": _boot_id(),
        }
        channels = probe.open()
        fields = [_field(channel) for channel in channels]
        self._writer = TraceWriter(f"{folder}/{probe.name}.trace", header, fields)

    def is_due(self, index: int) -> bool:
        """Tells whether the probe is read in the interval with this index."""
        return index >= self._next_index

    def sample(self, index: int) -> None:
        """Reads the probe once; the stamp is the middle of the reading."""
        begin_ns = time.monotonic_ns()
        values = self._probe.read_all()
        end_ns = time.monotonic_ns()
        self._writer.append((begin_ns + end_ns) // 2, values)
        self._next_index = (index // self.every + 1) * self.every

    def close(self) -> None:
        """Ends the trace file at its last record."""
        self._probe.close()
        self._writer.close()


class Arguments(NamedTuple):
    """The command line of the sampler."""

    folder: str
    root: str
    interval_ns: int
    seed: int
    ready_fd: int


def main(argv: list[str]) -> int:
    """Samples until SIGTERM; `FOLDER ROOT INTERVAL_NS SEED READY_FD` are its arguments.

    Writes FOLDER/trace/*.trace and FOLDER/sampler.json, and one byte to
    READY_FD once the first sample of every probe is written.
    """
    arguments = Arguments(argv[0], argv[1], int(argv[2]), int(argv[3]), int(argv[4]))
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    probes = discover(places(arguments.root))
    channels = [channel for probe in probes for channel in probe.describe()]
    _write_summary(arguments.folder, channels, Lateness(), ended=False)
    lateness = _sample_until(arguments, probes, lambda: bool(stopping) or os.getppid() != parent)
    _write_summary(arguments.folder, channels, lateness, ended=True)
    return 0


def _sample_until(arguments: Arguments, probes: list[Probe], is_over: Callable[[], bool]) -> Lateness:
    readable = [probe for probe in probes if any(not c.unavailable_reason for c in probe.describe())]
    base_ns = max(arguments.interval_ns, min((p.interval_ns for p in readable), default=BASE_INTERVAL_NS))
    began_ns = time.monotonic_ns()
    folder = f"{arguments.folder}/trace"
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    streams = [Stream(probe, folder, base_ns, arguments.seed, began_ns) for probe in readable]
    schedule = Schedule(began_ns, base_ns, arguments.seed)
    lateness = Lateness()
    try:
        for stream in streams:
            stream.sample(0)
        os.write(arguments.ready_fd, b"r")
        os.close(arguments.ready_fd)
        # Nothing below makes reference cycles; a collection would only cost time and pages.
        gc.disable()
        while not is_over():
            planned_ns = schedule.next_ns(time.monotonic_ns())
            _sleep_until(planned_ns)
            lateness.add(time.monotonic_ns() - planned_ns)
            for stream in streams:
                if stream.is_due(schedule.index):
                    stream.sample(schedule.index)
        # The last window ends between two samples; this is the second of them.
        for stream in streams:
            stream.sample(schedule.index)
    finally:
        for stream in streams:
            stream.close()
    return lateness


def _sleep_until(planned_ns: int) -> None:
    wait_ns = planned_ns - time.monotonic_ns()
    if wait_ns > 0:
        time.sleep(wait_ns / 1e9)


def _field(channel: Channel) -> dict[str, object]:
    field: dict[str, object] = {
        "name": f"{channel.source}:{channel.quantity}",
        "unit": channel.quantity,
        "scale": channel.scale,
        "source": channel.source,
        "boundary": channel.boundary,
    }
    if channel.wrap_raw:
        field["wrap_raw"] = channel.wrap_raw
    return field


def _boot_id() -> str:
    with open(_BOOT_ID) as file:  # noqa: PTH123
        return file.read().strip()


def _write_summary(folder: str, channels: list[Channel], lateness: Lateness, *, ended: bool) -> None:
    document = {
        "ended": ended,
        "channels": [channel._asdict() for channel in channels],
        "tick_count": lateness.tick_count,
        "late_p50_ns": lateness.percentile_ns(0.50),
        "late_p99_ns": lateness.percentile_ns(0.99),
        "unread": UNREAD,
    }
    with open(f"{folder}/sampler.json", "w") as file:  # noqa: PTH123
        json.dump(document, file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
