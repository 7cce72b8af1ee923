"""Simulated devices against a real controller: enrolled, connected, and their results are in the store."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bench.scale import free_ports, queue_trials
from edgerig_controller import home as homes
from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository
from tests.system.rig import Rig, until

pytestmark = pytest.mark.system


def told(path: Path) -> dict[str, object]:
    try:
        document: dict[str, object] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return document


def test_simulated_devices_do_a_study_over_a_controller_that_is_killed(rig: Rig) -> None:
    home = Home(rig.data)
    homes.prepare(home)
    queue_trials(home, 12)
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        # The folder stands in the command line, so that nothing of a failed test is left running.
        started.append(rig.start(*arguments, "--data", str(rig.data)))
        return started[-1]

    tell = rig.folder / "told.json"
    try:
        control, agents = (str(port) for port in free_ports(2))
        serve = ("serve", "--control-port", control, "--agents-port", agents)
        first = start(*serve)
        until(lambda: homes.read_endpoint(home) is not None, 120, "no controller")
        simulated = start("simulate", "--devices", "3", "--trial-s", "0.5", "--tell", str(tell), "--json")
        until(lambda: told(tell).get("committed", 0) != 0, 120, "no result")
        first.kill()
        first.communicate()
        start(*serve)
        until(lambda: told(tell).get("committed", 0) == 12, 120, "not all results")
        simulated.terminate()
        answer = rig.finish(simulated, 30)
    finally:
        for process in started:
            process.kill()
            process.communicate()
    assert answer.exit_code == 0, answer.stderr
    assert answer.document["committed"] == 12
    repository = Repository.open_readonly(home)
    study_id = repository.find_study("scale").study_id
    rows = [row for row in repository.attempts(study_id) if row.canonical]
    repository.close()
    assert len(rows) == 12
    assert {row.device_id for row in rows} == {f"sim-{number:05d}" for number in range(3)}
    assert all(row.flags == ["simulated"] for row in rows)


def test_no_controller_is_said_with_what_to_type(rig: Rig) -> None:
    answer = rig.call("simulate", "--devices", "1")
    assert answer.exit_code == 3
    assert "edgerig serve" in answer.stderr
