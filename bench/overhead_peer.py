"""What optimum-benchmark's process launcher costs the same work.

It runs unchanged in an environment of its own (never a dependency) that sees the torch and the
transformers of this one. Its launcher starts the worker; the worker does the kernels of
bench/overhead_work.py under its own trackers: latency around every call, memory and energy
around all of it, as its training scenario does. Its inference scenario takes latency in a pass of
its own, so a decoded token is also timed with the latency tracker alone.

Blocks of about a second come in quadruples ABBA or BAAB: A is a process of the same interpreter that
times its calls and measures nothing, B is the peer. While one of them works all processes of the
other are stopped. The unit of the interval is a launch: fresh processes on both sides.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bench.peers import default_cache
from bench.ratios import Arm
from bench.report import CouldNotRunError, Figure, progress
from edgerig_agent.accounting import cpu_time_s

NAME = "optimum_benchmark"
PINNED = "optimum-benchmark==0.6.0"
# What it imports and this project does not have; the rest (torch, transformers, pandas, ...) is this one's.
_BESIDE = (
    "hydra-core==1.3.8",
    "omegaconf==2.4.0",
    "antlr4-python3-runtime==4.9.3",
    "hydra-colorlog==1.2.0",
    "colorlog==6.12.0",
    "flatten-dict==0.5.0",
)
_WITH_DEPENDENCIES = ("codecarbon==3.3.2",)
_INSTALL_S = 900
_START_S = 300.0
_BLOCK_S = 1.0
# Timers that ran out while a process was stopped fire first; the clock starts after them.
_SETTLE_S = 0.3
_ROOT = Path(__file__).resolve().parents[1]
ALL, LATENCY = "all", "latency"
# Figure, kernel, and the trackers that are on.
_COMPARISONS = (
    ("decode_token_latency_tracker", "decode_token", LATENCY),
    ("train_step", "train_step", ALL),
    ("decode_token", "decode_token", ALL),
)

_DRIVER = """
import os, sys
from contextlib import ExitStack
sys.path.append(sys.argv[1])

def work(asked, answers):
    from bench.overhead_work import serve
    from optimum_benchmark.benchmark.report import BenchmarkReport
    from optimum_benchmark.trackers.energy import EnergyTracker
    from optimum_benchmark.trackers.latency import LatencySessionTracker
    from optimum_benchmark.trackers.memory import MemoryTracker

    latency = LatencySessionTracker(device="cpu", backend="pytorch")

    def tracked(kernel, calls):
        with latency.session():
            for _ in range(calls):
                with latency.track():
                    kernel()
        return latency.get_latency().values

    with open(asked) as lines, open(answers, "w") as said, ExitStack() as on:
        serve(lines, said, tracked, until="all")
        on.enter_context(MemoryTracker(device="cpu", backend="pytorch").track())
        on.enter_context(EnergyTracker(device="cpu", backend="pytorch").track(task_name="work"))
        serve(lines, said, tracked, until="end")
    return BenchmarkReport.from_list(targets=["work"])

if __name__ == "__main__":
    from optimum_benchmark.launchers.process.config import ProcessConfig
    from optimum_benchmark.launchers.process.launcher import ProcessLauncher
    ProcessLauncher(ProcessConfig()).launch(work, sys.argv[2:4])
"""


@dataclass
class Side:
    """One of the two that take turns: its worker's pipes, and the process above all of its own."""

    name: str
    top: subprocess.Popen[bytes]
    asked: IO[str]
    answers: IO[str]
    log: Path
    worker: int = 0

    def ready(self) -> None:
        """Waits until the worker has its model."""
        self.worker = int(self._answer()["pid"])

    def block(self, kernel: str, calls: int) -> dict[str, float]:
        """Lets the worker do so many calls and returns their median and mean in s."""
        return self.say(f"{kernel} {calls}")

    def say(self, line: str) -> dict[str, Any]:
        """Sends a line and returns the answer to it."""
        self.asked.write(f"{line}\n")
        self.asked.flush()
        return self._answer()

    def pids(self) -> list[int]:
        """Returns the top process and all below it."""
        found = [self.top.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(word) for word in _text(task).split()]
        return found

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to all of them, the lowest last."""
        for pid in self.pids():
            _kill(pid, number)

    def _answer(self) -> dict[str, Any]:
        for line in self.answers:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        lines = _text(self.log).strip().splitlines()
        raise CouldNotRunError(f"{self.name} has ended: {lines[-1][:300] if lines else 'it said nothing'}")


def peer_figures(launches: int, seed: int, cache: Path | None) -> list[Figure]:
    """Returns the peer's ratios; where it cannot run, one figure without a value and the reason."""
    try:
        python = environment(cache or default_cache())
        arms = {name: (Arm(), Arm()) for name, _, _ in _COMPARISONS}
        shares: list[float] = []
        for launch in range(launches):
            progress(f"{PINNED}: launch {launch + 1} of {launches}")
            shares += _launch(python, arms, random.Random(f"{seed} {launch}"))
    except CouldNotRunError as error:
        return [Figure(NAME, None, f"unavailable: {error}")]
    figures = []
    for name, (medians, means) in arms.items():
        for kind, arm in (("", medians), ("_mean", means)):
            ratio, low, high = arm.interval()
            figures.append(Figure(f"{NAME}_{name}{kind}_ratio", ratio, "ratio", low, high))
    figures.append(Figure(f"{NAME}_beside_worker", sum(shares) / len(shares), "of one core"))
    return [*figures, Figure(f"{NAME}_launches", launches, "launches")]


