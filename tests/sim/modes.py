"""The power modes of one simulated device: two, and a restart between them.

What decides is `edgerig_agent.protocol.restart`; what stands here is nvpmodel: it
notes a mode, goes down some time later, and comes back in it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from edgerig_agent import attempt_files
from edgerig_agent.processes import Finished
from edgerig_agent.protocol import restart
from edgerig_agent.protocol.power_mode import NVPMODEL, PowerMode
from tests.sim.loop import SimulatedLoop

USUAL, OTHER = "HIGH", "LOW"
_MODES = {USUAL: 0, OTHER: 1}


class SimModes:
    """The mode of a device, over its boots."""

    def __init__(self, loop: SimulatedLoop, rng: random.Random, go_down: Callable[[], None]) -> None:
        self._loop = loop
        self._rng = rng
        self._go_down = go_down
        self.mode = USUAL
        self._noted = USUAL
        self._boots = 0

    def boot(self) -> None:
        """The device comes up in the mode that nvpmodel has noted."""
        self._boots += 1
        self.mode = self._noted

    def forget(self) -> None:
        """The note lies on the disk that was replaced."""
        self.mode = self._noted = USUAL

    def run(self, folder: Path, *, go: bool) -> Finished:
        """Does what `python -m edgerig_agent.protocol.restart` does."""
        home = folder.parent.parent
        with self._on_this_device():
            need = restart.needed(attempt_files.read_trial(folder).settings.power_mode, home, "/")
            if need.needs_restart and go:
                restart.restart(need.mode, home, "/")
        answer = {"needs_restart": need.needs_restart, "mode": need.mode, "problem": need.problem}
        return Finished(0, json.dumps(answer), "")

    def _ask(self, request: dict[str, Any], _home: Path) -> dict[str, Any]:
        if request.get("restart"):
            self._noted = request["stay_in"]
            boot = self._boots
            self._loop.call_later(self._rng.uniform(1.0, 20.0), self._down, boot)
            return {"ok": True}
        wanted = request.get("stay_in") or request["settings"]["power_mode"]
        return {"ok": wanted == self.mode, "needs_restart": wanted != self.mode}

    def _down(self, boot: int) -> None:
        if boot == self._boots:
            self._go_down()

    @contextmanager
    def _on_this_device(self) -> Iterator[None]:
        standing: dict[str, Any] = {
            "read_power_mode": lambda _root: PowerMode(NVPMODEL, self.mode, _MODES[self.mode], _MODES),
            "ask_once": self._ask,
            "restore_stale": lambda _home: "",
            "read_governor": lambda _at: "",
            "read_clock_limits": lambda _at: [],
        }
        with ExitStack() as stack:
            for name, stand_in in standing.items():
                stack.enter_context(mock.patch.object(restart, name, stand_in))
            yield
