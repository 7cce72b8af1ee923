"""A cancellation is never lost, whatever arrives in the same instant."""

from __future__ import annotations

import asyncio

import pytest

from edgerig.deadlines import end, within


async def test_a_result_in_time_is_returned() -> None:
    assert await within(asyncio.sleep(0, "result"), 10.0) == "result"


async def test_time_that_is_over_is_said_and_the_wait_is_cancelled() -> None:
    ended = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(asyncio.TimeoutError):
        await within(wait(), 0.0)
    assert ended == [True]


async def test_a_fault_inside_comes_out() -> None:
    async def fail() -> None:
        raise ValueError("fault")

    with pytest.raises(ValueError, match="fault"):
        await within(fail(), 10.0)


async def test_a_cancellation_wins_over_a_result_of_the_same_instant() -> None:
    arrived = asyncio.Event()
    task = asyncio.create_task(within(arrived.wait(), 10.0))
    for _ in range(3):
        await asyncio.sleep(0)
    arrived.set()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_ending_a_task_does_not_hide_the_callers_cancellation() -> None:
    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)

    inner = asyncio.create_task(slow_to_end())
    await asyncio.sleep(0)
    outer = asyncio.create_task(end(inner))
    await asyncio.sleep(0)
    outer.cancel()
    await asyncio.wait({outer})
    assert outer.cancelled()
    await asyncio.wait({inner})
