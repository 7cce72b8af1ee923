"""The live energy meter of an attempt: a memory file that this process keeps and the worker reads.

Kept only for a trial whose training has a budget in joules. It has no place on a disk,
so that renewing it disturbs nothing that is measured but this process's own share of the
processor. The layout is that of docs/reference/interfaces.md.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

from edgerig_agent.measure.live import LiveEnergy, open_live

PERIOD_S = 0.1
HEADER_BYTES = 1024
RECORD = struct.Struct("<QQQ")
CHECK = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


class Meter:
    """Writes energy since the sampler began, as often as it is told to."""

    def __init__(self, energy: LiveEnergy) -> None:
        self._energy = energy
        self.descriptor = os.memfd_create("edgerig-meter")
        header = {
            "source": energy.figure.source,
            "boundary": energy.figure.boundary,
            "resolution_s": PERIOD_S + energy.resolution_s,
        }
        os.pwrite(self.descriptor, json.dumps(header).encode().ljust(HEADER_BYTES, b"\0"), 0)
        self.renew()

    def renew(self) -> None:
        """Bring the record up to the traces.

        Raises:
            OSError: the trace cannot be read.
        """
        self._energy.update()
        t_mono_ns, energy_uj = self._energy.t_mono_ns, int(self._energy.energy_j * 1e6)
        # The check lets a reader tell a record that is half old and half new.
        record = RECORD.pack(t_mono_ns, energy_uj, (t_mono_ns ^ energy_uj ^ CHECK) & _MASK)
        os.pwrite(self.descriptor, record, HEADER_BYTES)

    def close(self) -> None:
        """Give the memory back; the worker's descriptor stays good as long as it lives."""
        os.close(self.descriptor)


def open_meter(folder: Path) -> Meter | None:
    """Return the meter of an attempt whose sampler has begun; None where no sensor gives a total.

    Raises:
        StorageError: a trace cannot be read.
    """
    energy = open_live(folder)
    return None if energy is None else Meter(energy)
