"""People, and the two records that are only ever added to."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from edgerig_controller.store.tables.base import GOLDEN_WORDS, Base


class Person(Base):
    """Somebody who may use the controller from a machine of their own."""

    __tablename__ = "person"

    name: Mapped[str] = mapped_column(primary_key=True)
    # viewer or operator
    role: Mapped[str]
    added_unix_s: Mapped[float]
    revoked_unix_s: Mapped[float | None]


class PersonToken(Base):
    __tablename__ = "person_token"

    token_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(ForeignKey("person.name", ondelete="CASCADE"))
    role: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    expires_unix_s: Mapped[float]
    used_unix_s: Mapped[float | None]


class PersonCertificate(Base):
    __tablename__ = "person_certificate"

    serial: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(ForeignKey("person.name", ondelete="CASCADE"), index=True)
    role: Mapped[str]
    issued_unix_s: Mapped[float]
    not_after_unix_s: Mapped[float]
    revoked_unix_s: Mapped[float | None]


class Audit(Base):
    """Who changed what, and who was refused. The database itself refuses to change or remove rows."""

    __tablename__ = "audit"

    entry_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at_unix_s: Mapped[float]
    who: Mapped[str]
    role: Mapped[str]
    what: Mapped[str]
    subject: Mapped[str]
    outcome: Mapped[str]
    detail: Mapped[str]

    # Without it SQLite may give the id of the last, lost row again.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012


class Event(Base):
    """What happened, in order; rows are only ever added."""

    __tablename__ = "event"

    event_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at_unix_s: Mapped[float]
    kind: Mapped[str] = mapped_column(index=True)
    # Names, not keys: an event outlives what it tells of.
    study_id: Mapped[str]
    attempt_id: Mapped[str]
    device_id: Mapped[str]
    detail: Mapped[str]

    __table_args__ = (
        Index(
            "ix_event_golden_attempt_id",
            "attempt_id",
            sqlite_where=text(GOLDEN_WORDS),
            postgresql_where=text(GOLDEN_WORDS),
        ),
    )
