"""Two controllers on one real PostgreSQL and a real agent: whoever leads and dies, each trial counts once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

from bench.scale import free_ports
from edgerig_controller import home as homes
from edgerig_controller.cli.control import existing
from edgerig_controller.home import Home
from edgerig_controller.store.postgres import connect_arguments
from tests.controller.store.cluster import Cluster, NoServerError, running
from tests.system.rig import Rig, until

pytestmark = pytest.mark.system

TRIALS = 12
STUDY = f"""
edgerig: 1
name: turns
protocol: quick
devices: {{names: [box]}}
seeds: {list(range(1, TRIALS + 1))}
tasks: [{{name: lamp-2, source: synthetic, users: 2, items_per_user: 1}}]
factors:
  model: [starter/small]
  method: [{{kind: spin, duration_s: 0.2}}]
  compression: [{{kind: none}}]
  history: [4]
budgets: {{train: {{steps: 3}}, attempt: {{duration_s: 60}}}}
inference: {{prompt_tokens: 8, new_tokens: 4, batch: 1, requests: 1}}
protocol_overrides: {{idle_s: 0}}
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    try:
        with running() as cluster:
            yield cluster
    except NoServerError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def database(cluster: Cluster) -> Iterator[URL]:
    with cluster.empty() as url:
        yield url


@dataclass
class Lab:
    """Controllers by name, each with a data folder of its own, and one agent."""

    rig: Rig
    database: URL
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, list[int]] = field(default_factory=dict)
    connection: psycopg.Connection[Any] | None = None

    def folder(self, name: str) -> Path:
        return self.rig.data / name

    def home(self, name: str) -> Home:
        return homes.resolve(str(self.folder(name)), {})

    def serve(self, name: str) -> None:
        control, agents, enroll = self.ports.setdefault(name, free_ports(3))
        self._start(
            *(name, "edgerig_controller.serve", "--data", str(self.folder(name))),
            *("--control-port", str(control), "--agents-port", str(agents), "--enroll-port", str(enroll)),
            *("--store", self.database.render_as_string(), "--shared", str(self.rig.data / "shared")),
        )

    def enroll(self, name: str, device_id: str) -> None:
        """Adds a device at one of the controllers and runs its agent."""
        home = str(self.folder("agent"))
        invitation = self.rig.call(
            "device", "add", device_id, "--data", str(self.folder(name)), "--json"
        ).document
        subprocess.run(
            [
                *(sys.executable, "-m", "edgerig_agent.cli", "enroll", "--home", home),
                *("--device-id", device_id, "--ca-sha256", invitation["ca_spki_sha256"]),
                *("--controller", invitation["enroll_address"], "--agents", invitation["agents_address"]),
            ],
            input=invitation["token"] + "\n",
            text=True,
            check=True,
            capture_output=True,
            timeout=60,
        )
        self._start("agent", "edgerig_agent.cli", "run", "--home", home)

    def submit(self, name: str) -> str:
        async def submit() -> str:
            async with existing(self.home(name)) as control:
                answer = await control.submit(STUDY, self.rig.folder / "turns.yaml", reuse=False)
            return answer.study_id

        return asyncio.run(submit())

    def log(self, name: str) -> str:
        path = self.folder(name) / "logs" / "controller.log"
        return path.read_text() if path.exists() else ""

    def await_leader(self, name: str, epoch: int) -> None:
        words = f"leads, epoch {epoch}\n"
        self.until(lambda: words in self.log(name), f"{name} does not lead")

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        if self.connection is None:
            self.connection = psycopg.connect(autocommit=True, **connect_arguments(self.database))
        return self.connection.execute(statement).fetchall()

    def done(self) -> int:
        ((count,),) = self.ask("SELECT count(*) FROM trial WHERE state = 'done'")
        return int(count)

    def await_done(self, count: int) -> None:
        self.until(lambda: self.done() >= count, f"{count} trials are not done")

    def await_more(self) -> None:
        """Waits for a trial that is done from now on; the study must not be over by now."""
        before = self.done()
        assert before < TRIALS
        self.await_done(before + 1)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            until(condition, 120, what)
        except pytest.fail.Exception:
            print(self.rig.logs())
            raise

    def stop(self) -> None:
        if self.connection is not None:
            self.connection.close()
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(20)

    def _start(self, name: str, module: str, *arguments: str) -> None:
        # Beside the logs that `Rig.logs` shows: what a process says that ends before it has a log.
        with (self.rig.data / f"{name}.log").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self.rig.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


