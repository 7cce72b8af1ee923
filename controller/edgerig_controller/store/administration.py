"""Intent, administration and health of devices in the database.

The pure rules are those of `fleet.inventory`, `fleet.administration` and
`fleet.health`; here they are applied to rows. Every function works inside the
caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from edgerig.errors import NotFoundError
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig.v1.fleet_service_pb2 import DeclaredDevice, InventoryChange
from edgerig_controller.fleet import administration as rules
from edgerig_controller.fleet import inventory
from edgerig_controller.fleet.administration import ACTIVE, UNKNOWN, Administration, Health, HealthState, Mode
from edgerig_controller.store import tables
from edgerig_controller.store.events import record_event


@dataclass(frozen=True)
class Standing:
    """What decides whether a device gets work, as it is in force now."""

    administration: Administration = ACTIVE
    health: Health = UNKNOWN
    mismatch: str = ""

    def refusal(self, purpose: str = "") -> str:
        """Says why the device gets no trial now; '' when it does."""
        return rules.refusal(self.administration, self.health, self.mismatch, purpose=purpose)


_INTENT = select(tables.DeviceIntent).where(tables.DeviceIntent.device_id == bindparam("device_id"))
_STANDING = (
    select(tables.DeviceAdmin, tables.DeviceHealth, tables.DeviceIntent)
    .select_from(tables.Device)
    .outerjoin(tables.DeviceAdmin, tables.DeviceAdmin.device_id == tables.Device.device_id)
    .outerjoin(tables.DeviceHealth, tables.DeviceHealth.device_id == tables.Device.device_id)
    .outerjoin(tables.DeviceIntent, tables.DeviceIntent.device_id == tables.Device.device_id)
    .where(tables.Device.device_id == bindparam("device_id"))
)


def standing(session: Session, device_id: str, now_unix_s: float) -> Standing:
    """Reads the standing of one device."""
    found = session.execute(_STANDING, {"device_id": device_id}).first()
    admin, health, intent = found or (None, None, None)
    return _standing(admin, health, intent, now_unix_s)


def standings(session: Session, now_unix_s: float) -> dict[str, Standing]:
    """Reads the standing of every device."""
    admins = {row.device_id: row for row in session.scalars(select(tables.DeviceAdmin))}
    healths = {row.device_id: row for row in session.scalars(select(tables.DeviceHealth))}
    intents = {row.device_id: row for row in session.scalars(select(tables.DeviceIntent))}
    return {
        device_id: _standing(
            admins.get(device_id), healths.get(device_id), intents.get(device_id), now_unix_s
        )
        for device_id in session.scalars(select(tables.Device.device_id))
    }


def next_release_unix_s(session: Session, now_unix_s: float) -> float | None:
    """Returns when the next hold ends by itself."""
    ends = session.scalars(
        select(tables.DeviceAdmin.until_unix_s).where(tables.DeviceAdmin.until_unix_s > now_unix_s)
    ).all()
    return min((end for end in ends if end is not None), default=None)


def set_mode(
    session: Session,
    device_id: str,
    *,
    mode: Mode,
    by: str,
    reason: str,
    for_s: float,
    force: bool,
    now_unix_s: float,
) -> Administration:
    """Carries out what somebody wants of a device.

    Raises:
        NotFoundError: there is no such device.
        UsageError: it makes no sense, or the device is held by somebody else.
    """
    _require(session, device_id)
    row = session.get(tables.DeviceAdmin, device_id)
    present = rules.in_force(_administration(row), now_unix_s)
    wanted = rules.change(
        present, mode=mode, by=by, reason=reason, for_s=for_s, force=force, now_unix_s=now_unix_s
    )
    if row is not None:
        session.delete(row)
        session.flush()
    if wanted.mode != "active":
        session.add(
            tables.DeviceAdmin(
                device_id=device_id,
                mode=wanted.mode,
                owner=wanted.owner,
                reason=wanted.reason,
                since_unix_s=wanted.since_unix_s,
                until_unix_s=wanted.until_unix_s,
            )
        )
    detail = f"{present.mode} to {wanted.mode} by {by or 'the local operator'}"
    record_event(
        session,
        now_unix_s,
        "device_mode",
        device_id=device_id,
        detail=f"{detail}: {wanted.reason}" if wanted.reason else detail,
    )
    return wanted


def declared(session: Session) -> dict[str, DeclaredDevice]:
    """Returns the declared intent by device id."""
    return {
        row.device_id: DeclaredDevice.FromString(row.document)
        for row in session.scalars(select(tables.DeviceIntent))
    }


def apply_inventory(
    session: Session,
    devices: Sequence[DeclaredDevice],
    *,
    prune: bool,
    dry_run: bool,
    by: str,
    now_unix_s: float,
) -> list[InventoryChange]:
    """Replaces the declared intent of devices and returns what that changes.

    Declared devices become known, and their labels are those of the inventory.
    """
    before = declared(session)
    after = {device.device_id: device for device in devices}
    found = inventory.changes(before, after, prune=prune)
    if dry_run:
        return found
    changed = {change.device_id for change in found if change.kind in ("added", "changed")}
    for device_id in sorted(changed):
        _write_intent(session, after[device_id], by, now_unix_s)
    for device_id in after.keys() - changed:
        # A new token may have come with others meanwhile.
        if (known := session.get(tables.Device, device_id)) is not None:
            known.labels = list(after[device_id].labels)
    if prune:
        gone = [device_id for device_id in before if device_id not in after]
        session.execute(delete(tables.DeviceIntent).where(tables.DeviceIntent.device_id.in_(gone)))
    for change in found:
        if change.kind != "kept" and (change.kind != "removed" or prune):
            record_event(
                session,
                now_unix_s,
                "inventory",
                device_id=change.device_id,
                detail=f"{change.kind} by {by or 'the local operator'}: {'; '.join(change.details)}",
            )
    return found


def note_facts(session: Session, device_id: str, facts: DeviceFacts, now_unix_s: float) -> None:
    """Compares new facts of a device with what is declared of it."""
    row = session.scalars(_INTENT, {"device_id": device_id}).first()
    if row is None:
        return
    mismatch = inventory.mismatch(DeclaredDevice.FromString(row.document), facts)
    if mismatch != row.mismatch:
        record_event(session, now_unix_s, "mismatch", device_id=device_id, detail=mismatch or "none any more")
    row.mismatch = mismatch


def set_health(
    session: Session, device_id: str, state: HealthState, reason: str, *, now_unix_s: float
) -> bool:
    """Writes what golden trials say of a device; tells whether that is news."""
    row = session.get(tables.DeviceHealth, device_id)
    if row is None:
        row = tables.DeviceHealth(
            device_id=device_id,
            state="unknown",
            reason="",
            since_unix_s=now_unix_s,
            baseline_after_unix_s=0.0,
        )
        session.add(row)
    news = row.state != state
    if news:
        row.since_unix_s = now_unix_s
        record_event(
            session, now_unix_s, "health", device_id=device_id, detail=f"{row.state} to {state}: {reason}"
        )
    row.state, row.reason = state, reason
    return news


def reset_health(session: Session, device_id: str, *, rebaseline: bool, by: str, now_unix_s: float) -> None:
    """Takes a device out of quarantine; with `rebaseline` what was normal is learnt anew.

    Raises:
        NotFoundError: there is no such device.
    """
    _require(session, device_id)
    set_health(session, device_id, "unknown", f"reset by {by or 'the local operator'}", now_unix_s=now_unix_s)
    if rebaseline:
        session.get_one(tables.DeviceHealth, device_id).baseline_after_unix_s = now_unix_s


def _standing(
    admin: tables.DeviceAdmin | None,
    health: tables.DeviceHealth | None,
    intent: tables.DeviceIntent | None,
    now_unix_s: float,
) -> Standing:
    return Standing(
        rules.in_force(_administration(admin), now_unix_s),
        UNKNOWN
        if health is None
        else Health(
            cast(HealthState, health.state), health.reason, health.since_unix_s, health.baseline_after_unix_s
        ),
        "" if intent is None else intent.mismatch,
    )


def _administration(row: tables.DeviceAdmin | None) -> Administration:
    if row is None:
        return ACTIVE
    return Administration(cast(Mode, row.mode), row.owner, row.reason, row.since_unix_s, row.until_unix_s)


def _write_intent(session: Session, device: DeclaredDevice, by: str, now_unix_s: float) -> None:
    known = session.get(tables.Device, device.device_id)
    if known is None:
        known = tables.Device(
            device_id=device.device_id,
            labels=[],
            added_unix_s=now_unix_s,
            facts=None,
            facts_unix_s=None,
            environment_digest="",
        )
        session.add(known)
    known.labels = list(device.labels)
    facts = None if known.facts is None else DeviceFacts.FromString(known.facts)
    row = session.get(tables.DeviceIntent, device.device_id)
    if row is None:
        row = tables.DeviceIntent(device_id=device.device_id)
        session.add(row)
    row.document = device.SerializeToString(deterministic=True)
    row.applied_unix_s = now_unix_s
    row.applied_by = by
    row.mismatch = inventory.mismatch(device, facts)


def _require(session: Session, device_id: str) -> tables.Device:
    device = session.get(tables.Device, device_id)
    if device is None:
        raise NotFoundError(f"There is no device {device_id[:80]!r}.", hint="edgerig devices")
    return device
