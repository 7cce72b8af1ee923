"""Batches in the database: trials that a person carries to a device without a network.

A batch is the attempts whose id begins with its own; an event says when it was
made. Its leases are not open (one device has at most one of those) and end by a
result, or by hand. Every function works inside the caller's transaction.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from edgerig.errors import NotFoundError, UsageError
from edgerig_controller.fleet import leases
from edgerig_controller.fleet.leases import Lease
from edgerig_controller.fleet.schedule import matches
from edgerig_controller.store import tables
from edgerig_controller.store.events import record_event
from edgerig_controller.store.leases import Offer, apply, document, load, new_row
from edgerig_controller.store.studies import require
from edgerig_controller.store.units import unit_for

# One document of leases must be read as a whole on the device.
TRIALS_MOST = 5000
_ID = re.compile(r"[0-9a-f]{12}")
_EVENT = "batch_exported"


@dataclass(frozen=True)
class Made:
    """A new batch."""

    batch_id: str
    study_name: str
    offers: tuple[Offer, ...]


@dataclass(frozen=True)
class BatchRow:
    """A batch as it is listed."""

    batch_id: str
    device_id: str
    study_id: str
    study_name: str
    created_unix_s: float
    trial_count: int
    returned_count: int
    out_count: int


class BatchStore:
    """Batches, one transaction for each call. `write` and `read` are the repository's."""

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[Session]],
        read: Callable[[Callable[[Session], Any]], Any],
    ) -> None:
        self._write = write
        self._read = read

    def make(self, study_id: str, device_id: str, *, limit: int, now_unix_s: float) -> Made:
        """Leases waiting trials of a study to one device; raises as `make` does."""
        with self._write() as session:
            return make(session, study_id, device_id, limit=limit, now_unix_s=now_unix_s)

    def withdraw(self, batch_id: str, *, now_unix_s: float) -> tuple[int, frozenset[str]]:
        """Queues trials that are still out again; raises as `withdraw` does."""
        with self._write() as session:
            return withdraw(session, batch_id, now_unix_s=now_unix_s)

    def needs_blob(self, batch_id: str, sha256: str) -> bool:
        """Tells whether a trial of the batch that is still out needs this blob."""
        found: bool = self._read(lambda session: needs_blob(session, batch_id, sha256))
        return found

    def listing(self) -> list[BatchRow]:
        """Lists all batches, the newest first."""
        found: list[BatchRow] = self._read(listing)
        return found

    def device_of(self, attempt_id: str) -> str:
        """Returns the device that an attempt was leased to; '' where it is unknown."""
        found: str = self._read(lambda session: device_of(session, attempt_id))
        return found


def device_of(session: Session, attempt_id: str) -> str:
    """Returns the device that an attempt was leased to; '' where it is unknown."""
    row = session.get(tables.Attempt, attempt_id)
    return row.device_id if row is not None else ""


def make(session: Session, study_id: str, device_id: str, *, limit: int, now_unix_s: float) -> Made:
    """Leases the next waiting trials of a study, in the order of running, to one device.

    Raises:
        NotFoundError: there is no such study or device.
        UsageError: the study does not run on this device, or nothing of it waits.
    """
    study = require(session, study_id)
    device = session.get(tables.Device, device_id)
    if device is None:
        raise NotFoundError(f"There is no device {device_id[:80]!r}.", hint="edgerig devices")
    if not matches(study.device_names, study.device_labels, device_id, device.labels):
        raise UsageError(
            f"Study {study.name} does not run on {device_id}: it asks for other devices.",
            hint="edgerig devices; the key `devices` of the study file",
        )
    waiting = select(tables.Trial).where(tables.Trial.study_id == study_id, tables.Trial.state == "queued")
    if study.units > 1:
        # None: all units are other devices, and no trial is of it.
        waiting = waiting.where(tables.Trial.unit == unit_for(session, study_id, study.units, device_id))
    trials = session.scalars(
        waiting.order_by(tables.Trial.position).limit(min(limit, TRIALS_MOST) if limit else TRIALS_MOST)
    ).all()
    if not trials:
        raise UsageError(
            f"No trial of study {study.name} waits for {device_id}.", hint=f"edgerig watch {study_id}"
        )
    batch_id = secrets.token_hex(6)
    offers = tuple(
        _lease(session, trial, device_id, f"{batch_id}-{index:04d}", now_unix_s)
        for index, trial in enumerate(trials)
    )
    detail = f"{batch_id}: {len(offers)} trials"
    record_event(session, now_unix_s, _EVENT, study_id=study_id, device_id=device_id, detail=detail)
    return Made(batch_id, study.name, offers)