@pytest.fixture
def lab(rig: Rig, database: URL) -> Iterator[Lab]:
    lab = Lab(rig, database)
    rig.data.mkdir()
    try:
        yield lab
    finally:
        lab.stop()


def test_a_study_goes_on_under_whoever_leads(lab: Lab) -> None:
    lab.serve("a")
    lab.await_leader("a", 1)
    lab.serve("b")
    lab.until(lambda: "stands by" in lab.log("b"), "b does not stand by")
    refused_where_it_stands_by(lab)
    lab.enroll("a", "box")
    study_id = lab.submit("a")
    lab.await_done(1)

    lab.processes["a"].kill()
    lab.processes["a"].wait(20)
    lab.await_leader("b", 2)
    lab.await_more()
    lab.serve("a")
    lab.until(lambda: lab.log("a").count("stands by\n") == 1, "a does not stand by")

    # Frozen while it leads: the server gives its seat away, and when it goes on it can change nothing.
    frozen = lab.processes["b"]
    frozen.send_signal(signal.SIGSTOP)
    lab.await_leader("a", 3)
    frozen.send_signal(signal.SIGCONT)
    lab.until(lambda: "is lost" in lab.log("b"), "b does not notice")
    lab.await_more()

    # Stopped in good order: the other one leads at once.
    os.kill(lab.processes["a"].pid, signal.SIGTERM)
    lab.await_leader("b", 4)
    assert lab.processes["a"].wait(30) == 0
    lab.await_done(TRIALS)
    check_each_counts_once(lab)
    assert read_at(lab, "b", study_id) == TRIALS
    assert read_at(lab, "a", study_id) == TRIALS


def refused_where_it_stands_by(lab: Lab) -> None:
    """Readers are served by both; a change is refused with the leader's address."""
    data = str(lab.folder("b"))
    answer = lab.rig.call("device", "add", "nano", "--data", data)
    assert answer.exit_code == 3, answer.stdout + answer.stderr
    endpoint = homes.read_endpoint(lab.home("a"))
    assert endpoint is not None
    assert endpoint.control in answer.stderr
    listed = lab.rig.call("controllers", "--data", data, "--json").document["controllers"]
    assert [item["leads"] for item in listed] == [True, False]


def check_each_counts_once(lab: Lab) -> None:
    rows = lab.ask("SELECT trial_id, status FROM result WHERE canonical")
    assert len(rows) == len({row[0] for row in rows}) == TRIALS
    assert {row[1] for row in rows} == {"ok"}
    # Nothing ran twice, counted or not.
    assert lab.ask("SELECT count(*) FROM attempt WHERE began") == [(TRIALS,)]
    assert lab.ask("SELECT max(ran_count) FROM trial") == [(1,)]


def read_at(lab: Lab, name: str, study_id: str) -> int:
    document = lab.rig.call("studies", "--data", str(lab.folder(name)), "--json").document
    (study,) = (item for item in document["studies"] if item["study_id"] == study_id)
    return int(study["done_count"])


def test_the_files_must_be_the_same(lab: Lab) -> None:
    lab.serve("a")
    lab.await_leader("a", 1)
    done = lab.rig.call(
        *("serve", "--data", str(lab.folder("c")), "--store", lab.database.render_as_string()),
        *("--shared", str(lab.rig.folder)),
        timeout_s=60,
    )
    assert done.exit_code == 2
    assert "--shared" in done.stderr
