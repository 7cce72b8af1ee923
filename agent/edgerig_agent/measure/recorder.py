"""The recorder process: reads one external meter and writes its trace.

A process for each meter, so that one that is slow or dead delays neither the
sampler nor another. Its trace is like the sampler's: jittered instants, the stamp
in the middle of the request, and a column with half of the request's time. It ends
on SIGTERM, and when its parent dies.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from edgerig_agent.measure.schedule import Schedule
from edgerig_agent.measure.tracefile import TraceWriter
from edgerig_agent.probes.base import ENERGY_J, places
from edgerig_agent.probes.meters.address import Address, parse_all
from edgerig_agent.probes.meters.base import MeterProbe

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STOP = {signal.SIGTERM}


def main(argv: list[str]) -> int:
    """Records until SIGTERM; `FOLDER ROOT ADDRESS SEED READY_FD PARENT` are its arguments.

    Writes FOLDER/trace/meter-NAME.trace and FOLDER/meter-NAME.json, and one byte to
    READY_FD once the first requests were answered or have failed. A request that is
    under way at SIGTERM is finished, within its limit, and one more is made: what is
    measured ends between these two.
    """
    # Taken when it suits, so that no request is torn.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder, root, text = Path(argv[0]), argv[1], argv[2]
    seed, ready_fd, parent = (int(number) for number in argv[3:6])
    (address,) = parse_all([text])
    probe = address.probe(places(root))
    began_ns = time.monotonic_ns()
    (folder / "trace").mkdir(exist_ok=True)
    writer = _writer(folder, probe, seed, began_ns)
    schedule = Schedule(began_ns, probe.interval_ns, seed)
    try:
        _sample(probe, writer)
        # A counter tells nothing before it has moved once.
        if any(channel.quantity == ENERGY_J for channel in probe.describe()):
            _record(probe, writer, schedule, parent, count=1)
        os.write(ready_fd, b"r")
        os.close(ready_fd)
        _record(probe, writer, schedule, parent)
        _sample(probe, writer)
    finally:
        probe.close()
        writer.close()
        _write_summary(folder, address, probe)
    return 0


def _writer(folder: Path, probe: MeterProbe, seed: int, began_ns: int) -> TraceWriter:
    header: dict[str, object] = {
        "schema": 1,
        "name": probe.name,
        "clock": "CLOCK_MONOTONIC",
        "interval_ns": probe.interval_ns,
        "jitter": "stratified_walk",
        "seed": seed,
        "began_mono_ns": began_ns,
        "boot_id": _BOOT_ID.read_text().strip(),
    }
    fields: list[dict[str, object]] = [
        {
            "name": f"{channel.source}:{channel.quantity}",
            "unit": channel.quantity,
            "scale": channel.scale,
            "source": channel.source,
            "boundary": channel.boundary,
        }
        for channel in probe.open()
    ]
    return TraceWriter(str(folder / "trace" / f"{probe.name}.trace"), header, fields)


def _sample(probe: MeterProbe, writer: TraceWriter) -> None:
    values = probe.read_all()
    writer.append(probe.stamp_ns, values)


def _record(
    probe: MeterProbe, writer: TraceWriter, schedule: Schedule, parent: int, count: int | None = None
) -> None:
    """Reads the meter at its instants until SIGTERM, or `count` times."""
    while os.getppid() == parent and count != 0:
        wait_ns = schedule.next_ns(time.monotonic_ns()) - time.monotonic_ns()
        if signal.sigtimedwait(_STOP, max(wait_ns, 0) * 1e-9) is not None:
            return
        _sample(probe, writer)
        count = None if count is None else count - 1


def _write_summary(folder: Path, address: Address, probe: MeterProbe) -> None:
    document = {
        "address": address.text,
        "identity": probe.identity,
        "boundary": address.boundary,
        "request_count": probe.request_count,
        "failure_count": probe.failure_count,
        "last_error": probe.last_error,
    }
    (folder / f"{probe.name}.json").write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
