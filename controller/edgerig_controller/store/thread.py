"""One thread for what changes the database and one for what only looks: the event loop waits for no disk.

There is one writer, and who looks at a whole fleet keeps no device waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from edgerig_controller.store.repository import Repository

T = TypeVar("T")


class StoreThread:
    """Asks a repository from an event loop; questions are answered in the order they are asked.

    `reader` is another repository on the same store, for `look`; without it everything is asked in turn.
    """

    def __init__(self, repository: Repository, reader: Repository | None = None) -> None:
        self._repository = repository
        self._reader = reader
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._looking = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-reader")

    async def ask(self, question: Callable[[Repository], T]) -> T:
        """Runs a question or a change and returns its answer once it is durable."""
        loop = asyncio.get_running_loop()
        # A caller that goes away must not leave a change half known: it runs to its end.
        return await asyncio.shield(loop.run_in_executor(self._executor, question, self._repository))

    async def look(self, question: Callable[[Repository], T]) -> T:
        """Runs a question for people, which may take its time; it sees what was durable when it began."""
        if self._reader is None:
            return await self.ask(question)
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._looking, question, self._reader))

    def close(self) -> None:
        """Waits for what was asked and lets the database go."""
        for executor in (self._executor, self._looking):
            executor.shutdown(wait=True)
        self._repository.close()
        if self._reader is not None:
            self._reader.close()
