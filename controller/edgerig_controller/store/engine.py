"""Opening the database: durability settings, migrations, read-only access.

The database is a SQLite file, or one on a PostgreSQL server (`postgres.py`).
Knows SQLite and Alembic; knows nothing of what the tables mean.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool, StaticPool

from edgerig.errors import StorageError
from edgerig_controller.store import postgres
from edgerig_controller.store.tables import HEAD_REVISION, Base

_BUSY_TIMEOUT_MS = 10_000
_MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(where: Path | URL) -> Engine:
    """Opens the database for writing and brings its tables up to date.

    Args:
        where: the SQLite file, or the address of a PostgreSQL database.

    Raises:
        StorageError: not a database, one of a newer edgerig, an unwritable disk, or no such server.
    """
    engine = _sqlite(where) if isinstance(where, Path) else postgres.make_engine(where, readonly=False)
    try:
        if isinstance(where, Path):
            where.touch(mode=0o600, exist_ok=True)
        _migrate(engine, shown(where))
    except (DBAPIError, OSError) as error:
        engine.dispose()
        raise _unusable(where, error) from error
    except StorageError:
        engine.dispose()
        raise
    return engine


def open_readonly_engine(where: Path | URL) -> Engine:
    """Opens the database for reading only, beside a running controller or without one.

    A folder that no controller has used yet reads as an empty database.

    Raises:
        StorageError: not a database, no such server, or tables of another version of edgerig.
    """
    if isinstance(where, Path) and (not where.exists() or where.stat().st_size == 0):
        engine = create_engine("sqlite://", poolclass=StaticPool)
        Base.metadata.create_all(engine)
        return engine
    if isinstance(where, Path):
        engine = _readonly_sqlite(where)
    else:
        engine = postgres.make_engine(where, readonly=True)
    try:
        with engine.connect() as connection:
            revision = _revision(connection)
    except DBAPIError as error:
        engine.dispose()
        raise _unusable(where, error) from error
    if revision != HEAD_REVISION:
        engine.dispose()
        raise StorageError(
            f"{shown(where)} has tables of another version of edgerig ({revision or 'none'}).",
            hint="edgerig serve once with this version brings them up to date",
        )
    return engine


def shown(where: Path | URL) -> str:
    """Names a database in messages; a password is not shown."""
    return str(where) if isinstance(where, Path) else postgres.shown(where)


def _sqlite(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)))
    configure(engine, begin="BEGIN IMMEDIATE", pragmas=("journal_mode=WAL", "synchronous=FULL"))
    return engine


def _readonly_sqlite(path: Path) -> Engine:
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(uri, uri=True, check_same_thread=False),
        poolclass=QueuePool,
    )
    configure(engine, begin="BEGIN", pragmas=())
    return engine


def migration_config(connection: Connection | None = None) -> Any:
    """Returns Alembic's configuration for the migrations of this package."""
    from alembic.config import Config  # a third of a second that readers do not need

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _migrate(engine: Engine, name: str) -> None:
    with engine.connect() as connection:
        revision = _revision(connection)
    if revision == HEAD_REVISION:
        return
    from alembic import command
    from alembic.util import CommandError

    with engine.begin() as connection:
        if not _alone(connection):
            # The one that leads may just have done it.
            if _revision(connection) == HEAD_REVISION:
                return
            raise StorageError(
                f"{name} has tables of another version ({revision or 'none'}), and a controller of that "
                "version leads.",
                hint="edgerig stop on the other machines first; then the tables are brought up to date",
            )
        try:
            command.upgrade(migration_config(connection), "head")
        except CommandError as error:
            raise StorageError(
                f"{name} was written by a newer edgerig (tables {revision}).",
                hint="install that version again, or use another folder with --data DIR",
            ) from error


def _alone(connection: Connection) -> bool:
    """Tells whether nobody leads, and lets nobody begin to before the transaction ends."""
    if connection.dialect.name == "sqlite":
        # The lock of the data folder has seen to it.
        return True
    return bool(connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({postgres.LEADER_LOCK})")))


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
        # Past SQLAlchemy's way of running statements, which costs twenty times as much as this one.
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(begin)


def _unusable(where: Path | URL, error: Exception) -> StorageError:
    cause = str(error.orig if isinstance(error, DBAPIError) else error).strip()
    hint = "edgerig gc, or free space on that disk" if "full" in cause else ""
    if isinstance(where, URL) and isinstance(error, OperationalError):
        hint = hint or "see that the server runs and lets you in: psql with the same address"
    if isinstance(error, DatabaseError) and "not a database" in cause:
        hint = f"move {shown(where)} aside or choose another folder with --data DIR"
    return StorageError(f"The database {shown(where)} cannot be used: {cause}.", hint=hint)
