"""Waiting with a limit, and ending tasks, so that a cancellation is never lost.

Before Python 3.12 `asyncio.wait_for` returns a result that arrives in the same
instant as a cancellation, and drops the cancellation; a daemon that is asked
to end would then run on. Knows nothing of what is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def within(coroutine: Coroutine[Any, Any, T], timeout_s: float | None) -> T:
    """Returns what the coroutine returns; past the limit it is cancelled.

    Raises:
        asyncio.TimeoutError: the time is over; None means no limit.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
    except asyncio.CancelledError:
        await end(task)
        raise
    if not done:
        await end(task)
        raise asyncio.TimeoutError
    return task.result()


async def end(task: asyncio.Task[Any]) -> None:
    """Cancels a task and waits until it has cleaned up; how it ended is of no interest."""
    task.cancel()
    # Awaiting the task itself would mix up its cancellation with the caller's.
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
