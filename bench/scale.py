"""How many devices one controller carries: `python -m bench.scale --json`.

A real controller (`edgerig serve`), bound to two processor cores, and simulated
devices (`edgerig simulate`) in a process of their own: each with its own
certificate, connection and stream over mTLS. A study with many trials waits in
the queue. One person watches it (`bench.scale_watcher`). After a steady window
the controller is killed and started again, and every device has to have synced
anew.

Dispatch is the time from a device's wish for work to the controller's word
that it may begin: Sync, AcceptLease and StartAttempt.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import report
from bench.report import CouldNotRunError, Figure
from edgerig import documents
from edgerig.v1.trial_pb2 import Trial
from edgerig_controller import home as homes
from edgerig_controller.cli.control import existing
from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository
from edgerig_controller.study.prepared import Cell, DeviceSelector, PlannedTrial, Prediction, PreparedStudy

DISPATCH_S, STORM_S, RSS_MIB = 1.0, 30.0, 1024.0
CORES = 2
START_S = 300.0
_UNKNOWN = Prediction(None, "unknown")
_SEEDS = 10


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=50_000)
    parser.add_argument("--trial-s", type=float, default=60.0, help="mean length of a simulated trial")
    parser.add_argument("--window-s", type=float, default=120.0, help="steady window before the restart")
    parser.add_argument(
        "--largest", action="store_true", help="then double the devices until a goal falls short"
    )
    return report.run("scale", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    found = at_size(arguments, arguments.devices)
    if not arguments.largest:
        return found
    largest, devices = 0, arguments.devices
    figures = found
    while all(figure.holds is not False for figure in figures):
        largest, devices = devices, 2 * devices
        report.progress(f"{largest} devices hold; trying {devices}")
        try:
            figures = at_size(arguments, devices)
        except CouldNotRunError as error:
            report.progress(str(error))
            break
    return [*found, Figure("largest_that_holds", largest, "devices")]


def at_size(arguments: argparse.Namespace, devices: int) -> Sequence[Figure]:
    with tempfile.TemporaryDirectory(prefix="edgerig-scale-") as scratch:
        return Scale(Path(scratch), devices, arguments).run()


class Scale:
    """One size: its data folder, its two processes, and what is read off them."""

    def __init__(self, root: Path, devices: int, arguments: argparse.Namespace) -> None:
        self._root = root
        self._devices = devices
        self._trials: int = arguments.trials
        self._trial_s: float = arguments.trial_s
        self._window_s: float = arguments.window_s
        self._home = Home(root / "data")
        self._ports = free_ports(3)
        self._cores = sorted(os.sched_getaffinity(0))[:CORES]

    def run(self) -> Sequence[Figure]:
        homes.prepare(self._home)
        began_s = time.monotonic()
        study_id = queue_trials(self._home, self._trials)
        queued_s = time.monotonic() - began_s
        report.progress(f"{self._trials} trials stand in the queue after {queued_s:.1f} s")
        with contextlib.ExitStack() as stack:
            controller = stack.enter_context(self._controller())
            simulator = stack.enter_context(self._simulator())
            began_s = time.monotonic()
            self._until(lambda told: told["connected"] >= self._devices, simulator, "connecting all devices")
            joining_s = time.monotonic() - began_s
            counted = asyncio.run(connections(self._home))
            report.progress(f"the controller counts {counted} connected devices after {joining_s:.0f} s")
            watcher = stack.enter_context(self._watcher(study_id))
            self._pause(self._trial_s, simulator)
            first, cpu_s = self._told(), process_cpu_s(controller.pid)
            self._pause(self._window_s, simulator)
            last, ended_cpu_s = self._told(), process_cpu_s(controller.pid)
            watched = self._watched(watcher)
            rss_mib = rss(controller.pid)
            controller.kill()
            controller.wait()
            killed_unix_s = time.time()
            again = stack.enter_context(self._controller())
            back_unix_s = self._serving_since()
            self._until(
                lambda told: min(told["last_sync_unix_s"]) > killed_unix_s, simulator, "a Sync of each device"
            )
            told = self._told()
            rss_mib = max(rss_mib, rss(again.pid))
        window_s = last["at_unix_s"] - first["at_unix_s"]
        new = max(0, len(last["dispatch_s"]) - len(first["dispatch_s"]))
        dispatch_s = sorted(recent(first["dispatch_s"], last["dispatch_s"]))
        if not dispatch_s:
            raise CouldNotRunError("no trial was dispatched in the window; make it longer than a trial")
        p95_s, storm_s = quantile(dispatch_s, 0.95), max(told["last_sync_unix_s"]) - back_unix_s
        return [
            Figure("devices", self._devices, "count"),
            at_least("connections_counted_by_the_controller", counted, self._devices),
            Figure("queued_trials", self._trials, "count"),
            Figure("enrolled_and_connected", joining_s, "s"),
            Figure("dispatch_p50", quantile(dispatch_s, 0.5), "s"),
            at_most("dispatch_p95", p95_s, "s", DISPATCH_S),
            Figure("dispatch_max", dispatch_s[-1], "s"),
            Figure("dispatches", new, "count"),
            Figure("committed_per_s", (last["committed"] - first["committed"]) / window_s, "1/s"),
            at_most("sync_storm", storm_s, "s", STORM_S),
            at_most("controller_rss", rss_mib, "MiB", RSS_MIB),
            Figure("controller_cores", len(self._cores), "count"),
            Figure("controller_cpu_share", (ended_cpu_s - cpu_s) / window_s, "cores"),
            Figure("controller_cpu_per_dispatch", (ended_cpu_s - cpu_s) / max(new, 1), "s"),
            Figure("simulator_cpu_share", (last["cpu_s"] - first["cpu_s"]) / window_s, "cores"),
            Figure("calls_that_failed_before_the_restart", last["failed_calls"], "count"),
            Figure("messages_to_the_watcher", watched["messages"], "count"),
            Figure("longest_pause_of_the_watcher", watched["longest_pause_s"], "s"),
        ]

    @contextlib.contextmanager
    def _controller(self) -> Iterator[subprocess.Popen[bytes]]:
        control, agents, enroll = self._ports
        command = [sys.executable, "-m", "edgerig_controller.serve", "--data", str(self._home.root)]
        command += [
            "--control-port",
            str(control),
            "--agents-port",
            str(agents),
            "--enroll-port",
            str(enroll),
        ]
        with running(command, self._root / "serve.log", self._cores) as child:
            self._wait(lambda: homes.read_endpoint(self._home) is not None, child, "the controller's start")
            yield child

    @contextlib.contextmanager
    def _simulator(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "edgerig_controller.cli.main", "simulate"]
        command += ["--data", str(self._home.root), "--devices", str(self._devices)]
        command += ["--trial-s", str(self._trial_s), "--tell", str(self._tell)]
        with running(command, self._root / "simulate.log", None) as child:
            yield child

    @contextlib.contextmanager
    def _watcher(self, study_id: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "bench.scale_watcher", str(self._home.root), study_id]
        with running(command, self._root / "watch.log", None) as child:
            yield child

    def _watched(self, watcher: subprocess.Popen[bytes]) -> dict[str, float]:
        watcher.send_signal(signal.SIGTERM)
        watcher.wait(START_S)
        try:
            written = (self._root / "watch.log").read_text().strip()
            document: dict[str, float] = json.loads(written.splitlines()[-1])
        except (ValueError, IndexError) as error:
            raise CouldNotRunError(f"the watcher ended; {tail(self._root)}") from error
        return document

    @property
    def _tell(self) -> Path:
        return self._root / "told.json"

    def _told(self) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads(self._tell.read_text())
        except FileNotFoundError:
            return {"connected": 0, "last_sync_unix_s": [0.0]}
        return document

    def _serving_since(self) -> float:
        return self._home.endpoint_path.stat().st_mtime

    def _until(
        self, holds: Callable[[dict[str, Any]], bool], child: subprocess.Popen[bytes], what: str
    ) -> None:
        self._wait(lambda: holds(self._told()), child, what)

    def _wait(self, condition: Callable[[], bool], child: subprocess.Popen[bytes], what: str) -> None:
        deadline_s = time.monotonic() + START_S + 0.1 * self._devices
        while not condition():
            if child.poll() is not None:
                raise CouldNotRunError(f"{what}: a process ended; {tail(self._root)}")
            if time.monotonic() > deadline_s:
                raise CouldNotRunError(f"{what} did not happen in time; {tail(self._root)}")
            time.sleep(0.2)

    def _pause(self, duration_s: float, child: subprocess.Popen[bytes]) -> None:
        time.sleep(duration_s)
        if child.poll() is not None:
            raise CouldNotRunError(f"the simulator ended; {tail(self._root)}")


def queue_trials(home: Home, count: int) -> str:
    """Registers a study with so many trials, as SubmitStudy does after planning; returns its id."""
    cells = -(-count // _SEEDS)
    planned = [PlannedTrial(index // _SEEDS, trial(index)) for index in range(count)]
    prepared = PreparedStudy(
        name="scale",
        digest=documents.digest({"scale": count}),
        resolved={},
        source_yaml="",
        cells=tuple(
            Cell(index, {"cell": index}, f"cell {index}", _UNKNOWN, _UNKNOWN) for index in range(cells)
        ),
        trials=tuple(planned),
        exclusions=(),
        devices=DeviceSelector(),
        blobs=frozenset(),
    )
    repository = Repository.open(home)
    row, _, _ = repository.create_study(prepared, reuse=False, now_unix_s=time.time())
    repository.close()
    return row.study_id


def trial(index: int) -> Trial:
    made = Trial(schema_version=1, seed=index % _SEEDS, repeat=1, dtype=f"cell{index // _SEEDS}")
    made.budgets.attempt.duration_s = 3600
    made.digest = documents.digest(documents.to_json(made))
    return made


async def connections(home: Home) -> int:
    """Asks the controller how many devices are connected."""
    async with existing(home) as control:
        status = await control.status()
    return sum(device.connected for device in status.devices)


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, cores: Sequence[int] | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a process for as long as the block lasts, on these cores."""
    with log.open("ab") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    if cores is not None:
        os.sched_setaffinity(child.pid, cores)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def recent(before: Sequence[float], after: Sequence[float]) -> list[float]:
    """Returns what came into `after` since `before`; both hold the durations device by device."""
    left: dict[float, int] = {}
    for value in before:
        left[value] = left.get(value, 0) + 1
    found = []
    for value in after:
        if left.get(value, 0):
            left[value] -= 1
        else:
            found.append(value)
    return found


def quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def at_most(name: str, value: float, unit: str, goal: float) -> Figure:
    return Figure(name, value, unit, goal=f"<= {goal:g} {unit}", holds=value <= goal)


def at_least(name: str, value: float, goal: float) -> Figure:
    return Figure(name, value, "count", goal=f">= {goal:g}", holds=value >= goal)


def free_ports(count: int) -> list[int]:
    """Returns ports that are free now; a restarted controller must have the same ones.

    They lie below the ports that the kernel gives to clients: a client that
    dials a port of its own range on its own machine may in the end reach itself,
    and then nobody can listen there.
    """
    first_client = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    rng = random.Random()
    found: list[int] = []
    while len(found) < count:
        port = rng.randrange(first_client - 10_000, first_client)
        with socket.socket() as opened, contextlib.suppress(OSError):
            opened.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


def rss(pid: int) -> float:
    """Returns VmHWM, the peak resident set, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise CouldNotRunError(f"process {pid} has ended")


def process_cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tail(root: Path) -> str:
    logs = [path.read_text(errors="replace")[-500:] for path in sorted(root.glob("*.log"))]
    return " | ".join(logs)


if __name__ == "__main__":
    sys.exit(main())
