"""What an idle agent costs: memory and processor time of a connected daemon beside a bare client.

    python -m bench.idle [--minutes 10] [--json]

A real controller, a real daemon and a bare grpc.aio client with the same
channel options run side by side over mTLS; each client has one idle stream.
Memory is VmRSS at the end of the window, processor time the sum over all
threads in it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report import CouldNotRunError, Figure, progress, run
from edgerig.errors import EdgerigError
from edgerig_agent.enroll import enroll
from edgerig_controller import home as homes
from edgerig_controller.cli.control import connect
from edgerig_controller.home import Home

MIB = 1024 * 1024
RSS_GOAL_MIB = 50.0
ABOVE_BARE_GOAL_MIB = 8.0
CPU_GOAL_S_PER_MINUTE = 0.06
START_S = 60.0
SETTLE_S = 20.0
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
# Shared objects of libraries that an idle daemon must not have loaded.
HEAVY = ("/numpy/", "/torch/", "/psutil/", "/cryptography/", "/pydantic", "libnvidia-ml")


@dataclass(frozen=True)
class Usage:
    """One look at a process: processor time since its start, all threads, ended ones included."""

    cpu_s: float
    at_s: float


def usage(pid: int) -> Usage:
    """Reads /proc/PID/stat; the kernel counts in nanoseconds and shows whole ticks."""
    at_s = time.monotonic()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage((int(fields[11]) + int(fields[12])) * TICK_S, at_s)


def rss_mib(pid: int) -> float:
    """Reads VmRSS."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise CouldNotRunError(f"process {pid} has ended")


def heavy_libraries(pid: int) -> list[str]:
    """Lists the forbidden libraries that a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return [name for name in HEAVY if name in maps]


@contextlib.contextmanager
def process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a process for as long as the block lasts; its output goes to a file."""
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait_until(condition: Callable[[], bool], what: str, children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Waits for a start-up condition; nothing is measured yet."""
    deadline_s = time.monotonic() + START_S
    while not condition():
        if any(child.poll() is not None for child in children) or time.monotonic() > deadline_s:
            raise CouldNotRunError(f"{what} did not happen within {START_S:.0f} s, or a process ended")
        time.sleep(0.2)


async def join(home: Home, device_id: str, folder: Path) -> None:
    """Enrolls a device with the running controller, through the same code path as any other."""
    endpoint = homes.read_endpoint(home)
    if endpoint is None:
        raise CouldNotRunError("the controller has ended")
    async with connect(home, endpoint) as control:
        ticket = await control.add_device(device_id, [], 600.0)
    await asyncio.to_thread(
        enroll,
        folder,
        ticket.enroll_address,
        ticket.agents_address,
        device_id,
        ticket.token,
        ticket.ca_spki_sha256,
    )


async def states(home: Home) -> dict[str, tuple[bool, bool]]:
    """Returns device id -> (connected, has inventory), as the controller sees it."""
    endpoint = homes.read_endpoint(home)
    if endpoint is None:
        return {}
    async with connect(home, endpoint) as control:
        status = await control.status()
    return {device.device_id: (device.connected, device.has_inventory) for device in status.devices}


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Starts everything, lets it settle, and compares two looks at each process."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        root = Path(scratch)
        home = homes.resolve(str(root / "data"), os.environ)
        python = [sys.executable, "-m"]
        controller = stack.enter_context(
            process(
                [sys.executable, "-m", "edgerig_controller.serve", "--data", str(home.root)],
                root / "serve.log",
            )
        )
        wait_until(
            lambda: home.root.exists() and homes.read_endpoint(home) is not None,
            "the controller's start",
            [controller],
        )
        try:
            for name in ("daemon", "bare"):
                asyncio.run(join(home, name, root / name))
        except EdgerigError as error:
            raise CouldNotRunError(str(error)) from error
        daemon = stack.enter_context(
            process(
                [*python, "edgerig_agent.cli", "run", "--home", str(root / "daemon")], root / "daemon.log"
            )
        )
        bare = stack.enter_context(
            process([*python, "bench.bare_client", str(root / "bare")], root / "bare.log")
        )
        wait_until(
            lambda: asyncio.run(states(home)) == {"daemon": (True, True), "bare": (True, False)},
            "connecting and reporting the device's facts",
            [controller, daemon, bare],
        )
        return compare(daemon.pid, bare.pid, arguments.minutes)


def compare(daemon: int, bare: int, minutes: float) -> list[Figure]:
    """Measures both processes over the same window."""
    progress(f"connected; settling for {SETTLE_S:.0f} s, then watching for {minutes:g} min")
    time.sleep(SETTLE_S)
    before = {pid: usage(pid) for pid in (daemon, bare)}
    time.sleep(60.0 * minutes)
    after = {pid: usage(pid) for pid in (daemon, bare)}
    rss = {pid: rss_mib(pid) for pid in (daemon, bare)}
    heavy = heavy_libraries(daemon)
    if heavy:
        progress(f"the daemon has loaded {', '.join(heavy)}")
    return [
        at_most("daemon_rss", rss[daemon], "MiB", RSS_GOAL_MIB),
        Figure("bare_client_rss", rss[bare], "MiB"),
        at_most("daemon_rss_above_bare_client", rss[daemon] - rss[bare], "MiB", ABOVE_BARE_GOAL_MIB),
        cpu_per_minute("daemon_cpu_per_minute", before[daemon], after[daemon], CPU_GOAL_S_PER_MINUTE),
        cpu_per_minute("bare_client_cpu_per_minute", before[bare], after[bare], None),
        at_most("daemon_heavy_libraries", float(len(heavy)), "count", 0.0),
        Figure("window", after[daemon].at_s - before[daemon].at_s, "s"),
    ]


def at_most(name: str, value: float, unit: str, goal: float) -> Figure:
    """Makes a figure with an upper goal."""
    return Figure(name, value, unit, goal=f"<= {goal:g} {unit}", holds=value <= goal)


def cpu_per_minute(name: str, before: Usage, after: Usage, goal_s: float | None) -> Figure:
    """Makes the figure of processor seconds a minute; its bounds are the rounding to ticks."""
    minutes = (after.at_s - before.at_s) / 60.0
    ran_s = after.cpu_s - before.cpu_s
    value, low, high = ran_s / minutes, max(0.0, ran_s - TICK_S) / minutes, (ran_s + TICK_S) / minutes
    if goal_s is None:
        return Figure(name, value, "s", low, high)
    # Judged by the upper bound: rounding must not make the goal hold.
    return Figure(name, value, "s", low, high, f"<= {goal_s:g} s", high <= goal_s)


def main() -> int:
    """Parses the command line and prints the document."""
    parser = argparse.ArgumentParser(prog="python -m bench.idle", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the window (default 10)")
    return run("idle", measure, parser)


if __name__ == "__main__":
    sys.exit(main())
