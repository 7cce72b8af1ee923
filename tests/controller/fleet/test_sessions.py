"""Streams of agents, waiting for changes, and the timer of leases."""

from __future__ import annotations

import asyncio

import pytest

from edgerig.errors import RejectedError
from edgerig_controller.fleet.changes import Changes
from edgerig_controller.fleet.sessions import SessionHub
from edgerig_controller.fleet.timer import LeaseTimer


async def test_a_newer_session_replaces_the_older_at_once() -> None:
    hub = SessionHub()
    old = hub.connect("orin", 1)
    new = hub.connect("orin", 2)
    assert old.outgoing.get_nowait() is None
    assert not hub.disconnect(old)
    assert hub.connected() == {"orin"}
    assert hub.disconnect(new)
    assert hub.connected() == frozenset()


async def test_an_older_session_is_refused() -> None:
    hub = SessionHub()
    hub.connect("orin", 2)
    with pytest.raises(RejectedError):
        hub.connect("orin", 1)


async def test_signals_to_a_slow_agent_overflow_and_the_end_still_comes() -> None:
    hub = SessionHub()
    connection = hub.connect("orin", 1)
    for _ in range(1000):
        hub.wake("orin")
    hub.drop("orin")
    signals = [connection.outgoing.get_nowait() for _ in range(connection.outgoing.qsize())]
    assert signals[-1] is None
    assert len(signals) <= 64


async def test_signals_to_absent_devices_are_lost() -> None:
    SessionHub().wake("nobody")


async def test_goodbye_is_the_last_word() -> None:
    hub = SessionHub()
    connection = hub.connect("orin", 1)
    hub.goodbye(agent_may_exit=True)
    signal = connection.outgoing.get_nowait()
    assert signal is not None
    assert signal.goodbye.agent_may_exit
    assert connection.outgoing.get_nowait() is None


async def test_a_change_between_looking_and_waiting_is_not_missed() -> None:
    changes = Changes()
    seen = changes.version("s")
    changes.touch("s")
    assert await asyncio.wait_for(changes.wait("s", seen), 5) == seen + 1


async def test_a_change_wakes_all_who_wait_for_it_and_nobody_else() -> None:
    changes = Changes()
    waiting = [asyncio.ensure_future(changes.wait("s", 0)) for _ in range(3)]
    other = asyncio.ensure_future(changes.wait("t", 0))
    await asyncio.sleep(0)
    changes.touch("s")
    assert await asyncio.gather(*waiting) == [1, 1, 1]
    assert not other.done()
    other.cancel()


async def test_the_timer_expires_what_is_due_and_then_waits_for_a_poke() -> None:
    deadlines: list[float | None] = [5.0]
    expired: list[float] = []
    asked = asyncio.Event()

    async def next_deadline() -> float | None:
        asked.set()
        return deadlines[0]

    async def expire() -> None:
        expired.append(deadlines[0] or 0)
        deadlines[0] = None

    timer = LeaseTimer(next_deadline=next_deadline, expire=expire, clock=lambda: 10.0)
    task = asyncio.ensure_future(timer.run())
    await asyncio.wait_for(asked.wait(), 5)
    while not expired:
        await asyncio.sleep(0)
    asked.clear()
    deadlines[0] = 9.0
    timer.poke()
    await asyncio.wait_for(asked.wait(), 5)
    while len(expired) < 2:
        await asyncio.sleep(0)
    task.cancel()
    assert expired == [5.0, 9.0]


async def test_a_change_that_concerns_all_wakes_whoever_waits_for_anything() -> None:
    changes = Changes()
    seen = changes.version("s")
    assert not changes.has_waiting()
    waiting = asyncio.ensure_future(changes.wait("s", seen))
    await asyncio.sleep(0)
    assert changes.has_waiting()
    changes.touch_all()
    assert await waiting == changes.version("s") != seen
    assert not changes.has_waiting()
