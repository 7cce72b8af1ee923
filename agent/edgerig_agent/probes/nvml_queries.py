"""Single questions to NVML, each tried on its own.

A board whose NVML starts may support none, some or all of its queries, so every
one is asked once and described with the driver's answer. Knows nothing of
schedules. The library is handed in: the real binding, imported by `nvml`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from edgerig_agent.probes.base import (
    ENERGY_J,
    EVENT_REASONS,
    FREQUENCY_HZ,
    LAST_UNREAD,
    MEMORY_BYTES,
    POWER_SMOOTHED_W,
    POWER_W,
    PROCESS_COUNT,
    TEMPERATURE_C,
    UNREAD,
    Channel,
    read_text,
    unread_reason,
)

_MILLI = 1e-3
_MEGA = 1e6
# Answers of the driver as the error that a file would give; others are an input/output error.
_ERRNO = {
    3: errno.EOPNOTSUPP,
    4: errno.EACCES,
    10: errno.ETIMEDOUT,
    13: errno.EOPNOTSUPP,
    15: errno.ENODEV,
    21: errno.ENODATA,
    28: errno.ENODEV,
}
_TYPE_DOUBLE = 0
_TYPE_UNSIGNED_INT = 1


class Query:
    """One call and the channels that its answer fills, in order."""

    def __init__(
        self,
        channels: Sequence[Channel],
        call: Callable[[], Sequence[int]],
        errors: tuple[type[Exception], ...],
    ) -> None:
        self.channels = tuple(channels)
        self._call = call
        self._errors = errors

    def read(self) -> list[int]:
        """Returns one raw value for each channel; UNREAD + errno where the driver refuses."""
        try:
            return list(self._call())
        except self._errors as error:
            return [unread(error)] * len(self.channels)


def unread(error: Any) -> int:
    """Returns what stands in a trace for this answer of the driver."""
    return UNREAD + _ERRNO.get(getattr(error, "value", 0), errno.EIO)


class Device(NamedTuple):
    """One GPU as the library knows it."""

    library: Any
    handle: Any
    number: int

    def source(self, name: str) -> str:
        """Returns how a channel of this GPU is called."""
        return f"nvml:{self.number}:{name}"


def fast(device: Device) -> list[Query]:
    """Returns what is worth reading often: the energy counter and power.

    Where the driver gives the power of the instant, that is the sampled power, and the
    reading that it smooths over about a second (all GPUs since Ampere but GA100) is
    kept in the trace and not integrated.
    """
    fields = _fields(device)
    has_instant = any(not c.unavailable_reason for c in fields.channels if c.quantity == POWER_W)
    power = POWER_SMOOTHED_W if has_instant else POWER_W
    return [
        _single(device, "energy", ENERGY_J, _MILLI, "nvmlDeviceGetTotalEnergyConsumption"),
        _single(device, "power", power, _MILLI, "nvmlDeviceGetPowerUsage"),
        fields,
    ]


def slow(device: Device) -> list[Query]:
    """Returns what changes slowly: clocks, why they are held down, temperature, memory, processes."""
    library = device.library
    reasons = "nvmlDeviceGetCurrentClocksEventReasons"
    if not hasattr(library, reasons):
        reasons = "nvmlDeviceGetCurrentClocksThrottleReasons"
    clock, gpu = "nvmlDeviceGetClockInfo", library.NVML_TEMPERATURE_GPU
    return [
        _single(device, "sm_clock", FREQUENCY_HZ, _MEGA, clock, library.NVML_CLOCK_SM),
        _single(device, "memory_clock", FREQUENCY_HZ, _MEGA, clock, library.NVML_CLOCK_MEM),
        _single(device, "clock_reasons", EVENT_REASONS, 1.0, reasons),
        _single(device, "temperature", TEMPERATURE_C, 1.0, "nvmlDeviceGetTemperature", gpu),
        _memory(device),
        _processes(device),
    ]


def _single(device: Device, name: str, quantity: str, scale: float, function: str, *arguments: int) -> Query:
    call = getattr(device.library, function)

    def ask() -> tuple[int]:
        return (int(call(device.handle, *arguments)),)

    boundary = "gpu_board" if quantity in (POWER_W, ENERGY_J, POWER_SMOOTHED_W) else ""
    return _tried(device, [Channel(device.source(name), quantity, boundary, scale)], function, ask)


def _fields(device: Device) -> Query:
    """Power of the instant and of the last second, by one call."""
    library = device.library
    wanted = [(library.NVML_FI_DEV_POWER_INSTANT, 0), (library.NVML_FI_DEV_POWER_AVERAGE, 0)]

    def ask() -> list[int]:
        values = library.nvmlDeviceGetFieldValues(device.handle, wanted)
        return [_field_value(value) for value in values]

    channels = [
        Channel(device.source("power_instant"), POWER_W, "gpu_board", _MILLI),
        Channel(device.source("power_average"), POWER_SMOOTHED_W, "gpu_board", _MILLI),
    ]
    return _tried(device, channels, "nvmlDeviceGetFieldValues", ask)


def _field_value(value: Any) -> int:
    if value.nvmlReturn != 0:
        return UNREAD + _ERRNO.get(value.nvmlReturn, errno.EIO)
    if value.valueType == _TYPE_DOUBLE:
        return int(value.value.dVal)
    return int(value.value.uiVal if value.valueType == _TYPE_UNSIGNED_INT else value.value.ullVal)


def _memory(device: Device) -> Query:
    def ask() -> tuple[int]:
        return (int(device.library.nvmlDeviceGetMemoryInfo(device.handle).used),)

    channel = Channel(device.source("memory_used"), MEMORY_BYTES, "", 1.0)
    return _tried(device, [channel], "nvmlDeviceGetMemoryInfo", ask)


def _processes(device: Device) -> Query:
    """Memory of this attempt's processes on the GPU, and the number of others there."""
    family = _Family(os.getppid())

    def ask() -> tuple[int, int]:
        found = device.library.nvmlDeviceGetComputeRunningProcesses(device.handle)
        return _shares([(process.pid, process.usedGpuMemory) for process in found], family)

    channels = [
        Channel(device.source("own_memory"), MEMORY_BYTES, "", 1.0),
        Channel(device.source("foreign"), PROCESS_COUNT, "", 1.0),
    ]
    return _tried(device, channels, "nvmlDeviceGetComputeRunningProcesses", ask)


