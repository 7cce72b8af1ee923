"""A controller and an agent that are started again whenever they die, as systemd would, and a killer."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.system.rig import Rig, until

WORKER, AGENT, CONTROLLER = "edgerig_workload", "edgerig_agent.cli", "edgerig_controller.serve"
_LONGEST_S = 1.2


@dataclass
class Supervised:
    """The two daemons of one data folder, kept alive."""

    rig: Rig
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, part: str) -> None:
        data = str(self.rig.data)
        command = {
            CONTROLLER: ["--data", data, "--embedded"],
            AGENT: ["run", "--home", f"{data}/agent", "--embedded"],
        }[part]
        self.daemons[part] = subprocess.Popen(
            [sys.executable, "-m", part, *command],
            env=self.rig.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self, part: str) -> None:
        """kill -9, and a new one at once."""
        daemon = self.daemons.get(part)
        if daemon is not None and daemon.poll() is None:
            daemon.kill()
        for process in self.rig.processes(part):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait(10)
        if daemon is not None:
            daemon.wait(10)
        self.start(part)

    def workers(self) -> list[psutil.Process]:
        return [
            process
            for process in self.rig.processes(WORKER)
            if " run " in f" {' '.join(process.cmdline())} " and process.status() != psutil.STATUS_ZOMBIE
        ]

    def stop(self) -> None:
        for daemon in self.daemons.values():
            daemon.kill()
            daemon.wait(10)


@dataclass(frozen=True)
class Killed:
    """What was killed; `survived` counts the agent's deaths that its worker outlived."""

    counts: Counter[str]
    survived: int


def harass(supervised: Supervised, parts: Sequence[str], seed: int, *, finished: Any) -> Killed:
    """Kills these, each once and in an order of the seed, at moments of the seed."""
    rng = random.Random(seed)
    order = list(parts)
    rng.shuffle(order)
    counts: Counter[str] = Counter()
    survived = 0
    for part in order:
        # The moment is the experiment; nothing is waited for here.
        time.sleep(rng.uniform(0.1, _LONGEST_S))
        if finished():
            break
        if part == WORKER:
            workers = await_worker(supervised, finished)
            with contextlib.suppress(psutil.NoSuchProcess):
                for worker in workers:
                    worker.kill()
                    counts[part] += 1
            continue
        # Most moments of short trials have no worker; one agent at least dies while a worker runs.
        met = part == AGENT and not survived
        before = await_worker(supervised, finished) if met else quietly(supervised.workers)
        supervised.kill(part)
        counts[part] += 1
        if part == AGENT:
            survived += any(alive(worker) for worker in before)
    return Killed(counts, survived)


def await_worker(supervised: Supervised, finished: Any) -> list[psutil.Process]:
    """Returns the workers as soon as there is one; none when the study ends before."""
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = quietly(supervised.workers)
        return bool(found) or finished()

    until(look, 60, lambda: f"no worker within a minute\n{supervised.rig.logs()}")
    return found


def quietly(workers: Any) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = workers()
    except psutil.NoSuchProcess:
        return []
    return found


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def ask(rig: Rig, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Reads the store of a rig, also while its controller writes."""
    with contextlib.closing(
        sqlite3.connect(f"file:{rig.data / 'store.db'}?mode=ro", uri=True, timeout=10)
    ) as database:
        return database.execute(query, values).fetchall()


def is_finished(rig: Rig) -> bool:
    return ask(rig, "SELECT count(*) FROM trial WHERE state NOT IN ('done', 'cancelled')") == [(0,)]
