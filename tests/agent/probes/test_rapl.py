"""RAPL zones of a powercap tree."""

import os
from pathlib import Path

import pytest

from edgerig_agent.probes.base import places
from edgerig_agent.probes.rapl import discover
from tests.fakes import sysfs_tree


def test_only_packages_are_a_boundary_and_every_other_zone_is_a_rail(tmp_path: Path) -> None:
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 5)
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl:0:0", "core", 3)
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl:1", "psys", 9)
    (probe,) = discover(places(str(tmp_path)))
    assert {channel.source: channel.boundary for channel in probe.describe()} == {
        "rapl:package-0": "cpu_pkg",
        "rapl:package-0/core": "rail",
        "rapl:psys": "rail",
    }


def test_the_second_view_of_the_same_package_is_passed_over(tmp_path: Path) -> None:
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 5)
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl-mmio:0", "package-0", 5)
    (probe,) = discover(places(str(tmp_path)))
    assert len(probe.describe()) == 1


def test_the_counter_is_read_raw_with_its_range(tmp_path: Path) -> None:
    counter = sysfs_tree.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 100, range_uj=999)
    (probe,) = discover(places(str(tmp_path)))
    (channel,) = probe.open()
    first = probe.read_all()
    counter.write_text("260\n")
    second = probe.read_all()
    probe.close()
    assert (first, second) == ([100], [260])
    assert channel.wrap_raw == 1000


def test_a_refused_permission_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 5)
    monkeypatch.setattr(os, "access", lambda *_: False)
    (probe,) = discover(places(str(tmp_path)))
    assert "chmod a+r" in probe.describe()[0].unavailable_reason


def boundaries(root: Path) -> dict[str, str]:
    (probe,) = discover(places(str(root)))
    return {channel.source: channel.boundary for channel in probe.describe()}


def test_each_die_of_a_package_is_a_boundary_and_its_parts_are_rails(tmp_path: Path) -> None:
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl:0", "package-0-die-0", 5)
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl:1", "package-0-die-1", 5)
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl:0:0", "dram", 1)
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl:1:0", "dram", 1)
    assert boundaries(tmp_path) == {
        "rapl:package-0-die-0": "cpu_pkg",
        "rapl:package-0-die-1": "cpu_pkg",
        "rapl:package-0-die-0/dram": "rail",
        "rapl:package-0-die-1/dram": "rail",
    }


def test_an_amd_processor_wraps_at_its_own_range(tmp_path: Path) -> None:
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 5, range_uj=65_532_610_987)
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl:0:0", "core", 3, range_uj=65_532_610_987)
    (probe,) = discover(places(str(tmp_path)))
    assert [channel.wrap_raw for channel in probe.describe()] == [65_532_610_988] * 2


def test_a_zone_that_only_the_second_view_has_is_taken_from_it(tmp_path: Path) -> None:
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 5)
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl-mmio:0", "package-0", 5)
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl-mmio:0:0", "dram", 5)
    assert boundaries(tmp_path) == {"rapl:package-0": "cpu_pkg", "rapl:package-0/dram": "rail"}


def test_zones_that_share_a_name_are_told_apart(tmp_path: Path) -> None:
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 5)
    sysfs_tree.rapl_zone(tmp_path, "intel-rapl:1", "package-0", 5)
    assert set(boundaries(tmp_path)) == {"rapl:package-0@0", "rapl:package-0@1"}
