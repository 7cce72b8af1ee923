"""Power, energy and state of NVIDIA GPUs through NVML.

`nvidia-ml-py` is imported only where a driver is there to answer. Every call is
tried once: a Jetson initialises NVML and then supports none of its queries.
Both the energy counter and the power reading are kept, because they disagree on
some boards (zeus #181: 187 J against 327 J).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from edgerig_agent.probes.base import ENERGY_J, POWER_W, Channel, Places, Probe, file_exists

if TYPE_CHECKING:
    from edgerig_agent.probes.nvml_queries import Query

_MILLI = 1e-3
# The driver renews power and energy every 20 to 100 ms.
_FAST_NS = 20_000_000
_SLOW_NS = 200_000_000
_LIBRARY = "libnvidia-ml.so.1"
_LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu/nvidia",
    "/usr/lib64",
    "/usr/lib/wsl/lib",
)


def driver_present(at: Places) -> bool:
    """Tells whether an NVIDIA driver may answer, without loading anything."""
    if file_exists(f"{at.dev}/nvidiactl"):
        return True
    folders = [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
    return any(file_exists(f"{folder}/{_LIBRARY}") for folder in (*folders, *_LIBRARY_FOLDERS))


def load_library() -> tuple[Any, str]:
    """Returns the initialised pynvml module, or None and the reason.

    A driver that is installed without a device is a normal thing and no error.
    """
    try:
        import pynvml
    except ImportError:
        return None, "nvidia-ml-py is not installed; pip install 'edgerig[agent]'"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return None, f"NVML does not start: {error}"
    return pynvml, ""


def discover(at: Places) -> list[Probe]:
    """Finds the GPUs that the driver shows."""
    if not driver_present(at):
        return []
    # Where there is no driver the sampler has no use for these 0.1 MB.
    from edgerig_agent.probes import nvml_queries
    from edgerig_agent.probes.nvml_queries import Query

    library, reason = load_library()
    if library is None:
        channels = [
            Channel("nvml", quantity, "gpu_board", _MILLI, unavailable_reason=reason)
            for quantity in (ENERGY_J, POWER_W)
        ]
        return [Nvml("nvml", _FAST_NS, [Query(channels, list, (Exception,))])]
    quick: list[Query] = []
    calm: list[Query] = []
    for index in range(_device_count(library)):
        try:
            handle = library.nvmlDeviceGetHandleByIndex(index)
        except library.NVMLError as error:
            why = f"nvmlDeviceGetHandleByIndex: {error}"
            channel = Channel(f"nvml:{index}", POWER_W, "gpu_board", _MILLI, unavailable_reason=why)
            quick.append(Query([channel], list, (Exception,)))
            continue
        device = nvml_queries.Device(library, handle, index)
        quick += nvml_queries.fast(device)
        calm += nvml_queries.slow(device)
    return [
        Nvml(name, interval_ns, queries)
        for name, interval_ns, queries in (("nvml", _FAST_NS, quick), ("nvml_state", _SLOW_NS, calm))
        if queries
    ]


class Nvml:
    """Queries to all GPUs of one machine that are worth asking in the same interval."""

    def __init__(self, name: str, interval_ns: int, queries: list[Query]) -> None:
        self.name = name
        self.interval_ns = interval_ns
        self._queries = queries
        self._active: list[tuple[Query, tuple[int, ...]]] = []

    def describe(self) -> tuple[Channel, ...]:
        return tuple(channel for query in self._queries for channel in query.channels)

    def open(self) -> tuple[Channel, ...]:
        self._active = []
        opened: list[Channel] = []
        for query in self._queries:
            answered = [index for index, c in enumerate(query.channels) if not c.unavailable_reason]
            if answered:
                self._active.append((query, tuple(answered)))
                opened += [query.channels[index] for index in answered]
        return tuple(opened)

    def read_all(self) -> list[int]:
        values: list[int] = []
        for query, answered in self._active:
            read = query.read()
            values += [read[index] for index in answered]
        return values

    def close(self) -> None:
        self._active = []


def _device_count(library: Any) -> int:
    try:
        return int(library.nvmlDeviceGetCount())
    except library.NVMLError:
        return 0
