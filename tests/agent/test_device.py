"""Facts of a device."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgerig.documents import from_json
from edgerig.v1.attempt_pb2 import BOUNDARY_RAILS_SUM
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig_agent.device import collect, main, sensor_channels
from edgerig_agent.environment import read_environment, worker_versions
from tests.fakes import sysfs_tree


def test_the_command_prints_facts_of_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--worker-python", sys.executable]) == 0
    facts = from_json(capsys.readouterr().out, DeviceFacts(), what="facts")
    assert facts.cpu_count == os.cpu_count()
    assert facts.memory_bytes > 2**28
    assert facts.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert json.loads(facts.worker.catalog_json)["schema"] == 1
    assert facts.worker.python == ".".join(map(str, sys.version_info[:3]))


def test_an_interpreter_that_is_not_there_is_said_and_everything_else_reported(tmp_path: Path) -> None:
    facts = collect(str(tmp_path / "nowhere"))
    assert "cannot be run" in facts.worker.unavailable_reason
    assert facts.cpu_count > 0


def test_an_interpreter_without_torch_says_what_is_missing(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    facts = collect(str(bare))
    assert facts.worker.catalog_json
    assert "no torch, transformers, safetensors" in facts.worker.unavailable_reason


def test_sensors_of_an_agx_orin_are_listed_with_their_sum(tmp_path: Path) -> None:
    sysfs_tree.ina3221_hwmon(
        tmp_path, "1-0040", [("VDD_GPU_SOC", 19000, 1), ("VDD_CPU_CV", 19000, 1), ("VIN_SYS_5V0", 5000, 1)]
    )
    sources = {channel.source: channel.boundary for channel in sensor_channels(str(tmp_path))}
    assert sources["ina3221:VDD_GPU_SOC+VDD_CPU_CV+VIN_SYS_5V0"] == "rails_sum"
    assert sources["ina3221:1-0040:1:VDD_GPU_SOC"] == "rail"
    facts = collect(sys.executable, str(tmp_path))
    assert BOUNDARY_RAILS_SUM in {sensor.boundary for sensor in facts.sensors}


def test_the_digest_is_the_same_twice_and_changes_with_the_power_mode() -> None:
    environment = read_environment(sys.executable)
    assert environment.digest() == read_environment(sys.executable).digest()
    assert replace(environment, power_mode="MAXN").digest() != environment.digest()
    assert replace(environment, worker={"torch": "1"}).digest() != environment.digest()


def test_versions_are_read_without_importing_anything() -> None:
    versions = worker_versions(sys.executable)
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(versions) >= {"torch", "transformers", "peft"}
