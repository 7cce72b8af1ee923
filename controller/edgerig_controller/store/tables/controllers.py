"""The controllers of one database, and which of them leads."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from edgerig_controller.store.tables.base import Base


class Controller(Base):
    """A controller that works on this database. Addresses are host:port, as others reach it."""

    __tablename__ = "controller"

    controller_id: Mapped[str] = mapped_column(primary_key=True)
    control: Mapped[str]
    agents: Mapped[str]
    enroll: Mapped[str]
    seen_unix_s: Mapped[float]


class Leadership(Base):
    """Which controller leads, as one row."""

    __tablename__ = "leadership"

    # Always 1.
    slot: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # The same word stands in the folder that holds the files of this store.
    files_id: Mapped[str]
    # Grows with every leader: what an earlier one writes is refused.
    epoch: Mapped[int]
    # Empty until one has led.
    controller_id: Mapped[str]
    since_unix_s: Mapped[float]
    # The devices that are connected to it.
    connected: Mapped[list[str]]
