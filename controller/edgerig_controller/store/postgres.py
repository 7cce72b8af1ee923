"""An engine on a PostgreSQL server that keeps the promises of the SQLite file.

Writers take turns, as they do with SQLite's BEGIN IMMEDIATE: what the code reads
in a transaction is still so when it writes. Knows nothing of what the tables mean.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from edgerig.errors import StorageError, UsageError

# The advisory locks of whoever writes and of whoever leads: the bytes of a name, as a number that no
# other program picks.
WRITER_LOCK = int.from_bytes(b"edgerig", "big")
LEADER_LOCK = int.from_bytes(b"edgelead", "big")
LOCK_TIMEOUT_MS = 10_000
# A writer that is frozen in its turn loses it after this time: the others must not wait for it.
FROZEN_MS = 20_000
# How a connection that has died is noticed, in about as long as a controller's own heartbeat takes.
CONNECT_SETTINGS = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_SECRETS = ("password", "sslpassword")
# Durable, whatever the server's own settings: an agent deletes what it was told is stored.
_SETTINGS = (
    f"SET synchronous_commit TO on; SET lock_timeout TO {LOCK_TIMEOUT_MS}; "
    f"SET idle_in_transaction_session_timeout TO {FROZEN_MS}"
)
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
            connect_args=dict(CONNECT_SETTINGS),
        )
    except ImportError as error:
        raise StorageError(
            f"The driver for PostgreSQL is not installed: {error}.", hint="pip install 'edgerig[postgres]'"
        ) from error
    _configure(engine, readonly=readonly)
    return engine


def parse_address(text: str) -> URL:
    """Reads the address of a PostgreSQL database as a person gives it.

    The password comes from where every client of PostgreSQL takes it, never from the
    address: that stands in the process list and in files.

    Raises:
        UsageError: no such address, or one that holds a password. The message shows nothing of it.
    """
    form = "--store postgresql://USER@HOST/DATABASE"
    try:
        url = make_url(text)
        known = url.get_backend_name() == "postgresql"
    except (ArgumentError, ValueError):
        known = False
    if not known:
        # What was given may hold a password at any place.
        raise UsageError("The store is no address of a PostgreSQL database.", hint=form)
    if url.password is not None or any(name in url.query for name in _SECRETS):
        raise UsageError(
            "The address of the store holds a password, and the process list would show it.",
            hint=f"{form}, and the password in ~/.pgpass (PGPASSFILE), a service file or PGPASSWORD",
        )
    return url


def connect_arguments(url: URL) -> dict[str, Any]:
    """Returns the driver's own arguments for a connection beside the engine's."""
    dialect = url.set(drivername="postgresql+psycopg").get_dialect()()
    _, arguments = dialect.create_connect_args(url)
    return {**CONNECT_SETTINGS, **arguments}


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
