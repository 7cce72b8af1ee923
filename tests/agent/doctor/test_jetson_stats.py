"""What the doctor makes of jetson-stats: present or not, agreeing or not."""

import sys
from pathlib import Path

import pytest

from edgerig_agent.doctor import jetson_stats
from edgerig_agent.doctor.findings import Section
from edgerig_agent.doctor.main import examine
from edgerig_agent.probes.jtop import Snapshot
from tests.agent.probes.test_jtop import FAKE
from tests.fakes import jetson_settings
from tests.fakes.boards import BOARDS
from tests.fakes.sysfs_tree import write


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """An Orin Nano (VDD_IN 5.04 W, VDD_CPU_GPU_CV 2.016 W, VDD_SOC 1.512 W) with the service's unit."""
    BOARDS["orin_nano"](tmp_path)
    write(tmp_path / "etc/systemd/system/jtop.service", "[Unit]")
    return tmp_path


def read(board: Path, rails: dict[str, float], **more: object) -> Section:
    reading = {"rails": {name: {"power_w": power_w} for name, power_w in rails.items()}, **more}
    found = jetson_stats.section(str(board), sys.executable, lambda _: Snapshot(readings=(reading,)))
    assert found is not None
    return found


def lines(section: Section) -> list[str]:
    return [f"{finding.state} {finding.text}" for finding in section.findings]


def test_a_device_without_it_has_no_such_section(tmp_path: Path) -> None:
    BOARDS["orin_nano"](tmp_path)
    assert jetson_stats.section(str(tmp_path), sys.executable) is None


def test_rails_that_agree_are_counted_and_those_it_does_not_show_are_named(board: Path) -> None:
    found = read(board, {"VDD_IN": 5.1, "VDD_SOC": 1.4}, jetson_clocks=True)
    assert lines(found) == [
        "ok 2 of 3 rails agree; it does not show VDD_CPU_GPU_CV",
        "ok by jetson-stats, jetson_clocks is on",
    ]


def test_a_rail_that_differs_is_a_warning_with_both_figures_and_a_command(board: Path) -> None:
    found = read(board, {"VDD_IN": 9.0, "VDD_SOC": 1.5}, jetson_clocks=False)
    (warning,) = [finding for finding in found.findings if finding.state == "warning"]
    assert "VDD_IN: 5.04 W here, 9.00 W by jetson-stats" in warning.text
    assert "systemctl restart jtop" in warning.fix


def test_another_power_mode_is_a_warning(board: Path) -> None:
    jetson_settings.make_tree(board, mode=1)
    same = read(board, {"VDD_IN": 5.0}, jetson_clocks=False, nvpmodel={"id": 1, "name": "15W"})
    other = read(board, {"VDD_IN": 5.0}, jetson_clocks=False, nvpmodel={"id": 0, "name": "MAXN"})
    assert "ok both see power mode 15W" in lines(same)
    assert "warning power mode 15W here, MAXN by jetson-stats" in lines(other)


def test_the_next_interpreter_is_asked_where_one_does_not_have_it(board: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "python", "")
    asked: list[str] = []

    def ask(interpreter: str) -> Snapshot:
        asked.append(interpreter)
        if interpreter == sys.executable:
            return Snapshot(failure_class="not_installed", reason="not here", command="pip3 install")
        return Snapshot(failure_class="precondition", reason="The jtop.service is not active")

    found = jetson_stats.section(str(board), str(other), ask)
    assert found is not None and asked == [sys.executable, str(other)]
    assert lines(found) == ["warning The jtop.service is not active"]
    assert found.findings[0].fix == "sudo systemctl restart jtop"


@pytest.mark.system
def test_the_doctor_asks_the_bridge(board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "fake"
    write(fake / "jtop.py", FAKE)
    monkeypatch.setenv("PYTHONPATH", str(fake))
    report = examine(str(board), tmp_path / "home", sys.executable, scan_s=0.0)
    (found,) = [one for one in report.sections if one.name == "cross-check with jetson-stats"]
    assert "ok 2 of 3 rails agree; it does not show VDD_CPU_GPU_CV" in lines(found)
