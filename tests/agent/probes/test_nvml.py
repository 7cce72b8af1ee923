"""NVML through the real binding and a library of our own in the driver's place.

The stub (tests/fakes/nvml_stub.c) answers like a discrete GPU or like a board that
NVML serves badly. It runs in a process of its own: the binding loads a library once.
"""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgerig_agent.probes.base import UNREAD, places
from edgerig_agent.probes.nvml import discover
from tests.fakes.nvml import StubDriver
from tests.fakes.shared_library import NoCompilerError

# Reads all probes at the times (s after the first) that come on the command line; a line on
# stdin is waited for before each reading but the first.
SCRIPT = """
import json, sys
from edgerig_agent.probes.base import places
from edgerig_agent.probes.nvml import discover
probes = discover(places("/nowhere"))
described = [channel._asdict() for probe in probes for channel in probe.describe()]
opened = [channel for probe in probes for channel in probe.open()]
print(json.dumps({"described": described, "probes": [probe.name for probe in probes]}), flush=True)
for line in sys.stdin:
    values = [value for probe in probes for value in probe.read_all()]
    named = {c.source: value for c, value in zip(opened, values)}
    print(json.dumps(named), flush=True)
"""


class Reader:
    """A process that sees the stub and reads when it is told to."""

    def __init__(self, driver: StubDriver) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            env=driver.outer_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        head = self._answer()
        self.reasons = {channel["source"]: channel["unavailable_reason"] for channel in head["described"]}
        self.channels = {channel["source"]: channel for channel in head["described"]}

    def read(self) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def driver(folder: Path, profile: str = "gpu", *, is_old: bool = False) -> StubDriver:
    try:
        return StubDriver(folder, profile, is_old=is_old)
    except NoCompilerError as error:
        pytest.skip(str(error))


def test_a_gpu_gives_counter_power_clocks_reasons_temperature_and_memory(tmp_path: Path) -> None:
    stub = driver(tmp_path)
    stub.say("wave constant 21500", "sm_mhz 1300", "reasons 4", "temperature_c 61", "used_bytes 4096")
    with Reader(stub) as reader:
        read = reader.read()
        assert not any(reader.reasons.values())
        assert reader.channels["nvml:0:energy"]["boundary"] == "gpu_board"
    assert read["nvml:0:power_instant"] == read["nvml:0:power"] == read["nvml:0:power_average"] == 21500
    assert (read["nvml:0:sm_clock"], read["nvml:0:clock_reasons"]) == (1300, 4)
    assert (read["nvml:0:temperature"], read["nvml:0:memory_used"]) == (61, 4096)


def test_only_the_power_of_the_instant_is_integrated_where_the_driver_gives_it(tmp_path: Path) -> None:
    with Reader(driver(tmp_path)) as reader:
        quantities = {source: channel["quantity"] for source, channel in reader.channels.items()}
    assert quantities["nvml:0:power_instant"] == "power_w"
    assert quantities["nvml:0:power"] == quantities["nvml:0:power_average"] == "power_smoothed_w"


def test_an_old_driver_has_one_power_and_names_what_it_lacks(tmp_path: Path) -> None:
    with Reader(driver(tmp_path, is_old=True)) as reader:
        assert reader.channels["nvml:0:power"]["quantity"] == "power_w"
        assert "Function Not Found" in reader.reasons["nvml:0:power_instant"]
        assert "does not match" in reader.reasons["nvml:0:own_memory"]
        assert set(reader.read()) >= {"nvml:0:energy", "nvml:0:power", "nvml:0:temperature"}


def test_an_orin_starts_and_then_supports_nothing(tmp_path: Path) -> None:
    with Reader(driver(tmp_path, "orin")) as reader:
        assert reader.read() == {}
        assert all("Not Supported" in reason for reason in reader.reasons.values())
        assert reader.reasons["nvml:0:power"] == "nvmlDeviceGetPowerUsage: Not Supported"


def test_a_thor_has_no_memory_figure_and_yet_the_memory_of_processes(tmp_path: Path) -> None:
    stub = driver(tmp_path, "thor")
    stub.say(f"process {os.getpid()} 7000", "process 1 500")
    with Reader(stub) as reader:
        read = reader.read()
        assert "Not Supported" in reader.reasons["nvml:0:memory_used"]
    # The test process is the reader's parent, as the attempt process is the sampler's.
    assert (read["nvml:0:own_memory"], read["nvml:0:foreign"]) == (7000, 1)


def test_a_gb10_has_power_and_no_memory_figure(tmp_path: Path) -> None:
    with Reader(driver(tmp_path, "gb10")) as reader:
        assert reader.reasons["nvml:0:power"] == ""
        assert "Not Supported" in reader.reasons["nvml:0:memory_used"]


def test_what_an_a100_looks_at_is_a_quarter_of_the_time(tmp_path: Path) -> None:
    """A wave of 100 ms, low in its first half: its power reads as the last quarter alone."""
    stub = driver(tmp_path, "a100")
    stub.say("wave square 10000 30000 100")
    with Reader(stub) as reader:
        assert {reader.read()["nvml:0:power_instant"] for _ in range(5)} == {30000}


def test_processes_that_are_not_visible_here_are_not_taken_for_none(tmp_path: Path) -> None:
    """In a container the driver names processes of the host."""
    stub = driver(tmp_path)
    with Reader(stub) as reader:
        stub.say("process 4194305 9000")  # above the largest pid of Linux
        read = reader.read()
    assert (read["nvml:0:own_memory"], read["nvml:0:foreign"]) == (UNREAD, UNREAD)


def test_a_gpu_that_falls_off_the_bus_is_unread_with_its_error_and_may_come_back(tmp_path: Path) -> None:
    stub = driver(tmp_path)
    with Reader(stub) as reader:
        stub.say("lost 1")
        lost = reader.read()
        stub.say()
        back = reader.read()
    assert set(lost.values()) == {UNREAD + errno.ENODEV}
    assert back["nvml:0:power"] == 21500


def test_one_call_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    stub = driver(tmp_path)
    with Reader(stub) as reader:
        stub.say("refuse nvmlDeviceGetTemperature 10")
        read = reader.read()
    assert read["nvml:0:temperature"] == UNREAD + errno.ETIMEDOUT
    assert read["nvml:0:sm_clock"] == 1410


def test_a_counter_that_was_reset_counts_from_there(tmp_path: Path) -> None:
    stub = driver(tmp_path)
    with Reader(stub) as reader:
        before = reader.read()["nvml:0:energy"]
        stub.say(f"counter_zero_ns {time.monotonic_ns()}")
        after = reader.read()["nvml:0:energy"]
    assert after < 21500 < before


def test_a_driver_without_a_device_has_no_probe(tmp_path: Path) -> None:
    with Reader(driver(tmp_path, "none")) as reader:
        assert reader.channels == {}


def test_without_a_driver_nothing_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    monkeypatch.setattr("edgerig_agent.probes.nvml._LIBRARY_FOLDERS", ())
    (tmp_path / "sys").mkdir()
    assert discover(places(str(tmp_path))) == []
