"""An event loop whose time jumps to the next thing to do, and processes that live in it.

Everything runs in one thread in an order that follows from the seed alone:
executors run in place, no file descriptor is waited for, and waiting costs
nothing. A process is a set of tasks that die together.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

OWNER: contextvars.ContextVar[Process | None] = contextvars.ContextVar("owner", default=None)


class Killed(BaseException):
    """The process that does this is dead."""


class StandstillError(Exception):
    """Nothing will ever happen again, though somebody waits."""


class Process:
    """Tasks that are killed together; `point` is called wherever a kill may fall."""

    def __init__(
        self, name: str, loop: SimulatedLoop, on_point: Callable[[Process, str], None] = lambda _p, _l: None
    ) -> None:
        self.name = name
        self.alive = True
        self.tasks: set[asyncio.Task[Any]] = set()
        self._loop = loop
        self._on_point = on_point
        self.context = contextvars.copy_context()
        self.context.run(OWNER.set, self)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Starts a task of this process."""
        return self.context.run(self._loop.create_task, coroutine)

    def point(self, label: str) -> None:
        """Marks a place where the process may die; a dead one gets no further."""
        if self.alive:
            self._on_point(self, label)
        if not self.alive:
            raise Killed(label)

    def kill(self) -> None:
        """Ends the process: none of its tasks does anything lasting from here on."""
        self.alive = False
        for task in sorted(self.tasks, key=lambda one: one.get_name()):
            task.cancel()


class SimulatedLoop(asyncio.BaseEventLoop):
    """`time()` is simulated seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._moment_s = 0.0
        self._selector = self
        self._count = 0
        self.set_task_factory(self._make_task)
        self.set_exception_handler(lambda _loop, _context: None)

    def time(self) -> float:
        return self._moment_s

    def select(self, timeout: float | None) -> list[Any]:
        """Lets the time pass at once that there is nothing to do."""
        if timeout is None:
            raise StandstillError("everybody waits for somebody else")
        self._moment_s += timeout
        return []

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        """Runs in place: threads would bring an order of their own."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except StopIteration:
            raise
        except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
            future.set_exception(error)
        return future

    def _make_task(self, _loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        self._count += 1
        options.setdefault("name", "")
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=self, **options)
        task.set_name(f"{self._count:08d}")
        owner = OWNER.get()
        if owner is not None:
            owner.tasks.add(task)
            task.add_done_callback(owner.tasks.discard)
            if not owner.alive:
                task.cancel()
        return task

    def _process_events(self, event_list: Any) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
