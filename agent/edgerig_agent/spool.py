"""The agent's durable memory: one row per attempt that it has accepted.

Each method is one transaction that is on the disk when it returns (WAL,
synchronous=FULL). Knows nothing of processes, of folders or of the controller;
what a row means for the next step is said by `edgerig_agent.held`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgerig.errors import BugError, StorageError

# rebooting: nothing has run, and the device is to be restarted, or was, before something does.
RowState = Literal["accepted", "rebooting", "starting", "running", "finished"]

# One entry per schema version; entry N brings a spool of version N to N + 1.
_UPGRADES: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE attempt (
            attempt_id TEXT PRIMARY KEY,
            epoch INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('accepted', 'starting', 'running', 'finished')),
            trial_digest TEXT NOT NULL,
            boot_id TEXT NOT NULL DEFAULT '',
            pid INTEGER NOT NULL DEFAULT 0,
            start_ticks INTEGER NOT NULL DEFAULT 0,
            spawn_count INTEGER NOT NULL DEFAULT 0,
            accepted_unix_s REAL NOT NULL,
            changed_unix_s REAL NOT NULL
        ) WITHOUT ROWID""",
        "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    ),
    # A state more; SQLite changes no CHECK, so the table is made anew.
    (
        """CREATE TABLE attempt_new (
            attempt_id TEXT PRIMARY KEY,
            epoch INTEGER NOT NULL,
            state TEXT NOT NULL
                CHECK (state IN ('accepted', 'rebooting', 'starting', 'running', 'finished')),
            trial_digest TEXT NOT NULL,
            boot_id TEXT NOT NULL DEFAULT '',
            pid INTEGER NOT NULL DEFAULT 0,
            start_ticks INTEGER NOT NULL DEFAULT 0,
            spawn_count INTEGER NOT NULL DEFAULT 0,
            accepted_unix_s REAL NOT NULL,
            changed_unix_s REAL NOT NULL,
            reboot_count INTEGER NOT NULL DEFAULT 0
        ) WITHOUT ROWID""",
        """INSERT INTO attempt_new
            SELECT attempt_id, epoch, state, trial_digest, boot_id, pid, start_ticks, spawn_count,
                accepted_unix_s, changed_unix_s, 0 FROM attempt""",
        "DROP TABLE attempt",
        "ALTER TABLE attempt_new RENAME TO attempt",
    ),
)
SCHEMA_VERSION = len(_UPGRADES)

_COLUMNS = (
    "attempt_id, epoch, state, trial_digest, boot_id, pid, start_ticks, spawn_count, "
    "accepted_unix_s, changed_unix_s, reboot_count"
)


@dataclass(frozen=True)
class HeldRow:
    """One attempt on this device.

    `boot_id` is '' before `rebooting` and `starting`, `pid` 0 before `running`.
    """

    attempt_id: str
    epoch: int
    state: RowState
    trial_digest: str
    boot_id: str
    pid: int
    start_ticks: int
    spawn_count: int
    accepted_unix_s: float
    changed_unix_s: float
    # Declared restarts that were ordered for it.
    reboot_count: int = 0


