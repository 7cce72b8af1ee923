"""Devices: who they are, what is declared and wanted of them, and how they are."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, LargeBinary, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from edgerig_controller.store.tables.base import Base


class Device(Base):
    __tablename__ = "device"

    device_id: Mapped[str] = mapped_column(primary_key=True)
    labels: Mapped[list[str]]
    added_unix_s: Mapped[float]
    # The message edgerig.v1.DeviceFacts, serialised; None until the agent has reported. It holds a
    # catalogue of about 100 KB, so it is read only by who asks for it.
    facts: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
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
    # It ended because another took its place, not because a person revoked it.
    retired: Mapped[bool] = mapped_column(default=False, server_default=false())


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
