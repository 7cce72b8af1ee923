"""One thread for the database: the event loop never waits for a disk, and there is one writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from edgerig_controller.store.repository import Repository

T = TypeVar("T")


class StoreThread:
    """Asks a repository from an event loop; questions are answered in the order they are asked."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def ask(self, question: Callable[[Repository], T]) -> T:
        """Runs a question or a change and returns its answer once it is durable."""
        loop = asyncio.get_running_loop()
        # A caller that goes away must not leave a change half known: it runs to its end.
        return await asyncio.shield(loop.run_in_executor(self._executor, question, self._repository))

    def close(self) -> None:
        """Waits for what was asked and lets the database go."""
        self._executor.shutdown(wait=True)
        self._repository.close()
