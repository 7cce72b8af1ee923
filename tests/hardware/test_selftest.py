"""On a machine with a GPU or on a Jetson: the doctor is content, and the sensors follow the load.

Off by default; `pytest -m gpu tests/hardware` or `pytest -m jetson tests/hardware`. The worker's
interpreter is this one, or that in EDGERIG_WORKER_PYTHON.
"""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

WORKER = os.environ.get("EDGERIG_WORKER_PYTHON", sys.executable)


def agent(*arguments: str) -> tuple[int, Any]:
    """Runs a command of the agent and returns its exit code and its document."""
    command = [sys.executable, "-m", "edgerig_agent.cli", *arguments, "--json", "--worker-python", WORKER]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


@pytest.mark.gpu
def test_the_doctor_finds_the_gpu_and_its_power() -> None:
    code, document = agent("doctor")
    assert code == 0, document
    powers = [one for one in document["channels"] if one["boundary"] == "gpu_board"]
    assert any(one["value"] and one["quantity"] in ("power_w", "energy_j") for one in powers), powers
    worker = next(one for one in document["sections"] if one["name"] == "worker")
    assert any("computes on" in finding["text"] for finding in worker["findings"])


@pytest.mark.gpu
def test_the_gpus_power_follows_its_load() -> None:
    code, document = agent("selftest", "--duration-s", "60", "--period-s", "4")
    assert code == 0, document["problems"]
    assert "gpu" not in document["skipped"], document["skipped"]
    boards = [one for one in document["responses"] if (one["load"], one["boundary"]) == ("gpu", "gpu_board")]
    assert boards and all(one["responds"] for one in boards)
    # A counter that steps every 100 ms and a reading averaged over a second are both within this.
    assert all(one["lag_s"] is not None and one["lag_s"] < 1.5 for one in boards), boards


@pytest.mark.jetson
def test_the_rails_of_a_jetson_follow_and_add_up() -> None:
    code, document = agent("selftest", "--duration-s", "60", "--period-s", "4")
    assert code == 0, document["problems"]
    assert any(one["boundary"] in ("module_in", "rails_sum") for one in document["responses"])
    assert all(one["holds"] for one in document["additivity"])
