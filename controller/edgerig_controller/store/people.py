"""People with certificates of their own: invitations, roles, revocation.

Every function works inside the caller's transaction. Knows nothing of how
certificates are signed or of what a role may do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from edgerig.errors import NotFoundError, UsageError
from edgerig_controller.fleet.tokens import StoredToken
from edgerig_controller.store import tables
from edgerig_controller.store.events import record_event

PersonState = Literal["invited", "active", "expired", "revoked"]


@dataclass(frozen=True)
class PersonRow:
    """A person as the store knows them."""

    name: str
    role: str
    state: PersonState
    added_unix_s: float
    certificate_not_after_unix_s: float | None


def add_person(
    session: Session,
    name: str,
    role: str,
    *,
    token_sha256: str,
    expires_unix_s: float,
    now_unix_s: float,
    replace: bool,
) -> None:
    """Invites a person, or invites them anew; earlier unused tokens end.

    Raises:
        UsageError: the person has a live certificate and it is not to be replaced.
    """
    if not replace and _live(session, name, now_unix_s):
        raise UsageError(
            f"{name} has a valid certificate already.",
            hint=f"edgerig person add {name} --replace (ends the present one when the new token is used)",
        )
    person = session.get(tables.Person, name)
    if person is None:
        session.add(tables.Person(name=name, role=role, added_unix_s=now_unix_s, revoked_unix_s=None))
        session.flush()
    else:
        person.role = role
        person.revoked_unix_s = None
    _drop_tokens(session, name)
    session.add(
        tables.PersonToken(
            name=name, role=role, sha256=token_sha256, expires_unix_s=expires_unix_s, used_unix_s=None
        )
    )


def stored_tokens(session: Session) -> list[StoredToken]:
    """Lists all tokens of people, used ones too: a reused one is refused with the reason."""
    return [
        StoredToken(
            row.token_id,
            row.name,
            row.sha256,
            row.expires_unix_s,
            row.used_unix_s is not None,
            True,
            row.role,
        )
        for row in session.scalars(select(tables.PersonToken))
    ]


def record_certificate(
    session: Session,
    name: str,
    role: str,
    *,
    token_id: int,
    serial: str,
    not_after_unix_s: float,
    now_unix_s: float,
) -> bool:
    """Uses up a token and makes this the only live certificate of the person.

    Returns False, and changes nothing, when the token was used in the meantime.
    """
    used = session.execute(
        update(tables.PersonToken)
        .where(tables.PersonToken.token_id == token_id, tables.PersonToken.used_unix_s.is_(None))
        .values(used_unix_s=now_unix_s)
    )
    if used.rowcount != 1:  # type: ignore[attr-defined]
        return False
    _end_certificates(session, name, now_unix_s)
    session.add(
        tables.PersonCertificate(
            serial=serial,
            name=name,
            role=role,
            issued_unix_s=now_unix_s,
            not_after_unix_s=not_after_unix_s,
            revoked_unix_s=None,
        )
    )
    record_event(session, now_unix_s, "person_joined", detail=f"{name}, {role}, certificate {serial}")
    return True


def certificate_fault(session: Session, serial: str, name: str, role: str, now_unix_s: float) -> str:
    """Says why a person's certificate does not count; '' when it does."""
    row = session.get(tables.PersonCertificate, serial)
    if row is None or (row.name, row.role) != (name, role):
        return f"The certificate of {name} is not known here."
    if row.revoked_unix_s is not None:
        return f"The certificate of {name} was revoked."
    if row.not_after_unix_s <= now_unix_s:
        return f"The certificate of {name} has expired."
    return ""


def revoke_person(session: Session, name: str, *, now_unix_s: float) -> int:
    """Ends the certificates and tokens of a person; returns how many certificates.

    Raises:
        NotFoundError: there is no such person.
    """
    person = session.get(tables.Person, name)
    if person is None:
        raise NotFoundError(f"There is no person {name}.", hint="edgerig person list")
    person.revoked_unix_s = now_unix_s
    _drop_tokens(session, name)
    return _end_certificates(session, name, now_unix_s)


def list_people(session: Session, now_unix_s: float) -> list[PersonRow]:
    """Lists all people, revoked ones too, by name."""
    ends = {
        row.name: row.not_after_unix_s
        for row in session.scalars(
            select(tables.PersonCertificate).where(tables.PersonCertificate.revoked_unix_s.is_(None))
        )
    }
    return [
        PersonRow(
            row.name,
            row.role,
            _state(row, ends.get(row.name), now_unix_s),
            row.added_unix_s,
            ends.get(row.name),
        )
        for row in session.scalars(select(tables.Person).order_by(tables.Person.name))
    ]


def _state(row: tables.Person, not_after_unix_s: float | None, now_unix_s: float) -> PersonState:
    if row.revoked_unix_s is not None:
        return "revoked"
    if not_after_unix_s is None:
        return "invited"
    return "active" if not_after_unix_s > now_unix_s else "expired"


def _live(session: Session, name: str, now_unix_s: float) -> bool:
    query = select(tables.PersonCertificate.serial).where(
        tables.PersonCertificate.name == name,
        tables.PersonCertificate.revoked_unix_s.is_(None),
        tables.PersonCertificate.not_after_unix_s > now_unix_s,
    )
    return session.execute(query.limit(1)).first() is not None


def _drop_tokens(session: Session, name: str) -> None:
    session.execute(
        delete(tables.PersonToken).where(
            tables.PersonToken.name == name, tables.PersonToken.used_unix_s.is_(None)
        )
    )


def _end_certificates(session: Session, name: str, now_unix_s: float) -> int:
    done = session.execute(
        update(tables.PersonCertificate)
        .where(tables.PersonCertificate.name == name, tables.PersonCertificate.revoked_unix_s.is_(None))
        .values(revoked_unix_s=now_unix_s)
    )
    count: int = done.rowcount  # type: ignore[attr-defined]
    return count
