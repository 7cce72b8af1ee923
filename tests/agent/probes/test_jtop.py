"""The bridge to jetson-stats, against a module that stands for it.

The real service needs a Jetson and root; its interface (jtop 4: `power` in millivolts, milliamperes
and milliwatts, `nvpmodel` with an id, `jetson_clocks` as a truth value, both to be assigned) is what is
played here. What differs on a board is to be seen there.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgerig_agent.probes.jtop import Snapshot, compare, read
from tests.fakes.boards import BOARDS

FAKE = """
import json, os
class JtopException(Exception): pass
class NVPModel:
    def __init__(self, number): self.id = number
    def __str__(self): return {0: "MAXN", 2: "15W"}[self.id]
class jtop:
    def __init__(self, interval=1):
        self.interval, self._mode, self._clocks, self._left = interval, NVPModel(0), False, 3
    def __enter__(self):
        if os.environ.get("FAKE_JTOP") == "down":
            raise JtopException("The jtop.service is not active")
        return self
    def __exit__(self, *_): pass
    def ok(self):
        self._left -= 1
        return self._left >= 0
    @property
    def power(self):
        rail = {"volt": 5040, "curr": 1000, "power": 5040, "avg": 5000, "online": True}
        soc = {"volt": 5040, "curr": 300, "power": 1512}
        return {"rail": {"VDD_IN": rail, "VDD_SOC": soc}, "tot": {"power": 5040}}
    @property
    def nvpmodel(self): return self._mode
    @nvpmodel.setter
    def nvpmodel(self, number): self._mode = NVPModel(number)
    @property
    def jetson_clocks(self): return self._clocks
    @jetson_clocks.setter
    def jetson_clocks(self, value): self._clocks = value
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jtop.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("installed")
def test_rails_mode_and_clocks_come_in_si_units() -> None:
    (reading,) = read().readings
    assert reading["rails"]["VDD_IN"] == {"power_w": 5.04, "voltage_v": 5.04, "current_a": 1.0}
    assert (reading["total_w"], reading["jetson_clocks"]) == (5.04, False)
    assert reading["nvpmodel"] == {"id": 0, "name": "MAXN"}


@pytest.mark.usefixtures("installed")
def test_mode_and_clocks_can_be_asked_for() -> None:
    (reading,) = read(options=["--set-nvpmodel", "2", "--set-jetson-clocks", "on"]).readings
    assert (reading["nvpmodel"]["name"], reading["jetson_clocks"]) == ("15W", True)


@pytest.mark.usefixtures("installed")
def test_a_service_that_ends_in_between_is_said() -> None:
    snapshot = read(samples=5)
    assert (snapshot.failure_class, snapshot.readings) == ("precondition", ())
    assert "ended the connection" in snapshot.reason


@pytest.mark.usefixtures("installed")
def test_a_service_that_is_down_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_JTOP", "down")
    snapshot = read()
    assert "not active" in snapshot.reason and snapshot.command == "systemctl status jtop"


def test_where_it_is_not_installed_the_command_that_installs_it_is_named() -> None:
    snapshot = read()
    assert snapshot.failure_class == "not_installed"
    assert "pip3 install -U jetson-stats" in snapshot.command


def test_the_bridge_says_so_in_its_exit_code_too() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "edgerig_agent.probes.jtop_bridge"], capture_output=True, env=dict(os.environ)
    )
    assert (ended.returncode, json.loads(ended.stdout)["failure_class"]) == (1, "not_installed")


def test_rails_that_both_see_are_compared(tmp_path: Path) -> None:
    """Orin Nano: VDD_IN 5.04 W, VDD_SOC 1.512 W; the third rail is one that jtop does not show."""
    BOARDS["orin_nano"](tmp_path)
    theirs = {"VDD_IN": {"power_w": 5.1}, "VDD_SOC": {"power_w": 4.0}}
    compared = compare(Snapshot(readings=({"rails": theirs},)), str(tmp_path))
    assert {one.source.rpartition(":")[2]: one.agrees for one in compared} == {
        "VDD_IN": True,
        "VDD_SOC": False,
        "VDD_CPU_GPU_CV": False,
    }


def test_without_jetson_stats_nothing_agrees_and_nothing_fails(tmp_path: Path) -> None:
    BOARDS["orin_nano"](tmp_path)
    assert not any(one.agrees for one in compare(Snapshot(reason="none"), str(tmp_path)))
