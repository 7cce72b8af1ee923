"""Simulated devices against a real controller: enrolled, connected, and their results are in the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.scale import queue_trials
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
    ports = ["--control-port", "0", "--agents-port", "0", "--enroll-port", "0"]
    first = rig.start("serve", *ports)
    until(lambda: homes.read_endpoint(home) is not None, 60, rig.logs())
    endpoint = homes.read_endpoint(home)
    assert endpoint is not None
    tell = rig.folder / "told.json"
    simulated = rig.start("simulate", "--devices", "3", "--trial-s", "0.5", "--tell", str(tell), "--json")
    until(lambda: told(tell).get("committed", 0) != 0, 60, rig.logs())
    first.kill()
    rig.finish(first)
    same = ["--control-port", endpoint.control.rpartition(":")[2]]
    same += ["--agents-port", endpoint.agents.rpartition(":")[2], "--enroll-port", "0"]
    second = rig.start("serve", *same)
    until(lambda: told(tell).get("committed", 0) == 12, 60, f"{told(tell)} {rig.logs()}")
    simulated.terminate()
    answer = rig.finish(simulated, 30)
    second.terminate()
    rig.finish(second)
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
