"""The certificates of devices: which count, renewing, retiring, revoking.

Every function works inside the caller's transaction. Knows nothing of how
certificates are signed.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, or_, select, update
from sqlalchemy.orm import Session

from edgerig.errors import NotFoundError
from edgerig_controller.store import tables
from edgerig_controller.store.events import record_event

# Asked with every session or call: made once, and of columns, which cost half of what a mapped row does.
_LIVE = (
    select(tables.Certificate.serial)
    .where(
        tables.Certificate.device_id == bindparam("device_id"),
        tables.Certificate.revoked_unix_s.is_(None),
        tables.Certificate.not_after_unix_s > bindparam("now_unix_s"),
    )
    .order_by(tables.Certificate.issued_unix_s)
)
_FACTS = select(
    tables.Certificate.device_id,
    tables.Certificate.revoked_unix_s,
    tables.Certificate.revoked_reason,
    tables.Certificate.not_after_unix_s,
    tables.Certificate.retired,
).where(tables.Certificate.serial == bindparam("serial"))


def live_serials(session: Session | Connection, device_id: str, now_unix_s: float) -> list[str]:
    """Lists the serials of a device's certificates that are neither revoked nor expired, oldest first."""
    return list(session.scalars(_LIVE, {"device_id": device_id, "now_unix_s": now_unix_s}))


def certificate_fault(session: Session | Connection, serial: str, device_id: str, now_unix_s: float) -> str:
    """Says why a certificate does not count; '' when it does.

    TLS looks at the dates once, at the handshake; a connection may outlive them.
    """
    row = session.execute(_FACTS, {"serial": serial}).first()
    if row is None or row.device_id != device_id:
        return f"The certificate of {device_id} is not known here."
    if row.revoked_unix_s is not None:
        return f"The certificate of {device_id} was revoked: {row.revoked_reason or 'it was replaced'}."
    if row.not_after_unix_s <= now_unix_s:
        return f"The certificate of {device_id} has expired."
    return ""


def signature_fault(session: Session | Connection, serial: str, device_id: str) -> str:
    """Says why what was once signed with a certificate does not count; '' when it does.

    A device without a network signs with what it has, which may have ended or been renewed by the time
    that somebody carries it here. What a person has revoked counts for nothing.
    """
    row = session.execute(_FACTS, {"serial": serial}).first()
    if row is None or row.device_id != device_id:
        return f"The certificate of {device_id} is not known here."
    if row.revoked_unix_s is not None and not row.retired:
        return f"The certificate of {device_id} was revoked: {row.revoked_reason or 'it was replaced'}."
    return ""


def end_unix_s(session: Session, serial: str) -> float:
    """Returns when a certificate ends."""
    return session.get_one(tables.Certificate, serial).not_after_unix_s


def renew_certificate(
    session: Session,
    device_id: str,
    *,
    old_serial: str,
    serial: str,
    not_after_unix_s: float,
    now_unix_s: float,
) -> None:
    """Adds a renewed certificate beside the one that asked for it.

    One that was issued before and never used (its answer was lost) gives way,
    so that a device has two certificates at most.
    """
    _retire(session, device_id, now_unix_s, "it was renewed again", keep=old_serial)
    session.add(
        tables.Certificate(
            serial=serial,
            device_id=device_id,
            issued_unix_s=now_unix_s,
            not_after_unix_s=not_after_unix_s,
            revoked_unix_s=None,
        )
    )
    record_event(
        session, now_unix_s, "certificate_renewed", device_id=device_id, detail=f"{old_serial} by {serial}"
    )


def retire_older(session: Session, device_id: str, serial: str, now_unix_s: float) -> int:
    """Ends the certificates of a device that are older than the one it has just used."""
    row = session.get_one(tables.Certificate, serial)
    return _retire(
        session,
        device_id,
        now_unix_s,
        "a newer one is in use",
        keep=serial,
        issued_before_unix_s=row.issued_unix_s,
    )


def revoke(session: Session, device_id: str, serial: str, reason: str, *, now_unix_s: float) -> list[str]:
    """Ends one certificate of a device, or all of them with '' for the serial, and its unused tokens.

    Also one that another has replaced: what was signed with it no longer counts.

    Raises:
        NotFoundError: there is no such device, or it has no such certificate.
    """
    if session.get(tables.Device, device_id) is None:
        raise NotFoundError(f"There is no device {device_id}.", hint="edgerig devices")
    serials = live_serials(session, device_id, now_unix_s)
    if serial:
        if signature_fault(session, serial, device_id):
            raise NotFoundError(f"Device {device_id} has no certificate {serial} that is not revoked yet.")
        serials = [serial]
    session.execute(
        update(tables.Certificate)
        .where(tables.Certificate.serial.in_(serials))
        .values(revoked_unix_s=now_unix_s, revoked_reason=reason, retired=False)
    )
    if not serial:
        # What was signed with those that had ended before counts no more, either.
        session.execute(
            update(tables.Certificate)
            .where(
                tables.Certificate.device_id == device_id,
                or_(tables.Certificate.revoked_unix_s.is_(None), tables.Certificate.retired),
            )
            .values(revoked_unix_s=now_unix_s, revoked_reason=reason, retired=False)
        )
        session.execute(
            delete(tables.EnrollToken).where(
                tables.EnrollToken.device_id == device_id, tables.EnrollToken.used_unix_s.is_(None)
            )
        )
    for item in serials:
        record_event(
            session, now_unix_s, "certificate_revoked", device_id=device_id, detail=f"{item}: {reason}"
        )
    return serials


def _retire(
    session: Session,
    device_id: str,
    now_unix_s: float,
    reason: str,
    *,
    keep: str,
    issued_before_unix_s: float | None = None,
) -> int:
    query = update(tables.Certificate).where(
        tables.Certificate.device_id == device_id,
        tables.Certificate.revoked_unix_s.is_(None),
        tables.Certificate.serial != keep,
    )
    if issued_before_unix_s is not None:
        query = query.where(tables.Certificate.issued_unix_s <= issued_before_unix_s)
    done = session.execute(query.values(revoked_unix_s=now_unix_s, revoked_reason=reason, retired=True))
    count: int = done.rowcount  # type: ignore[attr-defined]
    return count
