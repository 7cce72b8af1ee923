"""Devices, their enrolment tokens, certificates and reported facts.

Every function works inside the caller's transaction. Knows nothing of how
certificates are signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, null, select, text, update
from sqlalchemy.orm import Session

from edgerig.errors import UsageError
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig_controller.fleet.tokens import StoredToken
from edgerig_controller.store import tables
from edgerig_controller.store.administration import note_facts
from edgerig_controller.store.certificates import live_serials
from edgerig_controller.store.events import record_event


@dataclass(frozen=True)
class DeviceRow:
    """A device as the store knows it; `facts` is None until its agent has reported, or was not asked for."""

    device_id: str
    labels: tuple[str, ...]
    enrolled: bool
    facts: DeviceFacts | None
    # When they were reported.
    facts_unix_s: float | None


def add_device(
    session: Session,
    device_id: str,
    labels: Sequence[str],
    *,
    token_sha256: str,
    expires_unix_s: float,
    now_unix_s: float,
    replace: bool = False,
) -> None:
    """Makes a device known, or changes its labels if any are given, and replaces its unused tokens.

    Raises:
        UsageError: the device is enrolled and its certificate is not to be replaced.
    """
    if not replace and live_serials(session, device_id, now_unix_s):
        raise UsageError(
            f"Device {device_id} is enrolled, and its certificate is valid.",
            hint=f"edgerig device add {device_id} --replace (the device in use then loses its identity)",
        )
    device = session.get(tables.Device, device_id)
    if device is None:
        device = tables.Device(
            device_id=device_id,
            labels=list(labels),
            added_unix_s=now_unix_s,
            facts=None,
            facts_unix_s=None,
            environment_digest="",
        )
        session.add(device)
    elif labels:
        # With none a new token is wanted, and the device is still what the inventory says of it.
        device.labels = list(labels)
    session.flush()
    session.execute(
        delete(tables.EnrollToken).where(
            tables.EnrollToken.device_id == device_id, tables.EnrollToken.used_unix_s.is_(None)
        )
    )
    session.add(
        tables.EnrollToken(
            device_id=device_id,
            sha256=token_sha256,
            expires_unix_s=expires_unix_s,
            used_unix_s=None,
            replace=replace,
        )
    )
    record_event(session, now_unix_s, "device_added", device_id=device_id, detail=", ".join(device.labels))


def stored_tokens(session: Session, sha256: str = "") -> list[StoredToken]:
    """Lists the token with this hash, or all; used ones too: a reused one is refused with the reason.

    Looking up the hash of 256 random bits tells by its time nothing of any token, and takes the same
    time for the first device of a fleet and for its ten thousandth.
    """
    query = select(tables.EnrollToken)
    if sha256:
        query = query.where(tables.EnrollToken.sha256 == sha256)
    return [
        StoredToken(
            row.token_id,
            row.device_id,
            row.sha256,
            row.expires_unix_s,
            row.used_unix_s is not None,
            row.replace,
        )
        for row in session.scalars(query)
    ]


def record_certificate(
    session: Session,
    device_id: str,
    *,
    token_id: int,
    serial: str,
    not_after_unix_s: float,
    now_unix_s: float,
) -> bool:
    """Uses up a token and makes this the only live certificate of the device.

    Returns False, and changes nothing, when the token was used in the meantime.
    """
    used = session.execute(
        update(tables.EnrollToken)
        .where(tables.EnrollToken.token_id == token_id, tables.EnrollToken.used_unix_s.is_(None))
        .values(used_unix_s=now_unix_s)
    )
    if used.rowcount != 1:  # type: ignore[attr-defined]
        return False
    session.execute(
        update(tables.Certificate)
        .where(tables.Certificate.device_id == device_id, tables.Certificate.revoked_unix_s.is_(None))
        .values(revoked_unix_s=now_unix_s, revoked_reason="the device was enrolled anew", retired=True)
    )
    session.add(
        tables.Certificate(
            serial=serial,
            device_id=device_id,
            issued_unix_s=now_unix_s,
            not_after_unix_s=not_after_unix_s,
            revoked_unix_s=None,
        )
    )
    record_event(session, now_unix_s, "device_enrolled", device_id=device_id, detail=f"certificate {serial}")
    return True


# Told at every connect: made once, and on the table.
_DEVICE = tables.Base.metadata.tables["device"]
_ENVIRONMENT = select(_DEVICE.c.environment_digest).where(_DEVICE.c.device_id == bindparam("device_id"))
_SET_FACTS = update(_DEVICE).where(_DEVICE.c.device_id == bindparam("of_device"))


def store_facts(session: Session, device_id: str, facts: DeviceFacts, *, now_unix_s: float) -> None:
    """Replaces the stored facts of a device."""
    environment_digest = session.execute(_ENVIRONMENT, {"device_id": device_id}).scalar_one()
    if environment_digest != facts.environment_digest:
        record_event(session, now_unix_s, "environment", device_id=device_id, detail=facts.environment_digest)
    note_facts(session, device_id, facts, now_unix_s)
    values = {
        "facts": facts.SerializeToString(deterministic=True),
        "facts_unix_s": now_unix_s,
        "environment_digest": facts.environment_digest,
    }
    session.execute(_SET_FACTS, {"of_device": device_id, **values})


def list_devices(session: Session, *, facts: bool = True) -> list[DeviceRow]:
    """Lists all known devices by id; without `facts` in a small part of the time."""
    live = set(
        session.scalars(
            select(tables.Certificate.device_id).where(tables.Certificate.revoked_unix_s.is_(None))
        )
    )
    columns = select(
        tables.Device.device_id,
        tables.Device.labels,
        tables.Device.facts_unix_s,
        tables.Device.facts if facts else null(),
    )
    return [
        DeviceRow(
            device_id,
            tuple(labels),
            device_id in live,
            None if document is None else DeviceFacts.FromString(document),
            facts_unix_s,
        )
        for device_id, labels, facts_unix_s, document in session.execute(
            columns.order_by(tables.Device.device_id)
        )
    ]


_BLOB_OF_OPEN_ATTEMPT = (
    select(tables.StudyBlob.sha256)
    .select_from(tables.Attempt)
    .join(tables.Trial, tables.Trial.trial_id == tables.Attempt.trial_id)
    .join(tables.StudyBlob, tables.StudyBlob.study_id == tables.Trial.study_id)
    .where(
        tables.Attempt.device_id == bindparam("device_id"),
        text(f"attempt.{tables.OPEN_WORDS}"),
        tables.StudyBlob.sha256 == bindparam("sha256"),
    )
    .limit(1)
)


def may_read_blob(session: Session | Connection, device_id: str, sha256: str) -> bool:
    """Tells whether an open attempt of the device belongs to a study that needs this blob."""
    values = {"device_id": device_id, "sha256": sha256}
    return session.execute(_BLOB_OF_OPEN_ATTEMPT, values).first() is not None
