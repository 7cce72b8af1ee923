"""A study over a bad network: `python -m bench.network --json`. Needs root.

The controller is in one network namespace, the agent in another; between them
every packet is delayed and some are lost, and in the middle of the study the
wire is cut. The agent enrolls, fetches model and data and delivers its results
over mTLS through all that. Every trial must be there once, and nothing twice.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import guardian, namespaces, report
from bench.idle import process
from bench.namespaces import Weather, Wire
from bench.report import CouldNotRunError, Figure
from edgerig_controller import home as homes
from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository

PATIENCE_S = 300.0
_LOOK_S = 0.1
_CONSOLE = [
    sys.executable,
    "-c",
    "import sys; from edgerig.console import controller; sys.exit(controller())",
]
_PORTS = {"control": 9091, "agents": 9092, "enroll": 9093}
STUDY = """
edgerig: 1
name: network
protocol: quick
devices: {{names: [far]}}
seeds: {seeds}
tasks: [{{name: lamp-2, source: synthetic, users: 2, items_per_user: 1}}]
factors:
  model: [starter/tiny]
  method: [{{kind: spin, duration_s: {trial_s}}}]
  compression: [{{kind: none}}]
  history: [4]
budgets: {{attempt: {{duration_s: 300}}}}
inference: {{prompt_tokens: 8, new_tokens: 4, batch: 1, requests: 1}}
protocol_overrides: {{idle_s: 0}}
"""


@dataclass(frozen=True)
class Course:
    """What came of a study over the wire."""

    trials: int
    recorded_ok: int
    doubled: int
    duration_s: float
    packets: namespaces.Counts


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--delay-ms", type=float, default=50.0, help="in each direction")
    parser.add_argument("--loss", type=float, default=0.05, help="share of packets, in each direction")
    parser.add_argument("--cut-s", type=float, default=60.0, help="how long the wire is cut")
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--trial-s", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1, help="of the losses")
    return report.run("network", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    if reason := namespaces.missing():
        raise CouldNotRunError(reason)
    course = run(
        Weather(arguments.delay_ms / 1000.0, arguments.loss),
        trials=arguments.trials,
        trial_s=arguments.trial_s,
        cut_s=arguments.cut_s,
        seed=arguments.seed,
    )
    packets = course.packets
    return [
        Figure("trials", course.trials, "count"),
        Figure(
            "recorded_once",
            course.recorded_ok,
            "count",
            goal=f"{course.trials}",
            holds=course.recorded_ok == course.trials,
        ),
        Figure("recorded_twice", course.doubled, "count", goal="0", holds=not course.doubled),
        Figure("study", course.duration_s, "s"),
        Figure("cut", arguments.cut_s, "s"),
        Figure("packets", packets.sent, "count"),
        Figure("lost_packets", packets.lost / max(packets.sent, 1), "ratio"),
        Figure("packets_met_by_the_cut", packets.cut, "count"),
    ]


def run(weather: Weather, *, trials: int, trial_s: float, cut_s: float, seed: int) -> Course:
    """Does a study over a wire, and cuts that when the first trial runs.

    Raises:
        CouldNotRunError: something did not come up, or the study did not end.
    """
    with (
        tempfile.TemporaryDirectory(prefix="edgerig-network-") as scratch,
        guardian.watching(Path(scratch), end=True),
        namespaces.wire(weather, seed) as wire,
        contextlib.ExitStack() as stack,
    ):
        lab = Lab(Path(scratch), wire, stack)
        lab.serve()
        lab.join()
        began_s = time.monotonic()
        study = lab.submit(STUDY.format(seeds=list(range(1, trials + 1)), trial_s=trial_s))
        lab.until(lambda: lab.states().count("running") > 0, "the first attempt")
        report.progress(f"an attempt runs; the wire is cut for {cut_s:g} s")
        wire.cut()
        time.sleep(cut_s)
        wire.heal()
        # Other than a clean exit is for the figures to show.
        study.wait(PATIENCE_S)
        return lab.course(trials, time.monotonic() - began_s)


class Lab:
    """A controller at one end of a wire, an agent at the other."""

    def __init__(self, root: Path, wire: Wire, stack: contextlib.ExitStack) -> None:
        self._root = root
        self._wire = wire
        self._stack = stack
        self._home = Home(root / "data")
        homes.prepare(self._home)
        self._here, self._there = wire.ends

    def serve(self) -> None:
        command = self._here.command(*_CONSOLE, "serve", "--data", str(self._home.root))
        command += ["--listen", self._here.address]
        for name, port in _PORTS.items():
            command += [f"--{name}-port", str(port)]
        self._stack.enter_context(process(command, self._root / "serve.log"))
        self.until(lambda: homes.read_endpoint(self._home) is not None, "the controller's start")

    def join(self) -> None:
        """Enrolls the agent over the wire, and starts it."""
        added = self._call(self._here.command(*_CONSOLE, "device", "add", "far", "--json", *self._data()))
        ticket: dict[str, Any] = json.loads(added)
        folder = str(self._root / "far")
        agent = self._there.command(sys.executable, "-m", "edgerig_agent.cli")
        enroll = ["enroll", "--controller", f"{self._here.address}:{_PORTS['enroll']}"]
        enroll += ["--agents", f"{self._here.address}:{_PORTS['agents']}", "--device-id", "far"]
        enroll += ["--ca-sha256", ticket["ca_spki_sha256"], "--home", folder]
        self._call([*agent, *enroll], answer=ticket["token"])
        self._stack.enter_context(process([*agent, "run", "--home", folder], self._root / "agent.log"))

    def submit(self, study: str) -> subprocess.Popen[bytes]:
        path = self._root / "network.yaml"
        path.write_text(study)
        command = self._here.command(*_CONSOLE, "run", str(path), "--json", *self._data())
        return self._stack.enter_context(process(command, self._root / "run.log"))

    def states(self) -> list[str]:
        repository = Repository.open_readonly(self._home)
        try:
            studies = repository.studies()
            return [row.state for row in repository.attempts(studies[0].study_id)] if studies else []
        finally:
            repository.close()

    def course(self, trials: int, duration_s: float) -> Course:
        repository = Repository.open_readonly(self._home)
        try:
            rows = repository.attempts(repository.studies()[0].study_id)
        finally:
            repository.close()
        counted = [row.trial_id for row in rows if row.canonical and row.status == "ok"]
        return Course(
            trials, len(set(counted)), len(counted) - len(set(counted)), duration_s, self._wire.counts
        )

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline_s:
                raise CouldNotRunError(f"{what} did not happen within {PATIENCE_S:.0f} s{self._logs()}")
            time.sleep(_LOOK_S)

    def _data(self) -> list[str]:
        return ["--data", str(self._home.root)]

    def _call(self, command: Sequence[str], answer: str = "") -> str:
        done = subprocess.run(
            command, input=answer, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        if done.returncode != 0:
            raise CouldNotRunError(f"{' '.join(command[-8:])} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def _logs(self) -> str:
        found = [self._root / name for name in ("serve.log", "agent.log", "run.log")]
        return "".join(f"\n--- {path.name}\n{path.read_text()[-2000:]}" for path in found if path.exists())


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
