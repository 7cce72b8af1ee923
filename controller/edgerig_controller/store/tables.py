"""The tables, and nothing else: columns, keys and the indexes that keep promises.

Two promises are unique indexes: at most one canonical result per trial, and at
most one open lease per device. States and classes are the short words of
`edgerig.words`. Times are Unix seconds.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# The newest revision under migrations/versions; a test keeps the two equal.
HEAD_REVISION = "2026_11_21_retry"

# States in which a device counts as taken. Partial indexes serve only queries
# that say this in the same words, so queries of open attempts use it, too.
OPEN_WORDS = "state IN ('offered', 'accepted', 'running', 'unknown')"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: Text, float: Double, dict[str, Any]: JSON, list[Any]: JSON, list[str]: JSON}  # noqa: RUF012


class Study(Base):
    __tablename__ = "study"

    study_id: Mapped[str] = mapped_column(primary_key=True)
    # Counts submissions: studies are served in this order.
    submission: Mapped[int] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(index=True)
    digest: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str] = mapped_column(index=True)
    created_unix_s: Mapped[float]
    finished_unix_s: Mapped[float | None]
    resolved: Mapped[dict[str, Any]]
    source_yaml: Mapped[str]
    claims: Mapped[list[Any]]
    exclusions: Mapped[list[Any]]
    device_names: Mapped[list[str]]
    device_labels: Mapped[list[str]]
    # Who submitted it; empty for the machine's own operator.
    owner: Mapped[str] = mapped_column(default="", server_default="")
    priority: Mapped[int] = mapped_column(default=0, server_default="0")
    # Empty, or `golden`: trials that say whether a device is still what it was.
    purpose: Mapped[str] = mapped_column(default="", server_default="")
    # How often a trial may begin, and the failure classes after which it runs again.
    max_attempts: Mapped[int] = mapped_column(default=1, server_default="1")
    retry_on: Mapped[list[str]] = mapped_column(default=list, server_default="[]")


class StudyBlob(Base):
    """A model or data file that trials of a study need."""

    __tablename__ = "study_blob"

    study_id: Mapped[str] = mapped_column(ForeignKey("study.study_id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True, index=True)


class Cell(Base):
    __tablename__ = "cell"

    study_id: Mapped[str] = mapped_column(ForeignKey("study.study_id", ondelete="CASCADE"), primary_key=True)
    cell_index: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    factors: Mapped[dict[str, Any]]
    predicted_ram_bytes: Mapped[float | None]
    predicted_duration_s: Mapped[float | None]
    does_not_fit: Mapped[str]


class Trial(Base):
    __tablename__ = "trial"

    trial_id: Mapped[str] = mapped_column(primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.study_id", ondelete="CASCADE"))
    cell_index: Mapped[int]
    seed: Mapped[int]
    repeat: Mapped[int]
    digest: Mapped[str] = mapped_column(index=True)
    # The message edgerig.v1.Trial, serialised.
    document: Mapped[bytes] = mapped_column(LargeBinary)
    budget_s: Mapped[float]
    state: Mapped[str]
    # Rank in the order of running of its study.
    position: Mapped[int]
    # Fencing token of the newest attempt.
    epoch: Mapped[int]
    # Attempts that began since the trial was last put into the queue by a person.
    ran_count: Mapped[int]
    # A result of this study's own attempt, or of another study's (reused).
    # No foreign key: attempt refers to trial already, and a circle cannot be made in SQLite.
    canonical_attempt_id: Mapped[str | None] = mapped_column(index=True)
    reused: Mapped[bool]

    __table_args__ = (Index("ix_trial_study_id_state_position", "study_id", "state", "position"),)


class Attempt(Base):
    """One lease and what became of it. Outlives its study when another study reuses its result."""

    __tablename__ = "attempt"

    attempt_id: Mapped[str] = mapped_column(primary_key=True)
    trial_id: Mapped[str | None] = mapped_column(
        ForeignKey("trial.trial_id", ondelete="SET NULL"), index=True
    )
    # Empty for results that no device made (does_not_fit).
    device_id: Mapped[str]
    epoch: Mapped[int]
    state: Mapped[str]
    budget_s: Mapped[float]
    began: Mapped[bool]
    deadline_unix_s: Mapped[float | None]
    quiet_until_unix_s: Mapped[float | None]
    cancel_reason: Mapped[str]
    boot_id: Mapped[str]
    created_unix_s: Mapped[float]
    began_unix_s: Mapped[float | None]
    ended_unix_s: Mapped[float | None]

    __table_args__ = (
        Index(
            "uq_attempt_open_device",
            "device_id",
            unique=True,
            sqlite_where=text(OPEN_WORDS),
            postgresql_where=text(OPEN_WORDS),
        ),
        Index(
            "ix_attempt_open_deadline",
            "deadline_unix_s",
            sqlite_where=text(OPEN_WORDS),
            postgresql_where=text(OPEN_WORDS),
        ),
        Index("ix_attempt_state_deadline_unix_s", "state", "deadline_unix_s"),
    )


class Result(Base):
    """What an attempt brought. `kind` is attempt, lost (written here) or planned (does_not_fit)."""

    __tablename__ = "result"

    result_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    attempt_id: Mapped[str] = mapped_column(ForeignKey("attempt.attempt_id", ondelete="CASCADE"))
    trial_id: Mapped[str | None] = mapped_column(
        ForeignKey("trial.trial_id", ondelete="SET NULL"), index=True
    )
    trial_digest: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    sha256: Mapped[str]
    # canonical, superseded or conflict, as answered at its commit.
    outcome: Mapped[str]
    canonical: Mapped[bool]
    # True for the one result of an attempt that readers see.
    primary: Mapped[bool]
    committed_unix_s: Mapped[float]
    status: Mapped[str]
    failure_class: Mapped[str]
    failure_message: Mapped[str]
    failure_phase: Mapped[str]
    quality: Mapped[float | None]
    item_count: Mapped[int]
    flags: Mapped[list[str]]
    duration_s: Mapped[float | None]
    environment_digest: Mapped[str]
    worker: Mapped[dict[str, Any]]
    last_available_bytes: Mapped[int | None] = mapped_column(BigInteger)
    last_rss_bytes: Mapped[int | None] = mapped_column(BigInteger)
    # The message edgerig.v1.AttemptResult, serialised: nothing of it is lost.
    document: Mapped[bytes] = mapped_column(LargeBinary)

    __table_args__ = (
        UniqueConstraint("attempt_id", "kind", "sha256"),
        Index(
            "uq_result_canonical_trial",
            "trial_id",
            unique=True,
            sqlite_where=text("canonical"),
            postgresql_where=text("canonical"),
        ),
    )


class Measurement(Base):
    __tablename__ = "measurement"

    result_id: Mapped[int] = mapped_column(
        ForeignKey("result.result_id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    phase: Mapped[str]
    statistic: Mapped[str]
    value: Mapped[float | None]
    unavailable_reason: Mapped[str]
    low: Mapped[float | None]
    high: Mapped[float | None]
    interval_kind: Mapped[str]
    boundary: Mapped[str]
    source: Mapped[str]
    method: Mapped[str]
    sample_count: Mapped[int]
    effective_rate_hz: Mapped[float | None]
    coverage: Mapped[float | None]
    flags: Mapped[list[str]]


class Score(Base):
    __tablename__ = "item_score"

    result_id: Mapped[int] = mapped_column(
        ForeignKey("result.result_id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[str]
    user_id: Mapped[str]
    score: Mapped[float]
    output: Mapped[str]
    expected: Mapped[str]
    retrieved_count: Mapped[int]
    truncated: Mapped[bool]
    tokens_in: Mapped[int]


class Artifact(Base):
    """A file of an attempt folder, kept as a blob."""

    __tablename__ = "artifact"

    result_id: Mapped[int] = mapped_column(
        ForeignKey("result.result_id", ondelete="CASCADE"), primary_key=True
    )
    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class Device(Base):
    __tablename__ = "device"

    device_id: Mapped[str] = mapped_column(primary_key=True)
    labels: Mapped[list[str]]
    added_unix_s: Mapped[float]
    # The message edgerig.v1.DeviceFacts, serialised; None until the agent has reported.
    facts: Mapped[bytes | None] = mapped_column(LargeBinary)
    facts_unix_s: Mapped[float | None]
    environment_digest: Mapped[str]


class EnrollToken(Base):
    __tablename__ = "enroll_token"

    token_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.device_id", ondelete="CASCADE"))
    sha256: Mapped[str] = mapped_column(unique=True)
    expires_unix_s: Mapped[float]
    used_unix_s: Mapped[float | None]
    # Whether it may replace a live certificate.
    replace: Mapped[bool] = mapped_column(default=False, server_default=false())


class Certificate(Base):
    __tablename__ = "certificate"

    serial: Mapped[str] = mapped_column(primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.device_id", ondelete="CASCADE"), index=True)
    issued_unix_s: Mapped[float]
    not_after_unix_s: Mapped[float]
    revoked_unix_s: Mapped[float | None]
    revoked_reason: Mapped[str] = mapped_column(default="", server_default="")


class DeviceIntent(Base):
    """What the inventory says of a device."""

    __tablename__ = "device_intent"

    # Not a key of `device`: intent may come first and outlive the device.
    device_id: Mapped[str] = mapped_column(primary_key=True)
    # The message edgerig.v1.DeclaredDevice, serialised.
    document: Mapped[bytes] = mapped_column(LargeBinary)
    applied_unix_s: Mapped[float]
    applied_by: Mapped[str]
    # Why the device is blocked: it is not what is declared. Kept, so that leasing need not parse facts.
    mismatch: Mapped[str]


class DeviceAdmin(Base):
    """What people want of a device; no row = active."""

    __tablename__ = "device_admin"

    device_id: Mapped[str] = mapped_column(
        ForeignKey("device.device_id", ondelete="CASCADE"), primary_key=True
    )
    # drain, maintenance or hold
    mode: Mapped[str]
    owner: Mapped[str]
    reason: Mapped[str]
    since_unix_s: Mapped[float]
    until_unix_s: Mapped[float | None]


class DeviceHealth(Base):
    """What the golden trials of a device say; no row = unknown."""

    __tablename__ = "device_health"

    device_id: Mapped[str] = mapped_column(
        ForeignKey("device.device_id", ondelete="CASCADE"), primary_key=True
    )
    # unknown, good or quarantined
    state: Mapped[str]
    reason: Mapped[str]
    since_unix_s: Mapped[float]
    # Points before this one are no longer what is normal.
    baseline_after_unix_s: Mapped[float]


class HealthPoint(Base):
    """One figure of one golden trial, and how the control chart judged it."""

    __tablename__ = "health_point"

    point_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.device_id", ondelete="CASCADE"))
    attempt_id: Mapped[str]
    at_unix_s: Mapped[float]
    # Name, phase and statistic of the measurement, joined by '/'.
    figure: Mapped[str]
    source: Mapped[str]
    environment_digest: Mapped[str]
    value: Mapped[float]
    # learning, steady or drifted
    verdict: Mapped[str]
    detail: Mapped[str]

    __table_args__ = (
        UniqueConstraint("attempt_id", "figure", "source"),
        Index("ix_health_point_device_id_at_unix_s", "device_id", "at_unix_s"),
    )


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
