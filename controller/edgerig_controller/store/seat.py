"""The seat of the leader: a lock that a PostgreSQL server holds for one session.

The session is a connection of its own. The server frees the lock when the session
ends: at once when its process dies, and after `silence_s` when it is frozen or
cut off, which the server measures by itself (idle_session_timeout), so that no
two machines' clocks are compared. The holder asks every `look_s`; without an
answer within `answer_s` it counts the seat as lost, which is before the server
gives it to another. Knows nothing of what a leader does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import URL

from edgerig_controller.store import postgres

T = TypeVar("T")

_log = logging.getLogger(__name__)

# Of the server's patience; clocks of two machines do not run equally fast.
_CERTAIN_SHARE = 0.8


@dataclass(frozen=True)
class Pace:
    """How often the database is asked, in seconds. `look_s` + `answer_s` must be below `silence_s`."""

    retry_s: float = 0.5
    look_s: float = 2.0
    answer_s: float = 4.0
    silence_s: float = 10.0


class Seat:
    """The seat as one controller takes, keeps and leaves it. Lives on one event loop."""

    def __init__(self, database: URL, *, pace: Pace | None = None, clock: Callable[[], float]) -> None:
        self._database = database
        self._pace = pace or Pace()
        self._clock = clock
        self._connection: Any = None
        self._sure_s: float | None = None
        self._trouble = ""

    async def take(self) -> None:
        """Waits until the seat is this controller's; a database that is away is waited for."""
        while not await self.try_take():
            await asyncio.sleep(self._pace.retry_s)

    async def try_take(self) -> bool:
        """Takes the seat if it is free; tells whether it is this controller's now."""
        asked_s = self._clock()
        try:
            if self._connection is None:
                self._connection = await self._answered(self._connect())
            found = await self._answered(self._scalar(f"SELECT pg_try_advisory_lock({postgres.LEADER_LOCK})"))
        except Exception as error:  # noqa: BLE001 - a driver's errors are many; all mean: try again
            self.leave()
            # The same trouble is written once, however often it is met.
            if (words := _words(error)) != self._trouble:
                _log.warning("the database cannot be asked who leads: %s", words)
                self._trouble = words
            return False
        self._trouble = ""
        if found:
            self._sure_s = asked_s
        return bool(found)

    async def keep(self) -> None:
        """Returns when the seat is lost."""
        while True:
            asked_s = self._clock()
            try:
                await self._answered(self._scalar("SELECT 1"))
            except Exception as error:  # noqa: BLE001 - whatever it is, the seat is no longer certain
                _log.warning("the seat of the leader is lost: %s", _words(error))
                self.leave()
                return
            self._sure_s = asked_s
            await asyncio.sleep(self._pace.look_s)

    def is_certain(self) -> bool:
        """Tells whether nobody else can have the seat at this moment.

        A process that was frozen and goes on finds out here before the server is asked.
        """
        sure_s = self._sure_s
        return sure_s is not None and self._clock() - sure_s < _CERTAIN_SHARE * self._pace.silence_s

    def leave(self) -> None:
        """Gives the seat away; a second call does nothing."""
        self._sure_s = None
        connection, self._connection = self._connection, None
        if connection is not None:
            # Not `close`: that is a coroutine, and one that may wait for a server that is gone.
            connection.pgconn.finish()

    async def _connect(self) -> Any:
        import psycopg  # only where PostgreSQL is used

        connection = await psycopg.AsyncConnection.connect(
            autocommit=True,
            application_name="edgerig leader",
            **postgres.connect_arguments(self._database),
        )
        await connection.execute(f"SET idle_session_timeout TO {round(self._pace.silence_s * 1000)}")
        return connection

    async def _scalar(self, statement: str) -> Any:
        cursor = await self._connection.execute(statement)
        row = await cursor.fetchone()
        return row[0]

    async def _answered(self, asking: Coroutine[Any, Any, T]) -> T:
        """Awaits an answer for `answer_s`, and not for the end of a question that is given up."""
        task = asyncio.ensure_future(asking)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._pace.answer_s)
        finally:
            if not task.done():
                task.add_done_callback(_forget)
                task.cancel()
        if not done:
            raise TimeoutError(f"no answer within {self._pace.answer_s:g} s")
        return task.result()


def boot_clock() -> float:
    """Returns seconds that pass while the machine sleeps, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _forget(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


def _words(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
