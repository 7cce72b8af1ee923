"""Ends leases when their time is up: sleeps until the next deadline and never polls.

While an attempt is measured on the controller's own machine nothing wakes up
here, because the deadline of a running attempt lies after its quiet window.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from edgerig.deadlines import within


class LeaseTimer:
    """Calls `expire` whenever a deadline has passed. `poke` it after every change of leases."""

    def __init__(
        self,
        *,
        next_deadline: Callable[[], Awaitable[float | None]],
        expire: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._next_deadline = next_deadline
        self._expire = expire
        self._clock = clock
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """Says that deadlines may have changed."""
        self._poked.set()

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            self._poked.clear()
            deadline = await self._next_deadline()
            delay_s = None if deadline is None else deadline - self._clock()
            if delay_s is not None and delay_s <= 0:
                await self._expire()
                continue
            try:
                await within(self._poked.wait(), delay_s)
            except asyncio.TimeoutError:
                continue
