"""The command `edgerig-agent doctor`: looks, prints, and says by its exit code whether all is there."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from edgerig.v1.trial_pb2 import PROTOCOL_STANDARD, Trial
from edgerig_agent.doctor import controller, jetson_stats, meters, sensors, system, worker
from edgerig_agent.doctor.findings import Report, channel_lines
from edgerig_agent.environment import read_environment
from edgerig_agent.probes.base import places
from edgerig_agent.probes.families import discover
from edgerig_agent.protocol import idle_base
from edgerig_agent.protocol.parameters import parameters
from edgerig_agent.recorders import configured_meters
from edgerig_agent.runtime import interpreter_path

EXIT_READY, EXIT_NOT_READY = 0, 1


def examine(
    root: str,
    home: Path,
    interpreter: str,
    *,
    scan_s: float = sensors.SCAN_S,
    meter_addresses: Sequence[str] = (),
) -> Report:
    """Looks at a device.

    Args:
        root: the folder that stands for `/`.
        home: folder of the agent.
        interpreter: the Python that runs the worker.
        scan_s: how long the sensors are read.
        meter_addresses: external meters, each of which is asked once.
    """
    at = places(root)
    interpreter = interpreter_path(interpreter)
    environment = read_environment(interpreter, root)
    outside = meters.ask(meter_addresses, at)
    channels = [*sensors.scan(discover(at), scan_s), *outside.channels]
    limits = parameters(Trial(protocol=PROTOCOL_STANDARD))
    memory_gib = environment.memory_bytes / 2**30
    machine = f"{environment.machine}, {environment.cpu_count} processors, {memory_gib:.1f} GiB"
    found = [sensors.energy_section(channels, at)]
    found += [outside.section] if outside.section is not None else []
    crossed = jetson_stats.section(root, interpreter)
    found += [crossed] if crossed is not None else []
    found += [worker.section(interpreter, at, root)]
    found += [sensors.other_section(channels), *system.sections(root, home, limits)]
    connection = controller.section(home)
    found += [connection] if connection is not None else []
    return Report(f"{platform.node()}: {machine}", tuple(found), tuple(channels))


def run(arguments: argparse.Namespace) -> int:
    """Carries out the command; 0 = energy and worker are fine, 1 = something required is missing."""
    home: Path = arguments.home.resolve()
    if arguments.forget_idle_base:
        idle_base.forget(home)
    report = examine(
        arguments.root,
        home,
        worker_python(arguments.worker_python, home),
        scan_s=arguments.scan_s,
        meter_addresses=(*configured_meters(home), *arguments.meter),
    )
    if arguments.json:
        sys.stdout.write(json.dumps(report.document()) + "\n")
    else:
        lines = report.lines()
        if arguments.channels:
            lines += channel_lines(report.channels)
        sys.stdout.write("\n".join(lines) + "\n")
    return EXIT_READY if report.ready else EXIT_NOT_READY


def worker_python(given: str, home: Path) -> str:
    """Returns the worker's interpreter: as given, as agent.json of the home says, or this one."""
    if given:
        return given
    try:
        document = json.loads((home / "agent.json").read_text())
    except (OSError, ValueError):
        document = {}
    named = document.get("worker_python") if isinstance(document, dict) else None
    return named if isinstance(named, str) and named else sys.executable
