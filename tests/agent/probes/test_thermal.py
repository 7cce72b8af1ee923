"""Thermal zones."""

from pathlib import Path

from edgerig_agent.probes.base import places
from edgerig_agent.probes.thermal import discover
from tests.fakes import sysfs_tree


def test_zones_are_read_in_degrees(tmp_path: Path) -> None:
    sysfs_tree.thermal_zone(tmp_path, 0, "CPU-therm", 41_500)
    (probe,) = discover(places(str(tmp_path)))
    (channel,) = probe.open()
    (raw,) = probe.read_all()
    probe.close()
    assert channel.source == "thermal:0:CPU-therm"
    assert raw * channel.scale == 41.5


def test_a_zone_that_is_powered_down_is_described_and_left_out(tmp_path: Path) -> None:
    sysfs_tree.thermal_zone(tmp_path, 0, "CPU-therm", 41_500)
    sysfs_tree.thermal_zone(tmp_path, 1, "cv0-thermal", 0).write_text("")
    (probe,) = discover(places(str(tmp_path)))
    opened = probe.open()
    probe.close()
    assert [channel.source for channel in opened] == ["thermal:0:CPU-therm"]
    assert [bool(channel.unavailable_reason) for channel in probe.describe()] == [False, True]
