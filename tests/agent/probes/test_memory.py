"""Memory figures out of procfs."""

from pathlib import Path

import pytest

from edgerig_agent.probes.base import UNREAD, Probe, places
from edgerig_agent.probes.cgroup import CURRENT, PEAK
from edgerig_agent.probes.memory import AVAILABLE, NVMAP, STALLED, SWAPPED_IN, discover, number_after
from tests.fakes import sysfs_tree


def test_available_memory_and_swap_are_read_with_their_unit(tmp_path: Path) -> None:
    sysfs_tree.memory(tmp_path, available_kib=4321, swap_free_kib=77)
    meminfo, *_ = discover(places(str(tmp_path)))
    channels = meminfo.open()
    values = meminfo.read_all()
    meminfo.close()
    assert channels[0].source == AVAILABLE
    assert [value * channel.scale for value, channel in zip(values, channels, strict=True)] == [
        4321 * 1024.0,
        77 * 1024.0,
    ]


def test_pages_from_swap_are_read(tmp_path: Path) -> None:
    sysfs_tree.memory(tmp_path, available_kib=1, swapped_in=5)
    _, vmstat, *_ = discover(places(str(tmp_path)))
    channels = vmstat.open()
    values = dict(zip((channel.source for channel in channels), vmstat.read_all(), strict=True))
    vmstat.close()
    assert values[SWAPPED_IN] == 5


def test_a_kernel_that_does_not_show_a_figure_says_so(tmp_path: Path) -> None:
    sysfs_tree.write(tmp_path / "proc/meminfo", "MemTotal: 1 kB")
    meminfo, vmstat, *_ = discover(places(str(tmp_path)))
    assert all(channel.unavailable_reason for probe in (meminfo, vmstat) for channel in probe.describe())
    assert meminfo.open() == ()


def test_a_tree_without_proc_reads_this_machines_memory(tmp_path: Path) -> None:
    (tmp_path / "sys").mkdir()
    meminfo, *_ = discover(places(str(tmp_path)))
    meminfo.open()
    values = meminfo.read_all()
    meminfo.close()
    assert values[0] > 0


def test_a_word_without_a_number_is_unread() -> None:
    assert number_after(b"MemAvailable:", b"MemAvailable:") == UNREAD
    assert number_after(b"MemFree: 3 kB", b"MemAvailable:") == UNREAD


def values(probe: Probe) -> dict[str, float]:
    channels = probe.open()
    raws = probe.read_all()
    probe.close()
    return {channel.source: raw * channel.scale for channel, raw in zip(channels, raws, strict=True)}


def named(root: Path, name: str) -> Probe:
    return next(probe for probe in discover(places(str(root))) if probe.name == name)


def test_what_the_gpu_of_a_jetson_takes_of_the_shared_memory_is_read(tmp_path: Path) -> None:
    sysfs_tree.memory(tmp_path, available_kib=9, nvmap_kib=512)
    assert values(named(tmp_path, "memory"))[NVMAP] == 512 * 1024.0


def test_a_board_without_that_line_says_so(tmp_path: Path) -> None:
    sysfs_tree.memory(tmp_path, available_kib=9)
    reasons = {c.source: c.unavailable_reason for c in named(tmp_path, "memory").describe()}
    assert "does not show it" in reasons[NVMAP] and not reasons[AVAILABLE]


def test_time_spent_waiting_for_memory_is_that_of_any_task(tmp_path: Path) -> None:
    sysfs_tree.memory(tmp_path, available_kib=9, stalled_us=1_500_000)
    assert values(named(tmp_path, "pressure")) == {STALLED: pytest.approx(1.5)}


def test_a_kernel_without_pressure_figures_says_so(tmp_path: Path) -> None:
    sysfs_tree.memory(tmp_path, available_kib=9)
    (channel,) = named(tmp_path, "pressure").describe()
    assert "is not on this kernel" in channel.unavailable_reason


def test_a_cgroup_of_version_2_shows_its_memory_and_its_peak(tmp_path: Path) -> None:
    sysfs_tree.memory(tmp_path, available_kib=9)
    sysfs_tree.cgroup_v2(tmp_path, "user.slice/agent", current=1000, peak=3000)
    assert values(named(tmp_path, "cgroup")) == {CURRENT: 1000.0, PEAK: 3000.0}


def test_a_kernel_before_5_19_has_no_peak_and_says_since_when_there_is_one(tmp_path: Path) -> None:
    sysfs_tree.memory(tmp_path, available_kib=9)
    sysfs_tree.cgroup_v2(tmp_path, "agent", current=1000, peak=None)
    probe = named(tmp_path, "cgroup")
    assert values(probe) == {CURRENT: 1000.0}
    assert "5.19" in probe.describe()[1].unavailable_reason


def test_a_cgroup_of_version_1_shows_the_same(tmp_path: Path) -> None:
    sysfs_tree.memory(tmp_path, available_kib=9)
    sysfs_tree.cgroup_v1(tmp_path, "box/7", usage=10, largest=30)
    assert values(named(tmp_path, "cgroup")) == {CURRENT: 10.0, PEAK: 30.0}


def test_in_a_container_the_root_of_the_mount_is_the_own_cgroup(tmp_path: Path) -> None:
    sysfs_tree.memory(tmp_path, available_kib=9)
    sysfs_tree.cgroup_v2(tmp_path, "", current=5, peak=6)
    sysfs_tree.write(tmp_path / "proc/self/cgroup", "0::/docker/0123")
    assert values(named(tmp_path, "cgroup"))[CURRENT] == 5.0
