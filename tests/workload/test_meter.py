"""The energy meter that another process keeps: whole records are read, torn ones are not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from edgerig_workload.faults import WorkerFault
from edgerig_workload.meter import CHECK, HEADER_BYTES, RECORD, SharedMeter

HEADER = json.dumps({"source": "rapl:package-0", "resolution_s": 0.15}).encode()


@pytest.fixture
def descriptor() -> Iterator[int]:
    opened = os.memfd_create("meter")
    yield opened
    os.close(opened)


def record(t_mono_ns: int, energy_uj: int, damage: int = 0) -> bytes:
    return RECORD.pack(t_mono_ns, energy_uj, (t_mono_ns ^ energy_uj ^ CHECK) + damage)


def test_energy_is_the_newest_record(descriptor: int) -> None:
    os.pwrite(descriptor, HEADER.ljust(HEADER_BYTES, b"\0") + record(5, 1_500_000), 0)
    meter = SharedMeter(descriptor)
    first = meter.energy_j()
    os.pwrite(descriptor, record(9, 2_000_000), HEADER_BYTES)

    assert (first, meter.energy_j()) == (1.5, 2.0)
    assert (meter.source, meter.resolution_s) == ("rapl:package-0", 0.15)


@pytest.mark.parametrize("kept", [b"", record(5, 7, damage=1)])
def test_damaged_record_is_no_energy(descriptor: int, kept: bytes) -> None:
    os.pwrite(descriptor, HEADER.ljust(HEADER_BYTES, b"\0") + kept, 0)

    with pytest.raises(WorkerFault, match="no whole record"):
        SharedMeter(descriptor).energy_j()


@pytest.mark.parametrize("header", [b"", b"[]", b"{}", b"no json"])
def test_what_is_no_meter_is_told(descriptor: int, header: bytes) -> None:
    os.pwrite(descriptor, header, 0)

    with pytest.raises(WorkerFault, match="no energy meter"):
        SharedMeter(descriptor)
