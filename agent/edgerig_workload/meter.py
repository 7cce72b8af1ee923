"""The live energy meter: what the watching process writes to a shared file for a budget in joules.

The worker reads no power sensor. The process that samples them keeps one record in a
memory file whose descriptor the worker inherits, and renews it a few times a second.
Reads and nothing else; which sensor it is, stands in the header.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Protocol

from edgerig_workload.faults import WorkerFault

HEADER_BYTES = 1024
# Time and energy since the meter began, and a check that tells a torn record.
RECORD = struct.Struct("<QQQ")
CHECK = 0x9E3779B97F4A7C15
_TRIES = 1000
_MASK = 2**64 - 1


class Meter(Protocol):
    """A counter of energy."""

    source: str
    resolution_s: float

    def energy_j(self) -> float:
        """Return the energy since the meter began, as of at most `resolution_s` ago."""
        ...


class SharedMeter:
    """Reads the meter behind an open descriptor.

    Raises:
        WorkerFault: of class worker_error, where it is no meter.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        try:
            header = json.loads(os.pread(descriptor, HEADER_BYTES, 0).rstrip(b"\0"))
            self.source = str(header["source"])
            self.resolution_s = float(header["resolution_s"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            said = f"descriptor {descriptor} is no energy meter: {error}"
            raise WorkerFault("worker_error", said) from error

    def energy_j(self) -> float:
        """Return the energy since the meter began, in joules.

        Raises:
            WorkerFault: of class worker_error, where the record stays damaged.
        """
        for _ in range(_TRIES):
            data = os.pread(self._descriptor, RECORD.size, HEADER_BYTES)
            if len(data) == RECORD.size:
                t_mono_ns, energy_uj, check = RECORD.unpack(data)
                if check == (t_mono_ns ^ energy_uj ^ CHECK) & _MASK:
                    return float(energy_uj) * 1e-6
        raise WorkerFault("worker_error", "the energy meter gives no whole record")
