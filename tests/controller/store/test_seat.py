"""The seat of the leader on a real server: one has it, and who is silent or dead loses it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from sqlalchemy import URL

from edgerig_controller.store.postgres import connect_arguments
from edgerig_controller.store.seat import Pace, Seat
from tests.controller.store.cluster import Cluster

PATIENCE_S = 20.0
QUICK = Pace(retry_s=0.01, look_s=0.01, answer_s=5.0, silence_s=10.0)


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def database(cluster: Cluster) -> Iterator[URL]:
    with cluster.migrated() as url:
        yield url


def end_sessions(database: URL) -> int:
    """Ends the sessions of seats, as the server does with silent ones; returns how many there were."""
    with psycopg.connect(autocommit=True, **connect_arguments(database)) as connection:
        rows = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'edgerig leader' AND datname = current_database()"
        ).fetchall()
    return len(rows)


async def test_one_has_the_seat_and_the_next_gets_it_when_it_is_left(database: URL) -> None:
    first, second = Seat(database, pace=QUICK, clock=Clock()), Seat(database, pace=QUICK, clock=Clock())
    assert await first.try_take()
    assert not await second.try_take()
    assert first.is_certain() and not second.is_certain()
    waiting = asyncio.ensure_future(second.take())
    first.leave()
    first.leave()
    await asyncio.wait_for(waiting, PATIENCE_S)
    assert second.is_certain() and not first.is_certain()
    second.leave()


async def test_whose_session_has_ended_is_no_longer_in_the_seat(database: URL) -> None:
    seat = Seat(database, pace=QUICK, clock=Clock())
    await seat.take()
    keeping = asyncio.ensure_future(seat.keep())
    await asyncio.sleep(0)
    assert end_sessions(database) == 1
    await asyncio.wait_for(keeping, PATIENCE_S)
    assert not seat.is_certain()
    # And it may sit down again.
    assert await seat.try_take()
    seat.leave()


async def test_the_server_itself_ends_who_is_silent(database: URL) -> None:
    silent = Seat(database, pace=Pace(retry_s=0.01, silence_s=0.05), clock=Clock())
    next_one = Seat(database, pace=QUICK, clock=Clock())
    await silent.take()
    await asyncio.wait_for(next_one.take(), PATIENCE_S)
    await asyncio.wait_for(silent.keep(), PATIENCE_S)
    next_one.leave()


async def test_who_was_frozen_is_not_certain_even_before_it_has_asked(database: URL) -> None:
    clock = Clock()
    seat = Seat(database, pace=QUICK, clock=clock)
    await seat.take()
    clock.now_s += 0.7 * QUICK.silence_s
    assert seat.is_certain()
    clock.now_s += 0.2 * QUICK.silence_s
    assert not seat.is_certain()
    seat.leave()


async def test_a_server_that_is_away_is_waited_for(database: URL, caplog: pytest.LogCaptureFixture) -> None:
    seat = Seat(database.set(query={"host": "/nonexistent"}), pace=QUICK, clock=Clock())
    assert not await seat.try_take()
    assert not await seat.try_take()
    assert sum("cannot be asked who leads" in message for message in caplog.messages) == 1


async def test_an_answer_that_does_not_come_ends_the_waiting() -> None:
    # A server that is frozen: its kernel takes the connection, and it says nothing.
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        port = frozen.getsockname()[1]
        deaf = Seat(
            URL.create("postgresql", "edgerig", host="127.0.0.1", port=port),
            pace=Pace(answer_s=0.05),
            clock=Clock(),
        )
        assert not await asyncio.wait_for(deaf.try_take(), PATIENCE_S)
