"""Opening the database file: durability settings, migrations, read-only access.

Knows SQLite and Alembic; knows nothing of what the tables mean.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DatabaseError, DBAPIError
from sqlalchemy.pool import QueuePool, StaticPool

from edgerig.errors import StorageError
from edgerig_controller.store.tables import HEAD_REVISION, Base

_BUSY_TIMEOUT_MS = 10_000
_MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(path: Path) -> Engine:
    """Opens the database for writing and brings its tables up to date.

    Raises:
        StorageError: not a database, one of a newer edgerig, or an unwritable disk.
    """
    engine = create_engine(URL.create("sqlite", database=str(path)))
    configure(engine, begin="BEGIN IMMEDIATE", pragmas=("journal_mode=WAL", "synchronous=FULL"))
    try:
        path.touch(mode=0o600, exist_ok=True)
        _migrate(engine, path)
    except (DBAPIError, OSError) as error:
        engine.dispose()
        raise _unusable(path, error) from error
    except StorageError:
        engine.dispose()
        raise
    return engine


def open_readonly_engine(path: Path) -> Engine:
    """Opens the database for reading only, beside a running controller or without one.

    A folder that no controller has used yet reads as an empty database.

    Raises:
        StorageError: not a database, or tables of another version of edgerig.
    """
    if not path.exists() or path.stat().st_size == 0:
        engine = create_engine("sqlite://", poolclass=StaticPool)
        Base.metadata.create_all(engine)
        return engine
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(uri, uri=True, check_same_thread=False),
        poolclass=QueuePool,
    )
    configure(engine, begin="BEGIN", pragmas=())
    try:
        with engine.connect() as connection:
            revision = _revision(connection)
    except DBAPIError as error:
        engine.dispose()
        raise _unusable(path, error) from error
    if revision != HEAD_REVISION:
        engine.dispose()
        raise StorageError(
            f"{path} has tables of another version of edgerig ({revision or 'none'}).",
            hint="edgerig serve once with this version brings them up to date",
        )
    return engine


def migration_config(connection: Connection | None = None) -> Any:
    """Returns Alembic's configuration for the migrations of this package."""
    from alembic.config import Config  # a third of a second that readers do not need

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _migrate(engine: Engine, path: Path) -> None:
    with engine.connect() as connection:
        revision = _revision(connection)
    if revision == HEAD_REVISION:
        return
    from alembic import command
    from alembic.util import CommandError

    with engine.begin() as connection:
        try:
            command.upgrade(migration_config(connection), "head")
        except CommandError as error:
            raise StorageError(
                f"{path} was written by a newer edgerig (tables {revision}).",
                hint="install that version again, or use another folder with --data DIR",
            ) from error


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return str(found or "")


def configure(engine: Engine, *, begin: str, pragmas: tuple[str, ...]) -> None:
    """Makes an engine begin its transactions as said, and set up each new connection."""

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver must not begin transactions by itself: it would begin them late.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def _unusable(path: Path, error: Exception) -> StorageError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    hint = "edgerig gc, or free space on that disk" if "full" in str(cause) else ""
    if isinstance(error, DatabaseError) and "not a database" in str(cause):
        hint = f"move {path.name} aside or choose another folder with --data DIR"
    return StorageError(f"The database {path} cannot be used: {cause}.", hint=hint)
