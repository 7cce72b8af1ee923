"""The store as its users see it: one method per question or change, one transaction each.

The work is done in the modules by noun beside this one. A repository belongs
to one thread at a time when it writes; read-only ones may be used anywhere,
also while a controller runs. Where several controllers share a database, one
of them leads: `leading` makes the repository by which it writes, and all others
are refused (`controllers.py`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.orm import Session

from edgerig.errors import StorageError
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig_controller.fleet.leases import Policy
from edgerig_controller.fleet.tokens import StoredToken
from edgerig_controller.home import Home
from edgerig_controller.store import devices as device_store
from edgerig_controller.store import garbage, leases, reads, results, stopping, watch
from edgerig_controller.store import studies as study_store
from edgerig_controller.store.batches import BatchStore
from edgerig_controller.store.controllers import ControllerStore, check_epoch
from edgerig_controller.store.dispatch import DeviceTime
from edgerig_controller.store.engine import open_engine, open_readonly_engine, shown
from edgerig_controller.store.fleet import FleetStore
from edgerig_controller.store.rows import (
    AttemptRow,
    CellRow,
    MeasurementRow,
    PointRow,
    ScoreRow,
    StudyRow,
    TrialRow,
)
from edgerig_controller.study.prepared import PreparedStudy

T = TypeVar("T")


class Repository:
    """All that is stored, but for the content of blobs."""

    def __init__(
        self,
        engine: Engine,
        where: Path | URL,
        *,
        policy: Policy | None = None,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        reader: Engine | None = None,
        epoch: int | None = None,
    ) -> None:
        """Makes a repository on an open engine.

        Args:
            engine: for writing, and for reading where there is no `reader`.
            where: the database, for messages.
            policy: of leases.
            new_id: names a new attempt.
            reader: an engine whose transactions wait for no writer.
            epoch: lets only the leader with this epoch write; None asks for no leader.
        """
        self._engine = engine
        self._reader = reader or engine
        self._where = where
        self._policy = policy or Policy()
        self._epoch = epoch
        # Devices as people run them, people and the audit: whoever refuses somebody writes it down.
        self.fleet = FleetStore(self._write, self._read, self._look, self._transaction)
        self.controllers = ControllerStore(self._write, self._transaction, self._read)
        self.batches = BatchStore(self._write, self._read)
        self._new_id = new_id
        self._device_time = DeviceTime()

    @classmethod
    def open(cls, home: Home, *, policy: Policy | None = None, database: URL | None = None) -> Repository:
        """Opens the store for writing and brings its tables up to date.

        Args:
            home: the data folder, which names the database or holds it.
            policy: of leases.
            database: address of another, PostgreSQL database.

        Raises:
            StorageError: the database cannot be used.
        """
        where = _place(home, database)
        engine = open_engine(where)
        reader = None if isinstance(where, Path) else open_readonly_engine(where)
        return cls(engine, where, policy=policy, reader=reader)

    @classmethod
    def open_readonly(cls, home: Home, *, database: URL | None = None) -> Repository:
        """Opens the store for reading; an unused data folder reads as empty.

        Raises:
            StorageError: the database cannot be used, or is of another version.
        """
        where = _place(home, database)
        return cls(open_readonly_engine(where), where)

    def leading(self, epoch: int) -> Repository:
        """Returns the same store for a controller that leads with this epoch; epoch 0 writes nothing.

        A write raises UnreachableError, and changes nothing, once another one leads.
        """
        return Repository(
            self._engine,
            self._where,
            policy=self._policy,
            new_id=self._new_id,
            reader=self._reader,
            epoch=epoch,
        )

    def close(self) -> None:
        """Lets the database go; a later question opens it again."""
        self._engine.dispose()
        self._reader.dispose()

    # Reading results

    def studies(self) -> list[StudyRow]:
        """Lists all studies, the newest first."""
        return self._read(reads.studies)

    def find_study(self, reference: str) -> StudyRow:
        """Finds a study by name (the newest), id, id prefix or digest.

        Raises:
            NotFoundError: none or several are meant; the hint names close ones.
        """
        return self._read(lambda session: reads.find_study(session, reference))

    def cells(self, study_id: str) -> list[CellRow]:
        """Lists the cells of a study."""
        return self._read(lambda session: reads.cells(session, study_id))

    def trials(self, study_id: str) -> list[TrialRow]:
        """Lists the trials of a study."""
        return self._read(lambda session: reads.trials(session, study_id))

    def attempts(self, study_id: str) -> list[AttemptRow]:
        """Lists the attempts that answer trials of a study, canonical ones flagged."""
        return self._read(lambda session: reads.attempts(session, study_id))

    def measurements(self, study_id: str) -> list[MeasurementRow]:
        """Lists the measurements of the canonical results."""
        return self._read(lambda session: reads.measurements(session, study_id))

    def scores(self, study_id: str) -> list[ScoreRow]:
        """Lists the item scores of the canonical results."""
        return self._read(lambda session: reads.scores(session, study_id))

    def points(self, study_id: str) -> list[PointRow]:
        """Lists the points of the training curves of the canonical results."""
        return self._read(lambda session: reads.points(session, study_id))

    def trace_files(self, study_id: str) -> list[tuple[str, str, str]]:
        """Lists (attempt id, path, sha256) of the traces of the canonical results."""
        return self._read(lambda session: reads.trace_files(session, study_id))

    def trial_durations(self) -> dict[str, float]:
        """Returns the mean seconds from lease to result by trial digest."""
        return self._read(reads.trial_durations)

    def progress(self, study_id: str) -> watch.Progress:
        """Returns what a watcher is shown of a study.

        Raises:
            NotFoundError: there is no such study.
        """
        return self._read(lambda session: watch.progress(session, study_id))

    def activity(self) -> watch.Activity:
        """Returns what is active and which devices measure."""
        return self._read(watch.activity)

    def fleet_load(self) -> watch.Load:
        """Returns how much is active and what runs now."""
        return self._read(watch.load)

    # Studies

    def create_study(
        self,
        prepared: PreparedStudy,
        *,
        reuse: bool,
        now_unix_s: float,
        terms: study_store.Terms | None = None,
    ) -> tuple[StudyRow, bool, int]:
        """Registers a study; returns it, whether it was there before, and its reused trials."""
        with self._write() as session:
            created = study_store.create_study(
                session, prepared, reuse=reuse, now_unix_s=now_unix_s, terms=terms
            )
            session.flush()
            row = reads.find_study(session, prepared.digest)
        return row, created.attached, created.reused_count

    def cancel_study(self, study_id: str, *, now_unix_s: float) -> study_store.Cancelled:
        """Stops leasing trials of a study and withdraws its leases."""
        with self._write() as session:
            return study_store.cancel_study(session, study_id, now_unix_s=now_unix_s)

    def resume_study(self, study_id: str, *, now_unix_s: float) -> int:
        """Queues trials that died or were cancelled again and returns how many."""
        with self._write() as session:
            return study_store.resume_study(session, study_id, now_unix_s=now_unix_s)

    def block_ended(self, study_id: str, attempt_id: str) -> bool:
        """Tells whether this result was the last of its seed and repeat, and others wait."""
        return self._look(lambda connection: stopping.block_ended(connection, study_id, attempt_id))

    def leave_out(self, study_id: str, reasons: Mapping[str, str], *, now_unix_s: float) -> int:
        """Takes waiting trials out of the queue, each with its reason; returns how many."""
        with self._write() as session:
            return stopping.leave_out(session, study_id, reasons, now_unix_s)

    def delete_study(self, study_id: str, *, now_unix_s: float) -> None:
        """Removes a study and the attempts that nothing else refers to."""
        with self._write() as session:
            study_store.delete_study(session, study_id, now_unix_s=now_unix_s)
            session.flush()
            garbage.delete_attempts(session, garbage.orphans(session).attempt_ids)
        self.fleet.recount()

    def orphans(self) -> garbage.Orphans:
        """Finds attempts that nothing refers to."""
        return self._read(garbage.orphans)

    def delete_attempts(self, attempt_ids: tuple[str, ...]) -> None:
        """Removes attempts with all that they brought."""
        with self._write() as session:
            garbage.delete_attempts(session, attempt_ids)
        self.fleet.recount()

    def referenced_blobs(self) -> set[str]:
        """Returns every blob that something refers to."""
        return self._read(garbage.referenced_blobs)

    # Leases and results

    def sync(
        self, device_id: str, held: Sequence[leases.Held], *, wants_work: bool, now_unix_s: float
    ) -> leases.Synced:
        """Reconciles what a device holds, and offers it a trial when it is free."""
        with self._write() as session:
            return leases.sync(
                session,
                device_id,
                held,
                wants_work=wants_work,
                now_unix_s=now_unix_s,
                policy=self._policy,
                new_id=self._new_id,
                device_time=self._device_time,
            )

    def accept_lease(self, device_id: str, attempt_id: str, epoch: int, *, now_unix_s: float) -> leases.Order:
        """Grants an offered lease, or says why not."""
        with self._write() as session:
            return leases.accept(
                session, device_id, attempt_id, epoch, now_unix_s=now_unix_s, policy=self._policy
            )

    def start_attempt(
        self,
        device_id: str,
        attempt_id: str,
        epoch: int,
        *,
        boot_id: str,
        quiet_s: float,
        now_unix_s: float,
    ) -> tuple[leases.Order, str]:
        """Notes that an attempt runs; returns the order and the study concerned."""
        with self._write() as session:
            return leases.start(
                session,
                device_id,
                attempt_id,
                epoch,
                boot_id=boot_id,
                quiet_s=quiet_s,
                now_unix_s=now_unix_s,
                policy=self._policy,
            )

    def renew_lease(self, device_id: str, attempt_id: str, epoch: int, *, now_unix_s: float) -> None:
        """Keeps a lease alive."""
        with self._write() as session:
            leases.renew(session, device_id, attempt_id, epoch, now_unix_s=now_unix_s, policy=self._policy)

    def expire_leases(self, *, now_unix_s: float) -> leases.Expired:
        """Moves leases whose deadline has passed."""
        with self._write() as session:
            return leases.expire(session, now_unix_s=now_unix_s, policy=self._policy)

    def next_deadline(self) -> float | None:
        """Returns when the next lease ends by itself, in Unix seconds."""
        return self._look(leases.next_deadline)

    def attempt_open_on(self, device_id: str, attempt_id: str) -> bool:
        """Tells whether files of this attempt are expected from this device."""
        return self._read(lambda session: leases.expected(session, device_id, attempt_id))

    def commit_result(self, submission: results.Submission, *, now_unix_s: float) -> results.Committed:
        """Makes a result durable; idempotent on (attempt_id, kind, sha256)."""
        with self._write() as session:
            return results.commit_result(session, submission, now_unix_s=now_unix_s)

    # Devices

    def add_device(
        self,
        device_id: str,
        labels: Sequence[str],
        *,
        token_sha256: str,
        expires_unix_s: float,
        now_unix_s: float,
        replace: bool = False,
    ) -> None:
        """Makes a device known and issues it a new one-time token."""
        with self._write() as session:
            device_store.add_device(
                session,
                device_id,
                labels,
                token_sha256=token_sha256,
                expires_unix_s=expires_unix_s,
                now_unix_s=now_unix_s,
                replace=replace,
            )

    def stored_tokens(self, sha256: str = "") -> list[StoredToken]:
        """Lists the enrolment token with this hash, or all, used or not."""
        return self._read(lambda session: device_store.stored_tokens(session, sha256))

    def record_certificate(
        self, device_id: str, *, token_id: int, serial: str, not_after_unix_s: float, now_unix_s: float
    ) -> bool:
        """Uses up a token for a certificate; False when the token was used in the meantime."""
        with self._write() as session:
            return device_store.record_certificate(
                session,
                device_id,
                token_id=token_id,
                serial=serial,
                not_after_unix_s=not_after_unix_s,
                now_unix_s=now_unix_s,
            )

    def store_facts(self, device_id: str, facts: DeviceFacts, *, now_unix_s: float) -> None:
        """Replaces the facts of a device."""
        with self._write() as session:
            device_store.store_facts(session, device_id, facts, now_unix_s=now_unix_s)

    def devices(self, *, facts: bool = True) -> list[device_store.DeviceRow]:
        """Lists all known devices; without their facts in a small part of the time."""
        return self._read(lambda session: device_store.list_devices(session, facts=facts))

    def may_read_blob(self, device_id: str, sha256: str) -> bool:
        """Tells whether an open attempt of the device needs this blob."""
        return self._look(lambda connection: device_store.may_read_blob(connection, device_id, sha256))

    @contextmanager
    def _write(self) -> Iterator[Session]:
        with self._transaction() as session:
            if self._epoch is not None:
                # The writers' turn has come: nobody becomes the leader before this transaction ends.
                check_epoch(session, self._epoch)
            yield session

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        """Writes whoever leads."""
        try:
            with Session(self._engine) as session, session.begin():
                yield session
        except (OperationalError, InternalError) as error:
            raise self._unusable(error) from error

    def _read(self, question: Callable[[Session], T]) -> T:
        try:
            with Session(self._reader) as session, session.begin():
                return question(session)
        except (OperationalError, InternalError) as error:
            raise self._unusable(error) from error

    def _look(self, question: Callable[[Connection], T]) -> T:
        """Answers a question about columns, in half the time that it takes to read rows as objects."""
        try:
            with self._reader.begin() as connection:
                return question(connection)
        except (OperationalError, InternalError) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OperationalError | InternalError) -> StorageError:
        hint = "edgerig gc, or free space on that disk" if "full" in str(error.orig) else ""
        return StorageError(f"The database {shown(self._where)} cannot be used: {error.orig}.", hint=hint)


def _place(home: Home, database: URL | None) -> Path | URL:
    if database is None and home.database:
        database = make_url(home.database)
    return database or home.store_path
