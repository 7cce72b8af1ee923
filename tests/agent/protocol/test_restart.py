"""Power modes that take a restart: what nvpmodel is asked, and what is noted of the usual mode."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from edgerig.errors import DeviceError
from edgerig.v1.trial_pb2 import DeviceSettings
from edgerig_agent.environment import read_environment
from edgerig_agent.protocol.record import RECORD, RESTART_RECORD
from edgerig_agent.protocol.restart import Need, as_usual, needed, restart, usual
from edgerig_agent.protocol.settings import hold
from tests.fakes import jetson_settings


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = jetson_settings.make_tree(tmp_path / "root")
    programs = jetson_settings.make_programs(tmp_path / "bin", root)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    if os.geteuid() != 0:
        pytest.skip("without root the helper runs through sudo")
    return root


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def mode(root: Path) -> str:
    return (root / "var/lib/nvpmodel/status").read_text().split()[0]


def restarts(root: Path) -> list[str]:
    path = root / "restarts"
    return path.read_text().split() if path.exists() else []


@pytest.mark.parametrize("asked", ["", "MAXN", "15W", "1"])
def test_what_holds_at_once_needs_no_restart_and_is_as_before(root: Path, home: Path, asked: str) -> None:
    before = jetson_settings.settings(root)
    need = needed(asked, home, str(root))
    assert (need.needs_restart, need.problem) == (False, "")
    assert jetson_settings.settings(root) == before
    assert not (home / RECORD).exists() and not (home / RESTART_RECORD).exists()


@pytest.mark.parametrize("asked", ["7W", "2"])
def test_a_mode_that_takes_a_restart_is_found_out_and_nothing_is_changed(
    root: Path, home: Path, asked: str
) -> None:
    before = jetson_settings.settings(root)
    assert needed(asked, home, str(root)) == Need("7W", needs_restart=True)
    assert jetson_settings.settings(root) == before
    assert restarts(root) == [] and not (home / RECORD).exists()


def test_a_restart_notes_the_usual_mode_first_and_is_confirmed(root: Path, home: Path) -> None:
    restart("7W", home, str(root))
    assert restarts(root) == ["2"] and mode(root) == "pmode:0002"
    noted = usual(home)
    assert noted is not None
    assert (noted.power_mode, noted.governor, noted.cpu_count) == ("MAXN", "schedutil", os.cpu_count())


def test_in_the_mode_it_was_restarted_into_a_trial_sets_and_puts_back_nothing(root: Path, home: Path) -> None:
    restart("7W", home, str(root))
    assert needed("7W", home, str(root)) == Need("7W")
    count = len(jetson_settings.calls(root))
    held = hold(DeviceSettings(power_mode="7W"), home, str(root))
    assert held is not None and held.put_back() == ""
    assert len(jetson_settings.calls(root)) == count
    assert usual(home) is not None


def test_a_trial_that_asks_for_no_mode_needs_the_usual_one_back(root: Path, home: Path) -> None:
    restart("7W", home, str(root))
    assert needed("", home, str(root)) == Need("MAXN", needs_restart=True)
    restart("MAXN", home, str(root))
    assert mode(root) == "pmode:0000"
    assert needed("", home, str(root)) == Need("MAXN")
    assert not (home / RESTART_RECORD).exists()


def test_the_environment_is_that_of_the_usual_mode(root: Path, home: Path) -> None:
    before = read_environment(sys.executable, str(root))
    restart("7W", home, str(root))
    away = read_environment(sys.executable, str(root))
    assert away.digest() != before.digest()
    assert as_usual(away, home).digest() == before.digest()


def test_a_mode_that_is_not_there_restarts_nothing(root: Path, home: Path) -> None:
    # The attempt fails by it, with the modes that there are.
    assert needed("900W", home, str(root)) == Need()
    with pytest.raises(DeviceError, match="no power mode '900W'"):
        restart("900W", home, str(root))
    assert restarts(root) == []


def test_a_damaged_note_counts_as_none(home: Path) -> None:
    for text in ("", "[]", '{"power_mode": "MAXN"}'):
        (home / RESTART_RECORD).write_text(text)
        assert usual(home) is None
