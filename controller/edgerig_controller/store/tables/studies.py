"""What is to be done: studies, their cells and their trials."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from edgerig_controller.store.tables.base import Base


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
    # On how many devices of one type the whole of it runs.
    units: Mapped[int] = mapped_column(default=1, server_default="1")

    __table_args__ = (Index("ix_study_purpose_created_unix_s", "purpose", "created_unix_s"),)


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
    # Which of the study's units runs it, from 1.
    unit: Mapped[int] = mapped_column(default=1, server_default="1")

    __table_args__ = (Index("ix_trial_study_id_state_position", "study_id", "state", "position"),)
