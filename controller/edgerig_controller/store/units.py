"""Which device stands for which unit of a study that runs on several of one type.

A unit is a device from the first trial that it takes of the study; nothing is
stored beside the attempts, so a device whose offer came to nothing is free again.
Works inside the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session

from edgerig.v1.device_pb2 import DeviceFacts
from edgerig.v1.fleet_service_pb2 import DeclaredDevice
from edgerig_controller.fleet.leases import OPEN
from edgerig_controller.store import tables

_TAKEN = (
    select(tables.Trial.unit, tables.Attempt.device_id)
    .join(tables.Attempt, tables.Attempt.trial_id == tables.Trial.trial_id)
    .where(
        tables.Trial.study_id == bindparam("study_id"),
        tables.Attempt.device_id != "",
        or_(tables.Attempt.state.in_((*OPEN, "batch")), tables.Attempt.began),
    )
    .distinct()
)


@dataclass(frozen=True)
class Units:
    """How many units a study has, the devices that stand for them, and their type ('' = none yet)."""

    count: int
    devices: dict[int, str]
    kind: str


def of_study(session: Session, study_id: str, count: int) -> Units:
    """Reads which devices stand for the units of a study."""
    devices: dict[int, str] = {}
    for unit, device_id in session.execute(_TAKEN, {"study_id": study_id}):
        devices.setdefault(unit, device_id)
    kind = kind_of(session, next(iter(devices.values()))) if devices else ""
    return Units(count, devices, kind)


def unit_for(session: Session, study_id: str, count: int, device_id: str) -> int | None:
    """Returns the unit that a device is, or would become; None where there is none for it."""
    units = of_study(session, study_id, count)
    for unit, taken_by in units.devices.items():
        if taken_by == device_id:
            return unit
    free = [unit for unit in range(1, count + 1) if unit not in units.devices]
    if not free or (units.devices and kind_of(session, device_id) != units.kind):
        return None
    return free[0]


def kind_of(session: Session, device_id: str) -> str:
    """Returns the type of a device: as declared in the inventory, else the machine and its memory."""
    intent = session.get(tables.DeviceIntent, device_id)
    if intent is not None and (declared := DeclaredDevice.FromString(intent.document).device_type):
        return declared
    device = session.get(tables.Device, device_id)
    if device is None or device.facts is None:
        return ""
    facts = DeviceFacts.FromString(device.facts)
    return f"{facts.machine}, {facts.memory_bytes / 2**30:.0f} GiB"