def needs_blob(session: Session, batch_id: str, sha256: str) -> bool:
    """Tells whether a trial of the batch that is still out needs this blob."""
    studies = (
        select(tables.Trial.study_id)
        .join(tables.Attempt, tables.Attempt.trial_id == tables.Trial.trial_id)
        .where(tables.Attempt.attempt_id.like(_pattern(batch_id)), tables.Attempt.state == "batch")
    )
    query = select(tables.StudyBlob.sha256).where(
        tables.StudyBlob.sha256 == sha256, tables.StudyBlob.study_id.in_(studies)
    )
    return session.scalar(query.limit(1)) is not None


def withdraw(session: Session, batch_id: str, *, now_unix_s: float) -> tuple[int, frozenset[str]]:
    """Queues the trials again that are still out; returns how many, and the studies concerned.

    Raises:
        NotFoundError: there is no such batch.
    """
    rows = _attempts(session, batch_id)
    if not rows:
        raise NotFoundError(f"There is no batch {batch_id[:80]!r}.", hint="edgerig batch list")
    touched: set[str] = set()
    count = sum(
        apply(session, row, leases.withdraw(load(row)), now_unix_s=now_unix_s, touched=touched)
        for row in rows
    )
    return count, frozenset(touched)


def listing(session: Session) -> list[BatchRow]:
    """Lists all batches, the newest first."""
    events = session.scalars(
        select(tables.Event).where(tables.Event.kind == _EVENT).order_by(tables.Event.event_id.desc())
    )
    names = {row[0]: row[1] for row in session.execute(select(tables.Study.study_id, tables.Study.name))}
    return [
        _row(session, event, names)
        for event in events
        if _ID.fullmatch(event.detail.partition(":")[0]) and event.study_id in names
    ]


def _row(session: Session, event: tables.Event, names: dict[str, str]) -> BatchRow:
    batch_id = event.detail.partition(":")[0]
    states = {
        row[0]: row[1]
        for row in session.execute(
            select(tables.Attempt.state, func.count())
            .where(tables.Attempt.attempt_id.like(_pattern(batch_id)))
            .group_by(tables.Attempt.state)
        )
    }
    return BatchRow(
        batch_id,
        event.device_id,
        event.study_id,
        names[event.study_id],
        event.at_unix_s,
        sum(states.values()),
        states.get("committed", 0),
        states.get("batch", 0),
    )


def _lease(
    session: Session, trial: tables.Trial, device_id: str, attempt_id: str, now_unix_s: float
) -> Offer:
    trial.epoch += 1
    trial.state = "leased"
    lease: Lease = leases.batch(attempt_id, device_id, epoch=trial.epoch, budget_s=trial.budget_s)
    session.add(new_row(lease, trial.trial_id, now_unix_s))
    return Offer(lease, document(trial))


def _attempts(session: Session, batch_id: str) -> Sequence[tables.Attempt]:
    return session.scalars(
        select(tables.Attempt).where(tables.Attempt.attempt_id.like(_pattern(batch_id)))
    ).all()


def _pattern(batch_id: str) -> str:
    """Returns the LIKE pattern of a batch's attempts. Raises NotFoundError for what is no batch id."""
    if not _ID.fullmatch(batch_id):
        raise NotFoundError(f"{batch_id[:80]!r} is not the id of a batch.", hint="edgerig batch list")
    return f"{batch_id}-%"
