"""The timer of leases: it ends when it is told to, in whichever instant."""

import asyncio

import pytest

from edgerig.deadlines import end, within
from edgerig.errors import EdgerigError, StorageError, UnreachableError
from edgerig_controller.fleet.timer import LeaseTimer


@pytest.mark.parametrize("turns", range(5))
async def test_a_cancellation_in_the_instant_of_a_poke_is_not_lost(turns: int) -> None:
    """asyncio.wait_for drops it on Python 3.10 and 3.11; a controller told to stop would live on."""

    async def in_a_minute() -> float | None:
        return 60.0

    async def nothing() -> None:
        return None

    timer = LeaseTimer(next_deadline=in_a_minute, expire=nothing, clock=lambda: 0.0)
    task = asyncio.ensure_future(timer.run())
    for _ in range(5):
        await asyncio.sleep(0)
    timer.poke()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert task.done()


class Store:
    """Answers with the deadline that the test has set, and counts the questions."""

    def __init__(self, deadline_unix_s: float | None) -> None:
        self.deadline_unix_s = deadline_unix_s
        self.asked = 0

    async def next_deadline(self) -> float | None:
        self.asked += 1
        return self.deadline_unix_s

    async def expire(self) -> None:
        self.deadline_unix_s = None


async def asked_after(store: Store, poke: str) -> int:
    """Returns how often a timer asks the store because of a poke."""
    timer = LeaseTimer(next_deadline=store.next_deadline, expire=store.expire, clock=lambda: 0.0, ttl_s=90.0)
    task = asyncio.ensure_future(timer.run())
    for _ in range(5):
        await asyncio.sleep(0)
    before = store.asked
    getattr(timer, poke)()
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    return store.asked - before


@pytest.mark.parametrize(
    ("deadline_unix_s", "poke", "asked"),
    [
        # A new lease cannot end before the timer wakes anyway.
        (60.0, "poke", 0),
        (600.0, "poke", 1),
        (None, "poke", 1),
        # What was next may have moved away: nothing shall wake for nothing.
        (60.0, "replan", 1),
    ],
)
async def test_the_store_is_asked_only_when_the_next_deadline_may_be_another(
    deadline_unix_s: float | None, poke: str, asked: int
) -> None:
    assert await asked_after(Store(deadline_unix_s), poke) == asked


async def test_what_has_passed_is_ended_at_once() -> None:
    store = Store(-1.0)
    assert await asked_after(store, "replan") == 1
    assert store.deadline_unix_s is None


class Failing(Store):
    """Cannot be asked the first time."""

    def __init__(self, error: EdgerigError) -> None:
        super().__init__(None)
        self.error = error
        self.asked_again = asyncio.Event()

    async def next_deadline(self) -> float | None:
        if self.asked:
            self.asked_again.set()
            return await super().next_deadline()
        self.asked += 1
        raise self.error


async def test_a_store_that_fails_is_asked_again() -> None:
    store = Failing(StorageError("The disk is full."))
    timer = LeaseTimer(
        next_deadline=store.next_deadline, expire=store.expire, clock=lambda: 0.0, ttl_s=90.0, again_s=0.0
    )
    task = asyncio.ensure_future(timer.run())
    await within(store.asked_again.wait(), 20.0)
    await end(task)


async def test_who_no_longer_leads_ends_no_leases() -> None:
    store = Failing(UnreachableError("Another controller leads."))
    timer = LeaseTimer(next_deadline=store.next_deadline, expire=store.expire, clock=lambda: 0.0, again_s=0.0)
    with pytest.raises(UnreachableError):
        await within(timer.run(), 20.0)
