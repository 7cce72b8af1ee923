"""An engine on a PostgreSQL server that keeps the promises of the SQLite file.

Writers take turns, as they do with SQLite's BEGIN IMMEDIATE: what the code reads
in a transaction is still so when it writes. Knows nothing of what the tables mean.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from edgerig.errors import StorageError

# The advisory lock of whoever writes: the bytes of the name, as a number that no other program picks.
WRITER_LOCK = int.from_bytes(b"edgerig", "big")
LOCK_TIMEOUT_MS = 10_000
_CONNECT_TIMEOUT_S = 10
# Durable, whatever the server's own settings: an agent deletes what it was told is stored.
_SETTINGS = f"SET synchronous_commit TO on; SET lock_timeout TO {LOCK_TIMEOUT_MS}"
_READER_SETTINGS = "SET default_transaction_read_only TO on"


def make_engine(url: URL, *, readonly: bool) -> Engine:
    """Makes an engine; the first use of it connects.

    A writer waits for its turn at the begin of a transaction (READ COMMITTED: a
    snapshot taken before the wait would be of the past). A reader sees one
    snapshot for the whole of its transaction and waits for nobody.

    Raises:
        StorageError: the driver is not installed, or the address is of another database system.
    """
    if url.get_backend_name() != "postgresql":
        raise StorageError(
            f"{shown(url)} is no address of a PostgreSQL database.",
            hint="postgresql://USER@HOST/DATABASE",
        )
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            isolation_level="REPEATABLE READ" if readonly else "READ COMMITTED",
            # A server that was restarted is found again, not reported.
            pool_pre_ping=True,
            connect_args={"connect_timeout": _CONNECT_TIMEOUT_S},
        )
    except ImportError as error:
        raise StorageError(
            f"The driver for PostgreSQL is not installed: {error}.", hint="pip install 'edgerig[postgres]'"
        ) from error
    _configure(engine, readonly=readonly)
    return engine


def shown(url: URL) -> str:
    """Writes an address for messages and logs: without the password."""
    return url.render_as_string(hide_password=True)


def _configure(engine: Engine, *, readonly: bool) -> None:
    from psycopg.types.string import StrDumper  # only where PostgreSQL is used

    class TextDumper(StrDumper):
        """PostgreSQL's text holds no NUL, and what a model writes may; the result's message keeps it."""

        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", "\ufffd"))

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.adapters.register_dumper(str, TextDumper)
        connection.execute(_READER_SETTINGS if readonly else _SETTINGS)
        connection.commit()

    if not readonly:

        @event.listens_for(engine, "begin")
        def begun(connection: Connection) -> None:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")
