"""Clocks: what was achieved is not what was asked for."""

import os
from pathlib import Path

import pytest

from edgerig_agent.probes.base import CEILING_HZ, FLOOR_HZ, FREQUENCY_HZ, REQUESTED_HZ, Channel, places
from edgerig_agent.probes.clocks import discover
from tests.fakes import sysfs_tree


def found(root: Path) -> dict[tuple[str, str], float]:
    (probe,) = discover(places(str(root)))
    channels = probe.open()
    values = probe.read_all()
    probe.close()
    return {(c.source, c.quantity): raw * c.scale for c, raw in zip(channels, values, strict=True)}


def achieved(root: Path) -> Channel:
    (probe,) = discover(places(str(root)))
    return next(channel for channel in probe.describe() if channel.quantity == FREQUENCY_HZ)


def test_a_core_that_runs_slower_than_asked_is_seen(tmp_path: Path) -> None:
    """Jetson Thor after an over-current event."""
    sysfs_tree.cpufreq_policy(tmp_path, 0, achieved_khz=649_000, requested_khz=2_601_000)
    assert found(tmp_path) == {
        ("cpufreq:policy0", FREQUENCY_HZ): 649e6,
        ("cpufreq:policy0", REQUESTED_HZ): 2601e6,
        ("cpufreq:policy0", FLOOR_HZ): 2601e6,
        ("cpufreq:policy0", CEILING_HZ): 2601e6,
    }


def test_on_x86_the_kernel_computes_the_achieved_clock_under_another_name(tmp_path: Path) -> None:
    sysfs_tree.cpufreq_policy(tmp_path, 0, achieved_khz=None, requested_khz=3_000_000, driver="intel_pstate")
    assert found(tmp_path)["cpufreq:policy0", FREQUENCY_HZ] == 3e9


def test_elsewhere_a_requested_clock_is_never_taken_for_an_achieved_one(tmp_path: Path) -> None:
    sysfs_tree.cpufreq_policy(tmp_path, 0, achieved_khz=None, requested_khz=3_000_000)
    assert ("cpufreq:policy0", FREQUENCY_HZ) not in found(tmp_path)
    assert "cpuinfo_cur_freq" in achieved(tmp_path).unavailable_reason


def test_a_clock_that_only_root_may_read_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sysfs_tree.cpufreq_policy(tmp_path, 0, achieved_khz=1, requested_khz=1)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "sudo chmod a+r /sys/devices/system/cpu" in achieved(tmp_path).unavailable_reason


def test_the_gpu_of_a_jetson_is_among_them_and_other_devices_are_not(tmp_path: Path) -> None:
    sysfs_tree.devfreq(
        tmp_path, "17000000.gpu", frequency_hz=306_000_000, lowest_hz=306_000_000, highest_hz=918_000_000
    )
    sysfs_tree.devfreq(tmp_path, "15340000.vic", frequency_hz=1, lowest_hz=1, highest_hz=1)
    assert found(tmp_path) == {
        ("devfreq:17000000.gpu", FREQUENCY_HZ): 306e6,
        ("devfreq:17000000.gpu", FLOOR_HZ): 306e6,
        ("devfreq:17000000.gpu", CEILING_HZ): 918e6,
    }


def test_a_machine_without_either_has_no_probe(tmp_path: Path) -> None:
    (tmp_path / "sys").mkdir()
    assert discover(places(str(tmp_path))) == []
