"""The sampler process: reads every probe at jittered times and writes the traces.

One random instant in each interval (stratified jitter) keeps samples from
locking onto the rhythm of tokens or steps; a fixed grid of the same rate has an
energy error that does not shrink with the length of the window (docs/adr/0008).

What a tick must do at its instant is little: sleep, read, note the time. Numbers are made and
written for sixteen ticks at once, because a process that has just woken up pays for
every line of code that the processor has forgotten meanwhile (docs/adr/0028). A sampler
that is killed loses these sixteen ticks and no more.

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
from typing import TYPE_CHECKING, Any, NamedTuple

from edgerig_agent.measure.character import characterise, is_power, pace
from edgerig_agent.measure.schedule import Lateness, Schedule, Turns
from edgerig_agent.measure.tracefile import TraceWriter
from edgerig_agent.probes.base import NEVER, UNREAD, Channel, Probe, places
from edgerig_agent.probes.families import discover

if TYPE_CHECKING:
    from collections.abc import Callable

    # What the loop reads a probe by: descriptors, bytes of each, reading of everything, where a
    # reading goes, in how many readings everything is due again, and the number of the one in which it is.
    Reader = list[Any]

BASE_INTERVAL_NS = 10_000_000

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Stream:
    """One probe with the trace it is written to."""

    def __init__(self, probe: Probe, folder: str, base_interval_ns: int, seed: int, began_ns: int) -> None:
        self.every = max(1, round(probe.interval_ns / base_interval_ns))
        self.probe = probe
        self.channels = probe.open()
        if is_power(probe):
            self.every *= pace(probe, self.every * base_interval_ns)
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
        fields = [_field(channel) for channel in self.channels]
        self._writer = TraceWriter(f"{folder}/{probe.name}.trace", header, fields)
        # Begin and end of each reading, and what it gave: texts, or numbers of a probe without files.
        self._kept: list[tuple[int, int, Any]] = []
        self.keep = self._kept.append
        self._numbers: Callable[[Any], list[int]] | None = getattr(probe, "numbers", None)
        self.read: Callable[[], Any] = getattr(probe, "read_texts", probe.read_all)

    def sample(self) -> None:
        """Reads the probe once and writes it."""
        begin_ns = time.monotonic_ns()
        taken = self.read()
        self.keep((begin_ns, time.monotonic_ns(), taken))
        self.write()

    def reader(self) -> Reader:
        """Returns what the loop needs to read the probe."""
        probe: Any = self.probe
        if self._numbers is None:
            return [(), 0, self.read, self.keep, _always_whole, 0]
        return [probe.fds, probe.text_bytes, self.read, self.keep, probe.whole_in, 0]

    def write(self) -> None:
        """Writes what was kept; the stamp of a reading is its middle."""
        append, numbers = self._writer.append, self._numbers
        for begin_ns, end_ns, taken in self._kept:
            append((begin_ns + end_ns) // 2, numbers(taken) if numbers else taken)
        self._kept.clear()

    def close(self) -> None:
        """Ends the trace file at its last record."""
        self.write()
        self.probe.close()
        self._writer.close()


class Group:
    """Streams that are read once in so many intervals, the same ones."""

    def __init__(self, every: int, streams: list[Stream], seed: int) -> None:
        self.turns = Turns(every, seed)
        self._readers = [stream.reader() for stream in streams]

    def sample(self, index: int, begin_ns: int) -> int:
        """Reads them one after the other and returns when that was over."""
        return _read(self._readers, self.turns.take(index), begin_ns)


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
    summary: dict[str, object] = {"ended": False, "unread": UNREAD, "tick_count": 0}
    summary |= {"late_p50_ns": 0, "late_p99_ns": 0, "late_max_ns": 0, "sensors": []}
    summary["channels"] = [channel._asdict() for channel in channels]
    _write_summary(arguments.folder, summary)
    streams, began_ns, base_ns = _open(arguments, probes)
    summary["sensors"] = characterise([(s.probe, s.channels) for s in streams if is_power(s.probe)])
    schedule = Schedule(began_ns, base_ns, arguments.seed)
    lateness = _sample_until(streams, schedule, arguments.ready_fd, stopping, parent)
    summary |= {
        "ended": True,
        "tick_count": lateness.tick_count,
        "missed_count": lateness.missed_count,
        "late_p50_ns": lateness.percentile_ns(0.50),
        "late_p99_ns": lateness.percentile_ns(0.99),
        "late_max_ns": lateness.max_ns,
    }
    _write_summary(arguments.folder, summary)
    return 0


def _open(arguments: Arguments, probes: list[Probe]) -> tuple[list[Stream], int, int]:
    """Opens what can be read; returns the streams, when sampling begins and its interval."""
    readable = [probe for probe in probes if any(not c.unavailable_reason for c in probe.describe())]
    base_ns = max(arguments.interval_ns, min((p.interval_ns for p in readable), default=BASE_INTERVAL_NS))
    began_ns = time.monotonic_ns()
    folder = f"{arguments.folder}/trace"
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    return [Stream(p, folder, base_ns, arguments.seed, began_ns) for p in readable], began_ns, base_ns


def _sample_until(
    streams: list[Stream], schedule: Schedule, ready_fd: int, stopping: list[int], parent: int
) -> Lateness:
    """Samples until there is something in `stopping`, or the parent has died."""
    lateness = Lateness()
    try:
        for stream in streams:
            stream.sample()
        os.write(ready_fd, b"r")
        os.close(ready_fd)
        # Nothing below makes reference cycles; a collection would only cost time and pages.
        gc.disable()
        _tick(streams, schedule, lateness, stopping, parent)
        # The last window ends between two samples; this is the second of them.
        for stream in streams:
            stream.sample()
    finally:
        for stream in streams:
            stream.close()
    return lateness


def _tick(
    streams: list[Stream], schedule: Schedule, lateness: Lateness, stopping: list[int], parent: int
) -> None:
    """Samples block by block, and writes what was read between two of them."""
    late_ns: list[int] = []
    always = [stream.reader() for stream in streams if stream.every == 1]
    seldom = _groups(streams, schedule.seed)
    while not stopping and os.getppid() == parent:
        lateness.missed_count += _block(schedule, always, seldom, late_ns, stopping)
        for stream in streams:
            stream.write()
        if late_ns:
            lateness.add(late_ns)
            late_ns.clear()


def _block(
    schedule: Schedule, always: list[Reader], seldom: list[Group], late_ns: list[int], stopping: list[int]
) -> int:
    """The loop of every interval: each line of it runs on a processor that has just forgotten it.

    Returns how many intervals were over before anything could be read in them.
    """
    monotonic_ns, sleep = time.monotonic_ns, time.sleep
    late = late_ns.append
    soonest = missed = 0
    first, plan = schedule.block()
    for index, planned_ns in enumerate(plan, first):
        wait_ns = planned_ns - monotonic_ns()
        if wait_ns > 0:
            sleep(wait_ns * 1e-9)
        elif schedule.is_over(index, planned_ns - wait_ns):
            # A probe that did not answer in time has taken this instant away.
            late(-wait_ns)
            missed += 1
            continue
        now_ns = monotonic_ns()
        late(now_ns - planned_ns)
        now_ns = _read(always, index, now_ns)
        if index >= soonest:
            soonest = NEVER
            for group in seldom:
                if index >= group.turns.due:
                    now_ns = group.sample(index, now_ns)
                if group.turns.due < soonest:
                    soonest = group.turns.due
        if stopping:
            break
    return missed


def _read(readers: list[Reader], number: int, begin_ns: int) -> int:
    """Reads probes one after the other, each until the next begins; returns when that was over.

    `number` counts the readings of these probes.
    """
    monotonic_ns, pread = time.monotonic_ns, os.pread
    for reader in readers:
        fds, size, read, keep, whole_in, whole_due = reader
        if number < whole_due:
            taken = []
            try:
                for fd in fds:
                    taken.append(pread(fd, size, 0))  # noqa: PERF401 - one call less
            except OSError:
                taken = read()
        else:
            taken = read()
            reader[5] = number + whole_in()
        end_ns = monotonic_ns()
        keep((begin_ns, end_ns, taken))
        begin_ns = end_ns
    return begin_ns


def _always_whole() -> int:
    return 0


def _groups(streams: list[Stream], seed: int) -> list[Group]:
    """Returns the streams that are not read in every interval, by how seldom they are."""
    paces = sorted({stream.every for stream in streams} - {1})
    return [Group(every, [stream for stream in streams if stream.every == every], seed) for every in paces]


def _name(channel: Channel) -> str:
    return f"{channel.source}:{channel.quantity}"


def _field(channel: Channel) -> dict[str, object]:
    field: dict[str, object] = {
        "name": _name(channel),
        "unit": channel.quantity,
        "scale": channel.scale,
        "source": channel.source,
        "boundary": channel.boundary,
    }
    known = {
        "wrap_raw": channel.wrap_raw,
        "shunt_ohm": channel.shunt_ohm,
        "update_interval_ns": channel.update_interval_ns,
        "averaged_count": channel.averaged_count,
    }
    return field | {key: value for key, value in known.items() if value}


def _boot_id() -> str:
    with open(_BOOT_ID) as file:  # noqa: PTH123
        return file.read().strip()


def _write_summary(folder: str, summary: dict[str, object]) -> None:
    with open(f"{folder}/sampler.json", "w") as file:  # noqa: PTH123
        json.dump(summary, file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
