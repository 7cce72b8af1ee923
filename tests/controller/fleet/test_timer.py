"""The timer of leases: it ends when it is told to, in whichever instant."""

import asyncio

import pytest

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
