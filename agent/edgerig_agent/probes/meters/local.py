"""Meters without a network: a power monitor on an i2c bus, and an estimate that is asked for by name."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence

from edgerig_agent.probes.base import (
    ENERGY_J,
    LAST_UNREAD,
    POWER_W,
    UNREAD,
    Channel,
    KeptFile,
    Places,
)
from edgerig_agent.probes.ina2xx import monitors
from edgerig_agent.probes.meters.base import GarbledError

_MICRO = 1e-6
# Ticks of /proc/stat; the kernel's USER_HZ is 100 on every architecture of ours.
_TICK_S = 0.01
# A line of some 80 bytes for each processor, before the long line of interrupts.
_STAT_BYTES = 256 * 1024


class HwmonMeter:
    """An INA2xx whose place in the circuit a person knows: `hwmon://1-0044?boundary=dc_in`."""

    def __init__(self, at: Places, address: str, boundary: str) -> None:
        self.channels = (Channel(f"hwmon:{address}:power", POWER_W, boundary, _MICRO),)
        self._at = at
        self._address = address
        self._file: KeptFile | None = None

    def connect(self) -> str:
        for chip, address, base in monitors(self._at):
            if address == self._address:
                self._file = KeptFile(f"{base}/power1_input")
                return f"{chip} at {address}"
        raise FileNotFoundError(errno.ENOENT, f"no power monitor at {self._address}")

    def read(self) -> Sequence[int]:
        raw = self._file.read_int() if self._file else UNREAD
        if raw <= LAST_UNREAD:
            code = raw - UNREAD or errno.EIO
            raise OSError(code, f"power1_input of {self._address} cannot be read")
        return (raw,)

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


class CpuShareEstimate:
    """Energy from the share of processor time and two powers that a person gives; no measurement.

    E(t) = idle_w x t + (full_w - idle_w) x busy time / number of processors, as a
    counter, so that no sampling error is added to the error of the model. It knows
    nothing of a GPU, of memory or of clocks. Its boundary is always `estimate`.
    """

    def __init__(
        self, at: Places, idle_w: float, full_w: float, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        source = f"estimate:cpu-share:idle={idle_w:g}W,full={full_w:g}W"
        self.channels = (Channel(source, ENERGY_J, "estimate", _MICRO),)
        self._path = f"{at.procfs}/stat"
        self._idle_w = idle_w
        self._full_w = full_w
        self._clock = clock
        self._began = (0, 0.0)

    def connect(self) -> str:
        self._began = (self._clock(), self._busy_s()[0])
        return f"model: {self._idle_w:g} W idle, {self._full_w:g} W with every processor busy"

    def read(self) -> Sequence[int]:
        busy_s, cpu_count = self._busy_s()
        began_ns, began_busy_s = self._began
        duration_s = (self._clock() - began_ns) * 1e-9
        share_s = (busy_s - began_busy_s) / cpu_count
        return (round((self._idle_w * duration_s + (self._full_w - self._idle_w) * share_s) / _MICRO),)

    def close(self) -> None:
        """Holds nothing."""

    def _busy_s(self) -> tuple[float, int]:
        """Returns processor time spent working since boot, of all processors, and their number.

        The columns of the first line are user nice system idle iowait irq softirq steal
        guest guest_nice; guests are in user already (proc_stat(5)).
        """
        file = KeptFile(self._path, size_bytes=_STAT_BYTES)
        text = file.read_text()
        lines = text.decode("ascii", "replace").splitlines() if isinstance(text, bytes) else []
        file.close()
        words = lines[0].split()[1:] if lines else []
        if len(words) < 8 or not all(word.isdigit() for word in words):
            raise GarbledError(f"{self._path} has no line of processor times")
        ticks = [int(word) for word in words]
        cpu_count = sum(1 for line in lines if line.startswith("cpu") and line[3:4].isdigit())
        return (sum(ticks[:8]) - ticks[3] - ticks[4]) * _TICK_S, max(cpu_count, 1)
