"""Ends leases when their time is up: sleeps until the next deadline and never polls.

While an attempt is measured on the controller's own machine nothing wakes up
here, because the deadline of a running attempt lies after its quiet window.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable

from edgerig.deadlines import within
from edgerig.errors import EdgerigError, UnreachableError
from edgerig_controller.fleet.leases import TTL_S

_log = logging.getLogger(__name__)

# Seconds until a store that failed is asked again.
AGAIN_S = 5.0


class LeaseTimer:
    """Calls `expire` whenever a deadline has passed.

    `poke` it when there may be a new deadline, `replan` it when the next one may
    have moved. No new deadline is sooner than `ttl_s` from now, so most pokes
    need not look.
    """

    def __init__(
        self,
        *,
        next_deadline: Callable[[], Awaitable[float | None]],
        expire: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
        ttl_s: float = TTL_S,
        again_s: float = AGAIN_S,
    ) -> None:
        self._next_deadline = next_deadline
        self._expire = expire
        self._clock = clock
        self._ttl_s = ttl_s
        self._again_s = again_s
        # When it wakes by itself; infinite while it does not, or is just finding out.
        self._planned_unix_s = math.inf
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """Says that there may be a new deadline."""
        if self._clock() + self._ttl_s < self._planned_unix_s:
            self._poked.set()

    def replan(self) -> None:
        """Says that the next deadline may have moved, also to later: nothing shall wake for nothing."""
        self._poked.set()

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            await steadily(self._turn, what="leases cannot be ended now", again_s=self._again_s)

    async def _turn(self) -> None:
        """Ends what has passed, or waits for the next deadline or a poke."""
        self._poked.clear()
        self._planned_unix_s = math.inf
        deadline = await self._next_deadline()
        delay_s = None if deadline is None else deadline - self._clock()
        if delay_s is not None and delay_s <= 0:
            await self._expire()
            return
        self._planned_unix_s = math.inf if deadline is None else deadline
        with contextlib.suppress(asyncio.TimeoutError):
            await within(self._poked.wait(), delay_s)


async def steadily(turn: Callable[[], Awaitable[None]], *, what: str, again_s: float = AGAIN_S) -> None:
    """Takes a turn of something that never ends; after a failure that may pass it waits a little.

    Raises:
        UnreachableError: another controller leads, and does it.
    """
    try:
        await turn()
    except UnreachableError:
        raise
    except EdgerigError as error:
        # A disk that is full or locked is no reason to serve nobody any more.
        _log.error("%s: %s", what, error)
        await asyncio.sleep(again_s)
