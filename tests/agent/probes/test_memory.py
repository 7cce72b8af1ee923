"""Memory figures out of procfs."""

from pathlib import Path

from edgerig_agent.probes.base import UNREAD, places
from edgerig_agent.probes.memory import AVAILABLE, SWAPPED_IN, discover, number_after
from tests.fakes import sysfs_tree


def test_available_memory_and_swap_are_read_with_their_unit(tmp_path: Path) -> None:
    sysfs_tree.memory(tmp_path, available_kib=4321, swap_free_kib=77)
    meminfo, _ = discover(places(str(tmp_path)))
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
    _, vmstat = discover(places(str(tmp_path)))
    channels = vmstat.open()
    values = dict(zip((channel.source for channel in channels), vmstat.read_all(), strict=True))
    vmstat.close()
    assert values[SWAPPED_IN] == 5


def test_a_kernel_that_does_not_show_a_figure_says_so(tmp_path: Path) -> None:
    sysfs_tree.write(tmp_path / "proc/meminfo", "MemTotal: 1 kB")
    meminfo, vmstat = discover(places(str(tmp_path)))
    assert all(channel.unavailable_reason for probe in (meminfo, vmstat) for channel in probe.describe())
    assert meminfo.open() == ()


def test_a_tree_without_proc_reads_this_machines_memory(tmp_path: Path) -> None:
    (tmp_path / "sys").mkdir()
    meminfo, _ = discover(places(str(tmp_path)))
    meminfo.open()
    values = meminfo.read_all()
    meminfo.close()
    assert values[0] > 0


def test_a_word_without_a_number_is_unread() -> None:
    assert number_after(b"MemAvailable:", b"MemAvailable:") == UNREAD
    assert number_after(b"MemFree: 3 kB", b"MemAvailable:") == UNREAD
