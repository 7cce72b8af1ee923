"""What can change a figure on this device: hardware, kernel, drivers, libraries, power mode.

Two attempts are comparable when the digest of these facts is the same. Host
name, boot and free disk are not in it. Knows nothing of trials.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass
from typing import Any

from edgerig.documents import digest
from edgerig.version import VERSION
from edgerig_agent.probes import nvml
from edgerig_agent.probes.base import places, read_text
from edgerig_agent.protocol.conditions import read_clock_limits, read_governor
from edgerig_agent.protocol.power_mode import read_power_mode

# The worker's libraries whose versions can change a figure.
_LIBRARIES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors")
_PROBE_S = 60.0
_PROBE = """
import importlib.metadata, json, platform
found = {"python": platform.python_version()}
for name in %r:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        found[name] = ""
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU as NVML names it; 0 bytes where it does not say."""

    name: str
    memory_bytes: int
    driver: str


@dataclass(frozen=True)
class Environment:
    """The facts that the digest is taken of."""

    machine: str
    processor: str
    architecture: str
    kernel: str
    operating_system: str
    cpu_count: int
    memory_bytes: int
    swap_bytes: int
    governor: str
    power_mode: str
    # Range of each clock, as far as it is limited from outside.
    clock_limits: tuple[str, ...]
    gpus: tuple[Gpu, ...]
    # Library name to version; empty where it is not installed.
    worker: dict[str, str]
    agent_version: str

    def digest(self) -> str:
        """Returns the lower-case hexadecimal sha256 of the facts."""
        return digest(asdict(self))


def read_environment(interpreter: str, root: str = "/") -> Environment:
    """Reads the facts of this device and of the worker's interpreter.

    `root` stands for `/` where power mode and clocks are looked for.
    """
    meminfo = read_text("/proc/meminfo")
    return Environment(
        machine=_machine(),
        processor=_processor(),
        architecture=platform.machine(),
        kernel=platform.release(),
        operating_system=_operating_system(),
        cpu_count=os.cpu_count() or 1,
        memory_bytes=_kib(meminfo, "MemTotal") * 1024,
        swap_bytes=_kib(meminfo, "SwapTotal") * 1024,
        governor=read_governor(places(root)),
        power_mode=read_power_mode(root).name,
        clock_limits=tuple(limits.words() for limits in read_clock_limits(places(root))),
        gpus=_gpus(),
        worker=worker_versions(interpreter),
        agent_version=VERSION,
    )


def worker_versions(interpreter: str) -> dict[str, str]:
    """Returns the versions in the worker's interpreter, read from its package metadata.

    Nothing is imported there, so a broken torch does not matter. Empty when the
    interpreter cannot be run.
    """
    try:
        ended = subprocess.run(
            [interpreter, "-c", _PROBE % (_LIBRARIES,)],
            capture_output=True,
            timeout=_PROBE_S,
            check=False,
            env={"PATH": os.environ.get("PATH", "")},
            stdin=subprocess.DEVNULL,
        )
        found: Any = json.loads(ended.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _machine() -> str:
    """Device-tree model, DMI product, or the processor's name."""
    vendor = read_text("/sys/class/dmi/id/sys_vendor")
    product = read_text("/sys/class/dmi/id/product_name")
    return read_text("/proc/device-tree/model") or f"{vendor} {product}".strip() or _processor()


def _processor() -> str:
    text = read_text("/proc/cpuinfo")
    match = re.search(r"^(?:model name|Hardware|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    return match.group(1).strip() if match else platform.machine()


def _operating_system() -> str:
    match = re.search(r'^PRETTY_NAME="?([^"\n]+)"?$', read_text("/etc/os-release"), re.MULTILINE)
    return match.group(1) if match else platform.system()


def _gpus() -> tuple[Gpu, ...]:
    if not nvml.driver_present(places()):
        return ()
    library, _ = nvml.load_library()
    if library is None:
        return ()
    try:
        driver = _word(library.nvmlSystemGetDriverVersion())
        handles = [library.nvmlDeviceGetHandleByIndex(i) for i in range(library.nvmlDeviceGetCount())]
    except library.NVMLError:
        return ()
    return tuple(_gpu(library, handle, driver) for handle in handles)


def _gpu(library: Any, handle: Any, driver: str) -> Gpu:
    try:
        name = _word(library.nvmlDeviceGetName(handle))
    except library.NVMLError:
        name = "NVIDIA GPU"
    try:
        memory_bytes = int(library.nvmlDeviceGetMemoryInfo(handle).total)
    except library.NVMLError:
        # Boards whose GPU shares the system's memory do not answer.
        memory_bytes = 0
    return Gpu(name, memory_bytes, driver)


def _word(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _kib(meminfo: str, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(match.group(1)) if match else 0
