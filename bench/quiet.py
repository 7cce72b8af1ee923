"""What crosses the wire while a phase is timed, and what the agent uses: `python -m bench.quiet --json`.

A real controller (in this process, so that its messages can be counted where
they arrive), a real agent and a real attempt with the built-in method `spin`.
The window lies inside the timed work. Every unary call and every message of a
stream counts, in both directions; HTTP/2 pings are the channel's and do not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from bench import guardian, report
from bench.idle import join, process, states
from bench.report import CouldNotRunError, Figure
from edgerig_controller import home as homes
from edgerig_controller.cli.control import connect
from edgerig_controller.home import Endpoint, Home
from edgerig_controller.rpc import interceptors
from edgerig_controller.serve import Options, serve

CPU_S = 0.05
DEVICE = "quiet"
START_S = 90.0
# After `began`: interpreters start and the model is looked at; then only work is left.
_SETTLE_S = 5.0

STUDY = """
edgerig: 1
name: quiet
protocol: quick
devices: {{names: [quiet]}}
seeds: [1]
tasks: [{{name: lamp-2, source: synthetic, users: 2, items_per_user: 1}}]
factors:
  model: [starter/small]
  method: [{{kind: spin, duration_s: {duration_s}}}]
  compression: [{{kind: none}}]
  history: [4]
budgets: {{attempt: {{duration_s: 3600}}}}
inference: {{prompt_tokens: 8, new_tokens: 4, batch: 1, requests: 1}}
protocol_overrides: {{idle_s: 0}}
"""


class Counting(interceptors.Guard):
    """The controller's own guard, which also notes every message of the agents' listener."""

    seen: list[tuple[float, str]] = []  # noqa: RUF012 - one list for all listeners is meant

    def _unary(self, method: Any, name: str) -> Any:
        async def noted(request: Any, context: Any) -> Any:
            self.note(name, "call")
            return await method(request, context)

        return super()._unary(noted, name)

    def _stream(self, method: Any, name: str) -> Any:
        def noted(request: Any, context: Any) -> AsyncIterator[Any]:
            return self._outgoing(method(self._incoming(request, name), context), name)

        return super()._stream(noted, name)

    async def _incoming(self, requests: Any, name: str) -> AsyncIterator[Any]:
        async for message in requests:
            self.note(name, "in")
            yield message

    async def _outgoing(self, responses: Any, name: str) -> AsyncIterator[Any]:
        async for message in responses:
            self.note(name, "out")
            yield message

    def note(self, name: str, way: str) -> None:
        if "AgentService" in name:
            self.seen.append((time.monotonic(), f"{name.rpartition('/')[2]} {way}"))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--window-s", type=float, default=60.0)
    return report.run("quiet", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    with (
        tempfile.TemporaryDirectory(prefix="edgerig-quiet-") as scratch,
        guardian.watching(Path(scratch)),
        mock.patch("edgerig_controller.rpc.listeners.Guard", Counting),
    ):
        return asyncio.run(watch(Path(scratch), arguments.window_s))


async def watch(root: Path, window_s: float) -> Sequence[Figure]:
    home = Home(root / "data")
    homes.prepare(home)
    ready: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    with homes.lock(home):
        serving = asyncio.create_task(serve(home, Options(), on_ready=ready.set_result, stop=stop))
        try:
            return await with_agent(home, root, await ready, window_s)
        finally:
            stop.set()
            await serving


async def with_agent(home: Home, root: Path, endpoint: Endpoint, window_s: float) -> Sequence[Figure]:
    agent_home = root / "agent"
    await join(home, DEVICE, agent_home)
    command = [sys.executable, "-m", "edgerig_agent.cli", "run", "--home", str(agent_home)]
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(process(command, root / "agent.log"))
        await until(lambda: states(home), {DEVICE: (True, True)}, "the agent's connection")
        async with connect(home, endpoint) as control:
            study = root / "quiet.yaml"
            yaml = STUDY.format(duration_s=window_s + 4 * _SETTLE_S)
            submitted = await control.submit(yaml, study, reuse=False)
            report.progress("submitted; waiting for the attempt to begin")
            await until(lambda: began(agent_home), True, "the attempt's beginning")
            await asyncio.sleep(_SETTLE_S)
            figures = await window(agent.pid, window_s)
            await control.cancel(submitted.study_id)
            await until(lambda: began(agent_home), False, "the end of the attempt")
    return figures


async def window(pid: int, window_s: float) -> Sequence[Figure]:
    """Watches the agent for the window."""
    began_s, before_s = time.monotonic(), cpu_s(pid)
    await asyncio.sleep(window_s)
    ended_s, used_s = time.monotonic(), cpu_s(pid) - before_s
    inside = [what for at_s, what in Counting.seen if began_s <= at_s <= ended_s]
    for what in inside:
        report.progress(f"in the window: {what}")
    total = len(Counting.seen)
    if not total:
        raise CouldNotRunError("no message was counted at all, so the counting does not work")
    return [
        Figure("messages_in_window", len(inside), "count", goal="0", holds=not inside),
        Figure(
            "agent_cpu", used_s, "s", goal=f"<= {CPU_S:g} s a minute", holds=used_s <= CPU_S * window_s / 60
        ),
        Figure("window", ended_s - began_s, "s"),
        Figure("messages_before", total - len(inside), "count"),
    ]


def cpu_s(pid: int) -> float:
    """Returns the time on a processor of all threads, in s; the kernel counts it in ns."""
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns * 1e-9


async def began(home: Path) -> bool:
    return any(home.glob("attempts/*/began"))


async def until(look: Any, wanted: Any, what: str) -> None:
    deadline_s = time.monotonic() + START_S
    while await look() != wanted:
        if time.monotonic() > deadline_s:
            raise CouldNotRunError(f"{what} did not happen within {START_S:.0f} s")
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
