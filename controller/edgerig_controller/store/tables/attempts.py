"""What was done: attempts, and what each of them brought."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from edgerig_controller.store.tables.base import OPEN_WORDS, Base


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
        Index("ix_attempt_ended_unix_s", "ended_unix_s"),
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
