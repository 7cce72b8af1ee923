"""What lists of devices show, composed of what is stored and who is connected: pure functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from edgerig.v1 import fleet_service_pb2 as pb
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig_controller.fleet import inventory
from edgerig_controller.fleet.administration import Health
from edgerig_controller.fleet.schedule import eta_by_device
from edgerig_controller.store.devices import DeviceRow
from edgerig_controller.store.golden import Point
from edgerig_controller.store.overview import Overview
from edgerig_controller.store.watch import Running

_MODES = {
    "active": pb.DEVICE_MODE_ACTIVE,
    "drain": pb.DEVICE_MODE_DRAIN,
    "maintenance": pb.DEVICE_MODE_MAINTENANCE,
    "hold": pb.DEVICE_MODE_HOLD,
}
_HEALTHS = {
    "unknown": pb.DEVICE_HEALTH_UNKNOWN,
    "good": pb.DEVICE_HEALTH_GOOD,
    "quarantined": pb.DEVICE_HEALTH_QUARANTINED,
}


def devices(
    overview: Overview, connected: Collection[str], refusals: Mapping[str, str]
) -> list[pb.FleetDevice]:
    """Composes the list of devices; `refusals` are the devices' own reasons to take no work."""
    running = {item.device_id: item for item in overview.running}
    etas = _etas(overview, connected, refusals)
    return [
        _device(overview, row, running.get(row.device_id), connected, refusals, etas.get(row.device_id))
        for row in overview.devices
    ]


def inventory_devices(
    rows: Sequence[DeviceRow], declared: Mapping[str, pb.DeclaredDevice]
) -> list[pb.InventoryDevice]:
    """Sets what is declared beside what is observed, for every device that is known or declared."""
    known = {row.device_id: row for row in rows}
    found = []
    for device_id in sorted({*known, *declared}):
        row, intent = known.get(device_id), declared.get(device_id)
        facts = row.facts if row is not None else None
        found.append(
            pb.InventoryDevice(
                device_id=device_id,
                declared=intent,
                enrolled=row is not None and row.enrolled,
                reported=facts is not None,
                observed=None if facts is None else _observed(facts),
                differences=inventory.differences(intent, facts) if intent is not None else [],
            )
        )
    return found


def _observed(facts: DeviceFacts) -> DeviceFacts:
    """Keeps what an inventory is compared with; whole facts hold a catalogue of half a megabyte."""
    return DeviceFacts(
        machine=facts.machine,
        memory_bytes=facts.memory_bytes,
        serial_number=facts.serial_number,
        l4t_release=facts.l4t_release,
        agent_version=facts.agent_version,
    )


def health(state: Health, points: Sequence[Point]) -> pb.GetHealthResponse:
    """Composes what the control charts of a device say."""
    return pb.GetHealthResponse(
        health=_HEALTHS[state.state],
        reason=state.reason,
        since_unix_s=state.since_unix_s,
        points=[
            pb.HealthPoint(
                at_unix_s=point.at_unix_s,
                attempt_id=point.attempt_id,
                figure=point.figure,
                source=point.source,
                value=point.value,
                verdict=point.verdict,
                detail=point.detail,
            )
            for point in points
        ],
    )


def _device(
    overview: Overview,
    row: DeviceRow,
    running: Running | None,
    connected: Collection[str],
    refusals: Mapping[str, str],
    eta_s: float | None,
) -> pb.FleetDevice:
    place = overview.standings[row.device_id]
    device = pb.FleetDevice(
        device_id=row.device_id,
        labels=row.labels,
        activity=_activity(row, running, connected),
        current=f"{running.cell_label} seed {running.seed} of {running.study_id}" if running else "",
        health=_HEALTHS[place.health.state],
        health_reason=place.health.reason,
        mode=_MODES[place.administration.mode],
        mode_owner=place.administration.owner,
        mode_reason=place.administration.reason,
        mode_until_unix_s=place.administration.until_unix_s,
        blocked_reason=place.refusal() or refusals.get(row.device_id, ""),
        eta_s=eta_s,
        certificate_not_after_unix_s=overview.certificate_ends.get(row.device_id),
        queued_trial_count=sum(
            backlog.count for backlog in overview.backlogs if row.device_id in backlog.device_ids
        ),
    )
    if row.facts is not None:
        device.machine = row.facts.machine
        device.memory_bytes = row.facts.memory_bytes
        device.agent_version = row.facts.agent_version
    return device


def _activity(row: DeviceRow, running: Running | None, connected: Collection[str]) -> pb.DeviceActivity:
    if not row.enrolled:
        return pb.DEVICE_ACTIVITY_NOT_ENROLLED
    if row.device_id not in connected:
        return pb.DEVICE_ACTIVITY_OFFLINE
    return pb.DEVICE_ACTIVITY_BUSY if running is not None else pb.DEVICE_ACTIVITY_IDLE


def _etas(
    overview: Overview, connected: Collection[str], refusals: Mapping[str, str]
) -> dict[str, float | None]:
    """Estimates when each present device has nothing left to do; blocked ones end what they run."""
    busy: dict[str, float | None] = {}
    blocked: dict[str, float | None] = {}
    for row in overview.devices:
        if row.device_id not in connected:
            continue
        ran = overview.running_s.get(row.device_id)
        left: float | None = 0.0
        if ran is not None:
            left = None if ran[1] is None else max(ran[1] - ran[0], 0.0)
        stops = overview.standings[row.device_id].refusal() or refusals.get(row.device_id)
        (blocked if stops else busy)[row.device_id] = left
    return {**blocked, **eta_by_device(busy, overview.backlogs)}
