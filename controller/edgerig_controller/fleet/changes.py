"""Waiting for something to change, by topic, without polling.

A topic is a text such as a study's id. Whoever waits says which version it has
seen, so that no change between looking and waiting is missed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

# Any study, any device: for those who wait for a state of the whole fleet.
INVENTORY = "inventory"


class Changes:
    """Version numbers of topics, on one event loop."""

    def __init__(self) -> None:
        self._versions: defaultdict[str, int] = defaultdict(int)
        # Counts changes that concern every topic.
        self._common = 0
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def version(self, topic: str) -> int:
        """Returns the present version of a topic."""
        return self._versions[topic] + self._common

    def has_waiting(self) -> bool:
        """Tells whether anybody waits for anything now."""
        return any(self._waiting.values())

    def touch_all(self) -> None:
        """Says that every topic may have changed, and wakes everybody."""
        self._common += 1
        for waiting in self._waiting.values():
            for future in waiting:
                if not future.done():
                    future.set_result(None)
        self._waiting.clear()

    def touch(self, *topics: str) -> None:
        """Says that topics have changed, and wakes who waits for them."""
        for topic in topics:
            self._versions[topic] += 1
            for future in self._waiting.pop(topic, set()):
                if not future.done():
                    future.set_result(None)

    async def wait(self, topic: str, seen: int) -> int:
        """Returns the version of a topic as soon as it is not the one seen."""
        while self.version(topic) == seen:
            future = asyncio.get_running_loop().create_future()
            self._waiting[topic].add(future)
            try:
                await future
            finally:
                if topic in self._waiting:
                    self._waiting[topic].discard(future)
        return self.version(topic)
