"""One schedule from beginning to end.

outcome = run(seed)
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from tests.sim import disk as disks
from tests.sim import studies
from tests.sim.faults import Plan, draw
from tests.sim.loop import SimulatedLoop, StandstillError
from tests.sim.world import Outcome, Say, World

_REPLACED: dict[str, Any] = {
    # Small pieces, so that even the files of a simulated attempt travel in several.
    "edgerig_agent.transfer.CHUNK_BYTES": 400,
    "edgerig_controller.rpc.agents.CHUNK_BYTES": 400,
    # The certificate that `tests.controller.store.building` has stored.
    "edgerig_controller.rpc.agents.certificate_serial": lambda context: f"{context.device_id}-1",
}


def run(seed: int, *, plan: Plan | None = None, say: Say | None = None, root: Path | None = None) -> Outcome:
    """Runs the schedule of a seed; `plan` replaces what the seed would draw."""
    disks.watch()
    folder = _make_folder(seed, root or _fast_folder())
    loop = SimulatedLoop()
    incidents: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(_collected_between())
        stack.enter_context(_quiet(incidents))
        for name, value in _REPLACED.items():
            stack.enter_context(mock.patch(name, value))
        world = World(seed, plan if plan is not None else draw(seed, studies.DEVICES), loop, folder, say)
        try:
            loop.run_until_complete(world.run())
        except StandstillError as error:
            world.outcome.violations.append(f"standstill: {error}")
        finally:
            world.kill_everybody()
            _drain(loop)
            world.clear()
            shutil.rmtree(folder, ignore_errors=True)
    world.outcome.violations += incidents
    world.outcome.simulated_s = loop.time()
    loop.close()
    return world.outcome


def _drain(loop: SimulatedLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=1000.0))


@contextmanager
def _collected_between() -> Iterator[None]:
    """Keeps the collector from ending generators in the middle of a schedule, at moments of its own."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        _collect()
        if was_on:
            gc.enable()


_schedules = itertools.count(1)


def _collect() -> None:
    count = next(_schedules)
    if count % 500 == 0:
        gc.collect()
    elif count % 20 == 0:
        # What the last schedules left; walking through all that is loaded takes as long as two of them.
        gc.collect(1)


class _quiet:  # noqa: N801 - used as a statement
    """Keeps the programs' logs away, but for the controller's faults of its own."""

    def __init__(self, incidents: list[str]) -> None:
        self._handler = _Incidents(incidents)
        self._before: list[tuple[logging.Logger, int, bool]] = []

    def __enter__(self) -> None:
        for name in ("edgerig_agent", "edgerig_controller"):
            logger = logging.getLogger(name)
            self._before.append((logger, logger.level, logger.propagate))
            logger.setLevel(logging.ERROR)
            logger.propagate = False
            logger.addHandler(self._handler)

    def __exit__(self, *_error: object) -> None:
        for logger, level, propagate in self._before:
            logger.setLevel(level)
            logger.propagate = propagate
            logger.removeHandler(self._handler)


class _Incidents(logging.Handler):
    def __init__(self, incidents: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._incidents = incidents

    def emit(self, record: logging.LogRecord) -> None:
        if "incident" in record.msg and record.exc_info and isinstance(record.exc_info[1], Exception):
            self._incidents.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


def _make_folder(seed: int, root: Path) -> Path:
    """Makes a folder whose name follows from the seed: it stands in messages, and those in results."""
    folder = root / f"edgerig-sim-{os.getuid()}-{seed}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        # Somebody runs the same seed at this moment, or was killed in it.
        return Path(tempfile.mkdtemp(prefix="edgerig-sim-", dir=root))
    return folder


def _fast_folder() -> Path:
    shared = Path("/dev/shm")
    return shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
