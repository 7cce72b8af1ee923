"""Collects what this device is and what can be measured on it: `python -m edgerig_agent.device`.

Prints one DeviceFacts document in its JSON form. A process of its own, so that
the daemon never loads what is needed here. Knows nothing of trials.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from edgerig.documents import to_json
from edgerig.errors import DeviceError, EdgerigError
from edgerig.v1.attempt_pb2 import Boundary
from edgerig.v1.device_pb2 import Accelerator, DeviceFacts, Sensor, WorkerRuntime
from edgerig.version import VERSION
from edgerig.words import number
from edgerig_agent.attempt_files import boot_id
from edgerig_agent.board import l4t_release, serial_number
from edgerig_agent.environment import Environment, read_environment
from edgerig_agent.probes.base import CURRENT_A, POWER_W, Channel, places
from edgerig_agent.probes.families import discover
from edgerig_agent.probes.rails import rails_of_total
from edgerig_agent.protocol.restart import as_usual
from edgerig_agent.runtime import interpreter_path, link_workload

_CATALOG_S = 60.0
_MAX_CATALOG_BYTES = 1024 * 1024


def collect(interpreter: str, root: str = "/", home: Path | None = None) -> DeviceFacts:
    """Returns the facts of this device.

    Args:
        interpreter: the Python that runs the worker.
        root: the folder that stands for `/` where sensors are looked for.
        home: of the agent; it may say that the device is not in its usual power mode.
    """
    interpreter = interpreter_path(interpreter)
    environment = read_environment(interpreter, root)
    usual = environment if home is None else as_usual(environment, home)
    facts = DeviceFacts(
        hostname=platform.node(),
        machine=environment.machine,
        processor=environment.processor,
        architecture=environment.architecture,
        kernel=environment.kernel,
        operating_system=environment.operating_system,
        cpu_count=environment.cpu_count,
        memory_bytes=environment.memory_bytes,
        swap_bytes=environment.swap_bytes,
        boot_id=boot_id(),
        agent_version=VERSION,
        python=platform.python_version(),
        sensors=[_sensor(channel) for channel in sensor_channels(root)],
        worker=worker_runtime(interpreter, environment),
        power_mode=environment.power_mode,
        disk_free_bytes=_disk_free_bytes(),
        environment_digest=usual.digest(),
        serial_number=serial_number(root),
        l4t_release=l4t_release(root),
    )
    facts.accelerators.extend(
        Accelerator(name=gpu.name, memory_bytes=gpu.memory_bytes, driver=gpu.driver)
        for gpu in environment.gpus
    )
    return facts


def sensor_channels(root: str = "/") -> list[Channel]:
    """Lists the channels of every sensor, readable or not, and the sums that are board totals."""
    channels = [channel for probe in discover(places(root)) for channel in probe.describe()]
    rails = [c for c in channels if c.quantity == CURRENT_A and not c.unavailable_reason]
    names = rails_of_total([channel.source.rpartition(":")[2] for channel in rails])
    if names:
        channels.append(Channel(f"ina3221:{'+'.join(names)}", POWER_W, "rails_sum", 1.0))
    return channels


def worker_runtime(interpreter: str, environment: Environment) -> WorkerRuntime:
    """Returns what the worker's interpreter has, with the workload's catalogue."""
    versions = environment.worker
    runtime = WorkerRuntime(
        executable=interpreter,
        python=versions.get("python", ""),
        torch=versions.get("torch", ""),
        transformers=versions.get("transformers", ""),
        peft=versions.get("peft", ""),
    )
    if not versions:
        runtime.unavailable_reason = f"{interpreter} cannot be run as a Python interpreter"
        return runtime
    try:
        runtime.catalog_json = _catalog(interpreter)
    except DeviceError as error:
        runtime.unavailable_reason = error.message
        return runtime
    missing = [name for name in ("torch", "transformers", "safetensors") if not versions.get(name)]
    if missing:
        runtime.unavailable_reason = f"{interpreter} has no {', '.join(missing)}"
    return runtime


def main(argv: list[str] | None = None) -> int:
    """Prints the facts of this device as one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m edgerig_agent.device", description=main.__doc__)
    parser.add_argument("--worker-python", default=sys.executable, help="interpreter that runs the workload")
    parser.add_argument("--sysfs-root", default="/", help="folder that stands for / where sensors are sought")
    parser.add_argument("--home", type=Path, help="folder of the agent")
    arguments = parser.parse_args(argv)
    try:
        facts = collect(arguments.worker_python, arguments.sysfs_root, arguments.home)
    except EdgerigError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps(to_json(facts)) + "\n")
    return 0


def _catalog(interpreter: str) -> str:
    """Runs the workload's catalogue in the worker's interpreter, seeing only the linked workload.

    Raises:
        DeviceError: it failed, or printed no JSON object.
    """
    with tempfile.TemporaryDirectory(prefix="edgerig-facts-") as folder:
        pythonpath = link_workload(Path(folder))
        try:
            ended = subprocess.run(
                [interpreter, "-m", "edgerig_workload", "catalog"],
                capture_output=True,
                timeout=_CATALOG_S,
                check=False,
                cwd=pythonpath.parent,
                env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(pythonpath)},
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise DeviceError(f"the workload's catalogue cannot be read: {error}") from error
    if ended.returncode != 0:
        last = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it printed no reason"]
        raise DeviceError(f"the workload's catalogue ended with {ended.returncode}: {last[0][:500]}")
    text = ended.stdout.decode("utf-8", "replace").strip()
    try:
        document = json.loads(text) if len(text) <= _MAX_CATALOG_BYTES else None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise DeviceError("the workload's catalogue is not a JSON object")
    return text


def _sensor(channel: Channel) -> Sensor:
    return Sensor(
        source=channel.source,
        quantity=channel.quantity,
        boundary=Boundary.Name(number(Boundary, channel.boundary)),
        unavailable_reason=channel.unavailable_reason,
    )


def _disk_free_bytes() -> int:
    stat = os.statvfs(Path.cwd())
    return stat.f_bavail * stat.f_frsize


if __name__ == "__main__":
    sys.exit(main())
