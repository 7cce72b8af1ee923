"""Decides when an embedded controller has nothing left to live for.

It ends some time after its last study, unless somebody talks to it. Sleeps
between events; the clock is the event loop's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from edgerig.deadlines import within
from edgerig_controller.fleet.timer import AGAIN_S, steadily

LINGER_S = 60.0


class Linger:
    """Calls `end` after `linger_s` seconds without an active study and without a call."""

    def __init__(
        self,
        *,
        is_idle: Callable[[], Awaitable[bool]],
        end: Callable[[], None],
        linger_s: float = LINGER_S,
        again_s: float = AGAIN_S,
    ) -> None:
        self._is_idle = is_idle
        self._end = end
        self._linger_s = linger_s
        self._again_s = again_s
        self._ended = False
        self._calls = 0
        self._poked = asyncio.Event()

    def enter(self) -> None:
        """Notes that a call has begun."""
        self._calls += 1
        self._poked.set()

    def leave(self) -> None:
        """Notes that a call has ended."""
        self._calls -= 1
        self._poked.set()

    def poke(self) -> None:
        """Says that the number of active studies may have changed."""
        self._poked.set()

    async def run(self) -> None:
        """Runs until it has called `end`, or until it is cancelled."""
        while not self._ended:
            await steadily(self._turn, what="whether a study is left cannot be read", again_s=self._again_s)

    async def _turn(self) -> None:
        """Waits for something to happen, or ends where nothing does."""
        self._poked.clear()
        idle = self._calls == 0 and await self._is_idle()
        try:
            await within(self._poked.wait(), self._linger_s if idle else None)
        except asyncio.TimeoutError:
            self._ended = True
            self._end()