class Spool:
    """The rows of one agent's home; use `open_spool`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        clock: Callable[[], float],
        moved_aside: Path | None,
        fault: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._clock = clock
        self._fault = fault
        self._session_epoch = 0
        # Where a damaged spool was moved when this one was made in its place.
        self.moved_aside = moved_aside

    def rows(self) -> list[HeldRow]:
        """Lists all rows, oldest first."""
        with _storage_errors(self._path):
            found = self._connection.execute(
                f"SELECT {_COLUMNS} FROM attempt ORDER BY accepted_unix_s, attempt_id"  # noqa: S608
            ).fetchall()
        return [HeldRow(*row) for row in found]

    def get(self, attempt_id: str) -> HeldRow | None:
        """Returns the row of an attempt, None when it is not held."""
        return next((row for row in self.rows() if row.attempt_id == attempt_id), None)

    def add(self, attempt_id: str, epoch: int, trial_digest: str, state: RowState = "accepted") -> None:
        """Writes the row of a lease, before the controller is told that it is taken."""
        now = self._clock()
        self._write(
            "add",
            "INSERT INTO attempt (attempt_id, epoch, state, trial_digest, accepted_unix_s, changed_unix_s) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (attempt_id, epoch, state, trial_digest, now, now),
        )

    def accepted(self, attempt_id: str) -> None:
        """Takes back that the device is to be restarted for it."""
        self._change("accepted", "state = 'accepted', boot_id = ''", (), attempt_id)

    def rebooting(self, attempt_id: str, boot_id: str) -> None:
        """Notes that this boot is to end for the attempt, before anything is told or done."""
        self._change(
            "rebooting",
            "state = 'rebooting', boot_id = ?, reboot_count = reboot_count + 1",
            (boot_id,),
            attempt_id,
        )

    def starting(self, attempt_id: str, boot_id: str) -> None:
        """Notes that the attempt process is about to be started in this boot."""
        self._change(
            "starting",
            "state = 'starting', boot_id = ?, pid = 0, start_ticks = 0, spawn_count = spawn_count + 1",
            (boot_id,),
            attempt_id,
        )

    def running(self, attempt_id: str, pid: int, start_ticks: int) -> None:
        """Notes which process runs the attempt."""
        self._change("running", "state = 'running', pid = ?, start_ticks = ?", (pid, start_ticks), attempt_id)

    def finished(self, attempt_id: str) -> None:
        """Notes that the manifest exists."""
        self._change("finished", "state = 'finished'", (), attempt_id)

    def delete(self, attempt_id: str) -> None:
        """Forgets an attempt; idempotent."""
        self._write("delete", "DELETE FROM attempt WHERE attempt_id = ?", (attempt_id,))

    def next_session_epoch(self) -> int:
        """Returns a number greater than every one returned before, also after a lost spool.

        On a disk that refuses it is still greater than those before it, but
        not noted: an agent whose disk is full must be able to say so.
        """
        # The wall clock carries the order over a spool that was lost; the stored
        # value carries it over a clock that was set back.
        floor = int(self._clock() * 1000)
        with _storage_errors(self._path):
            found = self._connection.execute("SELECT value FROM counter WHERE name = 'session'").fetchone()
        value = self._session_epoch = max(int(found[0]) + 1 if found else 1, self._session_epoch + 1, floor)
        with suppress(StorageError):
            self._write("session", "INSERT OR REPLACE INTO counter VALUES ('session', ?)", (value,))
        return value

    def close(self) -> None:
        """Closes the database; nothing is lost without it."""
        self._connection.close()

    def _change(self, name: str, assignments: str, values: tuple[object, ...], attempt_id: str) -> None:
        statement = f"UPDATE attempt SET {assignments}, changed_unix_s = ? WHERE attempt_id = ?"  # noqa: S608
        if self._write(name, statement, (*values, self._clock(), attempt_id)) != 1:
            raise BugError(f"the spool has no attempt {attempt_id} to mark as {name}")

    def _write(self, name: str, statement: str, values: tuple[object, ...]) -> int:
        self._fault(f"before {name}")
        with _storage_errors(self._path):
            changed = self._connection.execute(statement, values).rowcount
        self._fault(f"after {name}")
        return changed


def wrap(
    connection: sqlite3.Connection,
    path: Path,
    *,
    clock: Callable[[], float] = time.time,
    fault: Callable[[str], None] = lambda _: None,
) -> Spool:
    """Makes a spool of an open connection in autocommit mode, and brings its schema up to date.

    Raises:
        StorageError: the spool is of a newer version.
    """
    _upgrade(connection, path)
    return Spool(connection, path, clock, None, fault)


def open_spool(
    path: Path,
    *,
    clock: Callable[[], float] = time.time,
    fault: Callable[[str], None] = lambda _: None,
) -> Spool:
    """Opens a spool, makes it if absent, and brings an older schema up to date.

    A damaged file is moved aside and never deleted; `Spool.moved_aside` names
    it. `fault` is called before and after each durable write, so that a crash
    can be placed exactly there.

    Raises:
        StorageError: the disk refuses, or the spool is of a newer version.
    """
    moved_aside: Path | None = None
    with _storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            connection = _connect(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            moved_aside = _move_aside(path, int(clock()))
            connection = _connect(path)
    return Spool(connection, path, clock, moved_aside, fault)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if answer != "ok":
            raise sqlite3.DatabaseError(answer)
        _upgrade(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"{path} was written by a newer edgerig (schema {version}, this one knows {SCHEMA_VERSION})",
            hint="pip install --upgrade 'edgerig[agent]'",
        )
    for number in range(version, SCHEMA_VERSION):
        connection.execute("BEGIN IMMEDIATE")
        for statement in _UPGRADES[number]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")


def _move_aside(path: Path, now_unix_s: int) -> Path:
    target = path.with_name(f"{path.name}.damaged-{now_unix_s}")
    for suffix in ("-wal", "-shm"):
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.rename(target.with_name(target.name + suffix))
    return path.rename(target)


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise BugError(f"the spool {path} refuses a row: {error}") from error
    except (sqlite3.Error, OSError) as error:
        text = str(error)
        if "full" in text or "No space" in text:
            raise StorageError(
                f"the disk is full, {path} cannot be written", hint=f"df -h {path.parent}"
            ) from error
        raise StorageError(
            f"the spool {path} cannot be used: {text}", hint=f"ls -l {path.parent}; df -h {path.parent}"
        ) from error
