"""What every schedule begins with, made once: a store that knows the devices, and a study to submit.

A study is registered by the production code, in a store of its own; of that
registration the rows are kept, and a schedule gets a copy of them with its own
time. Registering is not what is tested here, and takes longer than all that
happens to a trial.
"""

from __future__ import annotations

import functools
import hashlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from edgerig import documents
from edgerig.v1.trial_pb2 import FileRef, Trial
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.tables import Base
from edgerig_controller.study.prepared import (
    Cell,
    DeviceSelector,
    PlannedTrial,
    Prediction,
    PreparedStudy,
    RetryRule,
)
from tests.controller.store.building import add_device
from tests.sim.modes import OTHER
from tests.sim.nodes import Database, engine_on

DEVICES = ("orin", "nano")
MAX_TRIALS = 2
_FILES = ((b"model" * 100, "model.safetensors"), (b"data" * 50, "data.jsonl"))
_RETRY_ON = ("agent_lost", "rebooted", "killed")
_UNKNOWN = Prediction(None, "unknown")
# Stands where a time goes; no other value of a study is near it.
_NOW_UNIX_S = 1_234_567_890.125


@dataclass(frozen=True)
class Rows:
    """The rows of one table, with the places of those values that are the time of registration."""

    statement: str
    values: tuple[tuple[object, ...], ...]

    def at(self, now_unix_s: float) -> list[tuple[object, ...]]:
        """Returns the rows as registered at this time."""
        return [tuple(now_unix_s if item == _NOW_UNIX_S else item for item in row) for row in self.values]


@functools.cache
def template() -> Database:
    """Makes the tables and devices that every schedule begins with."""
    database, repository = _fresh()
    for name in DEVICES:
        add_device(repository, name)
    return database


def put_blobs(store: BlobStore) -> None:
    """Brings the files that the trials need."""
    for content, _ in _FILES:
        store.put_bytes(content)


def register(
    database: Database, trials: int, attempts: int, *, now_unix_s: float, restarts: bool = False
) -> None:
    """Registers a study of so many trials, each of which may be tried so often.

    With `restarts` the first of them runs in a power mode that takes a restart of its device.
    """
    plain = sqlite3.Connection.executemany
    database.execute("BEGIN IMMEDIATE")
    for rows in _registered(trials, attempts, restarts):
        plain(database, rows.statement, rows.at(now_unix_s))
    database.commit()


@functools.cache
def _registered(trials: int, attempts: int, restarts: bool) -> tuple[Rows, ...]:
    database, repository = _fresh()
    before = _dump(database)
    prepared = _prepared(trials, RetryRule(attempts, _RETRY_ON), restarts)
    repository.create_study(prepared, reuse=False, now_unix_s=_NOW_UNIX_S)
    after = _dump(database)
    database.really_close()
    return tuple(
        Rows(statement, tuple(row for row in rows if row not in before[statement]))
        for statement, rows in after.items()
        if rows != before[statement]
    )


def _fresh() -> tuple[Database, Repository]:
    """Makes an empty store."""
    database = Database(":memory:", isolation_level=None, check_same_thread=False)
    engine = engine_on(lambda: database)
    Base.metadata.create_all(engine)
    return database, Repository(engine, Path("memory"))


def _dump(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Returns all rows by the statement that inserts them, tables that others refer to first."""
    found = {}
    for table in Base.metadata.sorted_tables:
        # Numbers that the database gives out are given out anew.
        columns = [f'"{column.name}"' for column in table.columns if column is not table.autoincrement_column]
        statement = (
            f'INSERT INTO "{table.name}" ({", ".join(columns)}) VALUES ({", ".join("?" * len(columns))})'
        )
        found[statement] = database.execute(f'SELECT {", ".join(columns)} FROM "{table.name}"').fetchall()
    return found


def _prepared(count: int, retry: RetryRule, restarts: bool) -> PreparedStudy:
    model, data = (
        FileRef(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        for content, path in _FILES
    )
    trials = []
    for seed in range(1, count + 1):
        trial = Trial(schema_version=1, seed=seed, repeat=1)
        trial.budgets.attempt.duration_s = 120
        trial.model.files.append(model)
        trial.task.data.CopyFrom(data)
        if restarts and seed == 1:
            trial.settings.power_mode = OTHER
        trial.digest = documents.digest(documents.to_json(trial))
        trials.append(PlannedTrial(0, trial))
    return PreparedStudy(
        name="simulated",
        digest="d" * 64,
        resolved={},
        source_yaml="",
        cells=(Cell(0, {}, "cell", _UNKNOWN, _UNKNOWN),),
        trials=tuple(trials),
        exclusions=(),
        devices=DeviceSelector(),
        blobs=frozenset((model.sha256, data.sha256)),
        retry=retry,
    )
