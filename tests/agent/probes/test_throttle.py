"""Counts of what held a clock down."""

from pathlib import Path

from edgerig_agent.probes.base import places
from edgerig_agent.probes.throttle import discover
from tests.fakes import sysfs_tree


def counts(root: Path) -> dict[str, int]:
    (probe,) = discover(places(str(root)))
    channels = probe.open()
    values = probe.read_all()
    probe.close()
    return {channel.source: raw for channel, raw in zip(channels, values, strict=True)}


def test_over_current_events_are_named_by_their_driver_and_not_by_the_hwmon_number(tmp_path: Path) -> None:
    sysfs_tree.over_current(tmp_path, 0, 2, 7, hwmon="hwmon42")
    assert counts(tmp_path) == {"soctherm_oc:oc1": 0, "soctherm_oc:oc2": 2, "soctherm_oc:oc3": 7}


def test_a_package_is_counted_once_however_many_cores_show_it(tmp_path: Path) -> None:
    cpus = tmp_path / "sys/devices/system/cpu"
    for cpu in range(2):
        sysfs_tree.write(cpus / f"cpu{cpu}/thermal_throttle/core_throttle_count", cpu)
        sysfs_tree.write(cpus / f"cpu{cpu}/thermal_throttle/package_throttle_count", 5)
        sysfs_tree.write(cpus / f"cpu{cpu}/topology/physical_package_id", 0)
    assert counts(tmp_path) == {
        "thermal_throttle:cpu0": 0,
        "thermal_throttle:cpu1": 1,
        "thermal_throttle:package-0": 5,
    }


def test_a_machine_without_counters_has_no_probe(tmp_path: Path) -> None:
    sysfs_tree.write(tmp_path / "sys/class/hwmon/hwmon0/name", "acpitz")
    assert discover(places(str(tmp_path))) == []