def _shares(found: list[tuple[int, int | None]], family: _Family) -> tuple[int, int]:
    """Sums our processes' memory; unread where the driver names processes that are not to be seen here."""
    visible = [(pid, used) for pid, used in found if family.is_visible(pid)]
    own = [used for pid, used in visible if family.has(pid)]
    if (found and not visible) or None in own:
        return UNREAD, len(visible) - len(own) if visible else UNREAD
    return sum(used for used in own if used is not None), len(found) - len(own)


class _Family:
    """Processes that descend from one; parentage is looked up once for each pid."""

    def __init__(self, ancestor: int) -> None:
        self._ancestor = ancestor
        self._known: dict[int, bool] = {}

    def is_visible(self, pid: int) -> bool:
        return pid in self._known or os.path.exists(f"/proc/{pid}")  # noqa: PTH110

    def has(self, pid: int) -> bool:
        if pid not in self._known:
            self._known[pid] = self._descends(pid)
        return self._known[pid]

    def _descends(self, pid: int) -> bool:
        while pid > 1:
            if pid == self._ancestor:
                return True
            # The second field, the name, may hold spaces and brackets.
            fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
            pid = int(fields[1]) if len(fields) > 1 else 0
        return False


def _tried(
    device: Device, channels: Sequence[Channel], function: str, ask: Callable[[], Sequence[int]]
) -> Query:
    """Asks once, and writes into each channel why it has no answer."""
    try:
        answers = list(ask())
    except errors(device.library) as error:
        reasons = [f"{function}: {error}"] * len(channels)
    else:
        reasons = [f"{function}: {_why(answer)}" if answer <= LAST_UNREAD else "" for answer in answers]
    described = [c._replace(unavailable_reason=why) for c, why in zip(channels, reasons, strict=True)]
    return Query(described, ask, errors(device.library))


def errors(library: Any) -> tuple[type[Exception], ...]:
    """What the binding raises: the driver's answers, and that the driver is older than a function.

    The second is no NVMLError and comes from functions that have versions.
    """
    mismatch = getattr(library, "NVMLLibraryMismatchError", None)
    return (library.NVMLError, mismatch) if mismatch else (library.NVMLError,)


def _why(raw: int) -> str:
    return "Not Supported" if raw == UNREAD + errno.EOPNOTSUPP else unread_reason(raw)
