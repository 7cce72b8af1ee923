"""Silence on either side, and a controller that is gone: `python -m bench.outages --json`.

Real processes, real waits. The agent is stopped (SIGSTOP) while it runs an
attempt: when does the controller say that it is offline, and when is it back
after SIGCONT? The same for the controller. Then the controller is killed, stays
away, and comes back: when has each of several agents reconnected?
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import guardian, report
from bench.idle import join, process, states
from bench.quiet import STUDY
from bench.report import CouldNotRunError, Figure
from bench.scale import at_most, free_ports, quantile
from edgerig_controller import home as homes
from edgerig_controller.cli.control import existing
from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository

OFFLINE_S, BACK_S = 45.0, 15.0
START_S = 90.0
_POLL_S = 0.1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=int, default=8, help="agents of the last part")
    parser.add_argument("--down-s", type=float, default=90.0, help="how long the controller is gone")
    parser.add_argument("--rounds", type=int, default=1, help="repeats of the last part")
    return report.run("outages", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    with (
        tempfile.TemporaryDirectory(prefix="edgerig-outages-") as scratch,
        # An attempt is a process of its own: it would outlive everything else here.
        guardian.watching(Path(scratch), end=True),
        contextlib.ExitStack() as stack,
    ):
        lab = Lab(Path(scratch), stack)
        lab.serve()
        lab.agent("quiet")
        lab.submit()
        figures = [*lab.frozen_agent(), *lab.frozen_controller()]
        for number in range(1, arguments.agents):
            lab.agent(f"agent-{number}")
        rounds = [lab.absence(arguments.down_s) for _ in range(arguments.rounds)]
        # One of them measures and dials more seldom; it counts like the others.
        measuring_s = max(found["quiet"] for found in rounds)
        back_s = sorted(value for found in rounds for value in found.values())
        return [
            *figures,
            at_most("measuring_agent_reconnected", measuring_s, "s", BACK_S),
            Figure("reconnects", len(back_s), "count"),
            Figure("reconnected_p50", quantile(back_s, 0.5), "s"),
            at_most("reconnected_p95", quantile(back_s, 0.95), "s", BACK_S),
            Figure("reconnected_max", back_s[-1], "s"),
        ]


class Lab:
    """One controller and its agents."""

    def __init__(self, root: Path, stack: contextlib.ExitStack) -> None:
        self._root = root
        self._stack = stack
        self._home = Home(root / "data")
        homes.prepare(self._home)
        self._ports = [str(port) for port in free_ports(3)]
        self._agents: dict[str, Any] = {}
        self._controller: Any = None

    def serve(self) -> None:
        control, agents, enroll = self._ports
        command = [sys.executable, "-m", "edgerig_controller.serve", "--data", str(self._home.root)]
        command += ["--control-port", control, "--agents-port", agents, "--enroll-port", enroll]
        self._controller = self._stack.enter_context(process(command, self._root / "serve.log"))
        self._until(lambda: homes.read_endpoint(self._home) is not None, "the controller's start")

    def agent(self, name: str) -> None:
        folder = self._root / name
        asyncio.run(join(self._home, name, folder))
        command = [sys.executable, "-m", "edgerig_agent.cli", "run", "--home", str(folder)]
        self._agents[name] = self._stack.enter_context(process(command, self._root / f"{name}.log"))
        self._until(lambda: self._connected(name), f"the connection of {name}")

    def submit(self) -> None:
        """Gives the first agent an attempt that outlasts the freezing."""

        async def submit() -> None:
            async with existing(self._home) as control:
                await control.submit(STUDY.format(duration_s=600), self._root / "quiet.yaml", reuse=False)

        asyncio.run(submit())
        self._until(lambda: self._attempt_state() == "running", "the attempt's beginning")

    def frozen_agent(self) -> Sequence[Figure]:
        report.progress("the agent is stopped")
        pid = self._agents["quiet"].pid
        with frozen(pid):
            offline_s = self._until(lambda: not self._connected("quiet"), "the agent's being offline")
        back_s = self._until(lambda: self._connected("quiet"), "the agent's return")
        return [
            at_most("stopped_agent_offline", offline_s, "s", OFFLINE_S),
            Figure("stopped_agent_back", back_s, "s"),
            self._reconciled("attempt_goes_on_after_stopped_agent"),
        ]

    def frozen_controller(self) -> Sequence[Figure]:
        report.progress("the controller is stopped")
        log = self._root / "quiet" / "agent.log"
        before = log.stat().st_size
        with frozen(self._controller.pid):
            noticed_s = self._until(lambda: log.stat().st_size > before, "the agent's noticing")
        back_s = self._until(lambda: self._connected("quiet"), "the agent's return")
        return [
            at_most("stopped_controller_noticed", noticed_s, "s", OFFLINE_S),
            Figure("stopped_controller_back", back_s, "s"),
            self._reconciled("attempt_goes_on_after_stopped_controller"),
        ]

    def absence(self, down_s: float) -> dict[str, float]:
        """Kills the controller, brings it back, and returns when each agent was there again, in s."""
        report.progress(f"the controller is gone for {down_s:g} s")
        self._controller.kill()
        self._controller.wait()
        time.sleep(down_s)
        self.serve()
        began_s = time.monotonic()
        back_s: dict[str, float] = {}
        while len(back_s) < len(self._agents):
            for name, (connected, _) in asyncio.run(states(self._home)).items():
                if connected and name in self._agents:
                    back_s.setdefault(name, time.monotonic() - began_s)
            if time.monotonic() - began_s > START_S:
                raise CouldNotRunError(f"only {len(back_s)} of {len(self._agents)} agents came back")
            time.sleep(_POLL_S)
        return back_s

    def _reconciled(self, name: str) -> Figure:
        state = self._attempt_state()
        return Figure(name, float(state == "running"), "bool", goal="running", holds=state == "running")

    def _attempt_state(self) -> str:
        repository = Repository.open_readonly(self._home)
        try:
            rows = repository.attempts(repository.find_study("quiet").study_id)
        finally:
            repository.close()
        return rows[-1].state if rows else ""

    def _connected(self, name: str) -> bool:
        connected, has_inventory = asyncio.run(states(self._home)).get(name, (False, False))
        return connected and has_inventory

    def _said(self) -> str:
        """Returns the end of what the controller printed."""
        log = self._root / "serve.log"
        return f": {log.read_text()[-500:]}" if log.exists() else ""

    def _until(self, condition: Callable[[], bool], what: str) -> float:
        """Returns after how many seconds the condition held."""
        began_s = time.monotonic()
        while not condition():
            if time.monotonic() - began_s > START_S:
                raise CouldNotRunError(f"{what} did not happen within {START_S:.0f} s{self._said()}")
            time.sleep(_POLL_S)
        return time.monotonic() - began_s


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stops a process for the length of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


if __name__ == "__main__":
    sys.exit(main())