def environment(cache: Path) -> Path:
    """Returns the peer's interpreter, installing it where it is not yet.

    Raises:
        CouldNotRunError: it does not install; the message says why.
    """
    folder = cache / PINNED.replace("==", "-")
    python = folder / "bin/python"
    done = folder / "installed"
    if done.exists():
        return python
    progress(f"installing {PINNED} into {folder}")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, timeout=_INSTALL_S)
        (site,) = folder.glob("lib/python*/site-packages")
        # Its own packages come first, then those of this environment.
        own = [path for path in sys.path if path.endswith("site-packages")]
        (site / "beside.pth").write_text("".join(f"{path}\n" for path in own))
        for arguments in (["--no-deps", PINNED, *_BESIDE], list(_WITH_DEPENDENCIES)):
            subprocess.run([*install, *arguments], check=True, timeout=_INSTALL_S, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise CouldNotRunError(f"{PINNED} does not install: {error}") from error
    done.touch()
    return python


def _launch(python: Path, arms: dict[str, tuple[Arm, Arm]], order: random.Random) -> list[float]:
    """Adds one log ratio of fresh processes to each arm; returns what ran beside the peer's worker."""
    shares = []
    with tempfile.TemporaryDirectory(prefix="edgerig-overhead-peer-") as name, ExitStack() as stack:
        folder = Path(name)
        plain = stack.enter_context(_plain(python, folder))
        peer = stack.enter_context(_peer(python, folder))
        for side in (plain, peer):
            side.ready()
        trackers = LATENCY
        for figure, kernel, wanted in _COMPARISONS:
            if wanted != trackers:
                # It starts its monitor now; the answer is that of the second `serve`.
                peer.say(wanted)
                trackers = wanted
            medians, means, share = _quadruple(plain, peer, kernel, order)
            arms[figure][0].logs.append(medians)
            arms[figure][1].logs.append(means)
            shares.append(share)
        peer.signal(signal.SIGCONT)
        peer.asked.write("end\n")
    return shares


def _quadruple(plain: Side, peer: Side, kernel: str, order: random.Random) -> tuple[float, float, float]:
    """Times ABBA or BAAB; returns log ratios of medians and of means, and the peer's other processor time."""
    peer.signal(signal.SIGSTOP)
    plain.block(kernel, 20)
    calls = max(3, round(_BLOCK_S / plain.block(kernel, 20)["median_s"]))
    logs = [0.0, 0.0]
    shares = []
    for letter in order.choice(("ABBA", "BAAB")):
        side, sign = (plain, -0.5) if letter == "A" else (peer, 0.5)
        peer.signal(signal.SIGCONT if side is peer else signal.SIGSTOP)
        time.sleep(_SETTLE_S)
        others = [pid for pid in side.pids() if pid != side.worker]
        before_s, begin_s = cpu_time_s(others), time.perf_counter()
        found = side.block(kernel, calls)
        if side is peer:
            shares.append((cpu_time_s(others) - before_s) / (time.perf_counter() - begin_s))
        for index, key in enumerate(("median_s", "mean_s")):
            logs[index] += sign * math.log(found[key])
    peer.signal(signal.SIGCONT)
    return logs[0], logs[1], sum(shares) / len(shares)


@contextmanager
def _plain(python: Path, folder: Path) -> Iterator[Side]:
    log = folder / "plain.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [str(python), "-m", "bench.overhead_work"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=_environment() | {"PYTHONPATH": str(_ROOT)},
        )
        assert process.stdin is not None and process.stdout is not None
        with (
            _ended(process),
            open(process.stdin.fileno(), "w", closefd=False) as asked,
            open(process.stdout.fileno(), closefd=False) as answers,
        ):
            yield Side("the unmeasured process", process, asked, answers, log)


@contextmanager
def _peer(python: Path, folder: Path) -> Iterator[Side]:
    pipes = [folder / "asked", folder / "answers"]
    for pipe in pipes:
        os.mkfifo(pipe)
    script, log = folder / "driver.py", folder / "peer.log"
    script.write_text(_DRIVER)
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [str(python), str(script), str(_ROOT), *map(str, pipes)],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            cwd=folder,
            env=_environment(),
        )
        with _ended(process):
            descriptor = _await_reader(process, pipes[0], log)
            with os.fdopen(descriptor, "w") as asked, pipes[1].open() as answers:
                yield Side(PINNED, process, asked, answers, log)


def _await_reader(process: subprocess.Popen[bytes], pipe: Path, log: Path) -> int:
    """Returns the writing end of a pipe, once the worker has opened the other.

    Raises:
        CouldNotRunError: the process ended before, or takes too long; its log says why.
    """
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s and process.poll() is None:
        with suppress(OSError):
            descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            os.set_blocking(descriptor, True)
            return descriptor
        time.sleep(0.05)
    lines = _text(log).strip().splitlines()
    raise CouldNotRunError(f"{PINNED} did not start: {lines[-1][:300] if lines else 'it said nothing'}")


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leaves nothing of a process and of those below it."""
    try:
        yield
    finally:
        pids = Side("", process, sys.stderr, sys.stderr, Path()).pids()
        for number in (signal.SIGCONT, signal.SIGKILL):
            for pid in pids:
                _kill(pid, number)
        process.wait()


def _environment() -> dict[str, str]:
    # Offline, and without its own files of the run in a home folder.
    return os.environ | {
        "LOG_TO_FILE": "0",
        "LOG_LEVEL": "WARNING",
        "COUNTRY_ISO_CODE": "USA",
        "HF_HUB_OFFLINE": "1",
    }


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
