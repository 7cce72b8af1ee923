"""Power and energy of NVIDIA GPUs through NVML.

`nvidia-ml-py` is imported only where a driver is there to answer. Every call is
tried once: a Jetson initialises NVML and then supports none of its queries.
Both the energy counter and the power reading are kept, because they disagree on
some boards.
"""

from __future__ import annotations

import os
from typing import Any

from edgerig_agent.probes.base import ENERGY_J, POWER_W, UNREAD, Channel, Places, Probe, file_exists

_MILLI = 1e-3
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
    library, reason = load_library()
    if library is None:
        return [Nvml(None, [_unavailable("nvml", quantity, reason) for quantity in (ENERGY_J, POWER_W)])]
    queries: list[_Query] = []
    try:
        for index in range(library.nvmlDeviceGetCount()):
            handle = library.nvmlDeviceGetHandleByIndex(index)
            queries.append(_query(library, handle, index, ENERGY_J, "nvmlDeviceGetTotalEnergyConsumption"))
            queries.append(_query(library, handle, index, POWER_W, "nvmlDeviceGetPowerUsage"))
    except library.NVMLError as error:
        queries.append(_unavailable("nvml", POWER_W, f"NVML lists no device: {error}"))
    return [Nvml(library, queries)] if queries else []


class Nvml:
    """Energy counters and power readings of all GPUs of one machine."""

    name = "nvml"
    # The driver renews its figures every 20 to 100 ms.
    interval_ns = 20_000_000

    def __init__(self, library: Any, queries: list[_Query]) -> None:
        self._library = library
        self._queries = queries
        self._active: list[_Query] = []

    def describe(self) -> tuple[Channel, ...]:
        return tuple(query.channel for query in self._queries)

    def open(self) -> tuple[Channel, ...]:
        self._active = [query for query in self._queries if not query.channel.unavailable_reason]
        return tuple(query.channel for query in self._active)

    def read_all(self) -> list[int]:
        return [self._read(query) for query in self._active]

    def close(self) -> None:
        self._active = []

    def _read(self, query: _Query) -> int:
        try:
            return int(query.call(query.handle))
        except self._library.NVMLError:
            return UNREAD


class _Query:
    def __init__(self, channel: Channel, call: Any, handle: Any) -> None:
        self.channel = channel
        self.call = call
        self.handle = handle


def _query(library: Any, handle: Any, index: int, quantity: str, function: str) -> _Query:
    call = getattr(library, function)
    try:
        call(handle)
        reason = ""
    except library.NVMLError as error:
        reason = f"{function}: {error}"
    source = f"nvml:{index}:{quantity.partition('_')[0]}"
    return _Query(Channel(source, quantity, "gpu_board", _MILLI, 0, reason), call, handle)


def _unavailable(source: str, quantity: str, reason: str) -> _Query:
    return _Query(Channel(source, quantity, "gpu_board", _MILLI, 0, reason), None, None)
