"""A daemon in the test's own loop, a scripted attempt program, and a fake controller."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgerig_agent.daemon import Daemon, Settings
from edgerig_agent.identity import load
from edgerig_agent.runner import Programs
from edgerig_agent.spool import open_spool
from tests.fakes.controller import PATIENCE_S, FakeController

FAKES = Path(__file__).parent


class Rig:
    """One agent home against one fake controller."""

    def __init__(self, home: Path, controller: FakeController) -> None:
        self.home = home
        self.controller = controller
        controller.enroll_home(home)
        for name in ("go", "begun"):
            os.mkfifo(home / name)
        self._begun = os.open(home / "begun", os.O_RDWR | os.O_NONBLOCK)
        self._go = os.open(home / "go", os.O_RDWR)
        self._daemon: Daemon | None = None
        self._task: asyncio.Task[None] | None = None
        self._spools: list[Any] = []

    def programs(self, mode: str) -> Programs:
        program = (sys.executable, str(FAKES / "attempt_program.py"))
        return Programs(
            attempt=(*program, "--mode", mode),
            bury=(*program, "--bury"),
            facts=(sys.executable, str(FAKES / "facts_program.py")),
        )

    def start(
        self,
        mode: str = "ok",
        *,
        embedded: bool = False,
        settings: Settings | None = None,
        fault: Callable[[str], None] = lambda _: None,
    ) -> asyncio.Task[None]:
        spool = open_spool(self.home / "spool.db", fault=fault)
        self._spools.append(spool)
        self._daemon = Daemon(
            self.home, load(self.home), spool, settings or Settings(), self.programs(mode), embedded
        )
        self._task = asyncio.create_task(self._daemon.run())
        return self._task

    async def end(self) -> None:
        """Ends the daemon as SIGTERM does, and waits for it."""
        assert self._daemon is not None
        assert self._task is not None
        self._daemon.end()
        await asyncio.wait_for(self._task, PATIENCE_S)

    async def begun(self) -> None:
        """Returns when a waiting attempt program has begun."""
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        loop.add_reader(self._begun, arrived.set)
        try:
            await asyncio.wait_for(arrived.wait(), PATIENCE_S)
            os.read(self._begun, 1)
        finally:
            loop.remove_reader(self._begun)

    def go(self) -> None:
        """Lets the waiting attempt program finish."""
        os.write(self._go, b"x")

    async def delivered(self, attempt_id: str) -> None:
        """Returns when the controller has the result and the agent has been told and asks for more."""
        await self.controller.wait_for(lambda: attempt_id in self.controller.results)
        await self.controller.wait_for(lambda: not self.controller.syncs[-1].held and not self.held())

    def held(self) -> list[str]:
        return [row.attempt_id for row in self._spools[-1].rows()]

    def runs(self) -> list[str]:
        log = self.home / "runs.log"
        return log.read_text().split() if log.exists() else []

    async def close(self) -> None:
        if self._task is not None and not self._task.done():
            self.go()
            await self.end()
        for spool in self._spools:
            spool.close()
        os.close(self._begun)
        os.close(self._go)
