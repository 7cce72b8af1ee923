"""What is read of a device, from trees of plain files."""

import os
from pathlib import Path

import pytest

from edgerig_agent.probes.base import places
from edgerig_agent.protocol.conditions import Observer, read_clock_limits, read_governor
from edgerig_agent.protocol.gpu_users import GpuUsers
from edgerig_agent.protocol.power_mode import read_power_mode
from tests.fakes import jetson_settings, sysfs_tree
from tests.fakes.sysfs_tree import write


def proc(root: Path, *, load1: float = 0.1, swap_free_kib: int = 0) -> None:
    sysfs_tree.memory(root, available_kib=4_000_000, swap_free_kib=swap_free_kib)
    with (root / "proc/meminfo").open("a") as file:
        file.write("SwapTotal: 100000 kB\n")
    write(root / "proc/loadavg", f"{load1} 0.2 0.3 1/100 4242")


def test_a_jetson_shows_mode_clocks_heat_load_and_swap(tmp_path: Path) -> None:
    root = jetson_settings.make_tree(tmp_path / "root", mode=1)
    proc(root, load1=0.75, swap_free_kib=60_000)
    sysfs_tree.thermal_zone(root, 0, "cpu-thermal", 41_500)
    found = Observer(str(root), tmp_path).look()
    assert (found.power_mode, found.cpu_governor) == ("15W", "schedutil")
    assert found.temperatures_c == {"thermal:0:cpu-thermal": pytest.approx(41.5)}
    assert (found.load1, found.swap_used_bytes) == (0.75, 40_000 * 1024)
    assert [limits.words() for limits in found.clock_limits] == [
        "policy0 115.2-1190.4 MHz",
        "policy4 115.2-1190.4 MHz",
        "17000000.ga10b 306-918 MHz",
    ]
    assert found.clocks_pinned is False
    assert found.unknown == ()
    assert found.disk_free_bytes and found.disk_free_bytes > 0


def test_a_machine_that_shows_nothing_says_what_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "root/sys").mkdir(parents=True)
    proc(tmp_path / "root")
    found = Observer(str(tmp_path / "root"), tmp_path).look()
    assert found.clocks_pinned is None
    assert found.power_mode == ""
    assert found.unknown == ("temperature: the kernel shows no thermal zone",)


def test_governors_that_differ_are_both_named(tmp_path: Path) -> None:
    root = jetson_settings.make_tree(tmp_path)
    write(root / "sys/devices/system/cpu/cpufreq/policy4/scaling_governor", "performance")
    assert read_governor(places(str(root))) == "performance,schedutil"


def test_a_clock_with_one_frequency_is_pinned(tmp_path: Path) -> None:
    root = jetson_settings.make_tree(tmp_path)
    jetson_settings.jetson_clocks(str(root), [])
    assert all(limits.pinned for limits in read_clock_limits(places(str(root))))


@pytest.mark.parametrize(("asked", "name"), [("15W", "15W"), ("15w", "15W"), ("1", "15W"), ("9", None)])
def test_a_mode_is_found_by_name_or_number(tmp_path: Path, asked: str, name: str | None) -> None:
    root = jetson_settings.make_tree(tmp_path)
    assert read_power_mode(str(root)).find(asked) == name


def test_a_mode_without_a_name_is_known_by_its_number(tmp_path: Path) -> None:
    write(tmp_path / "var/lib/nvpmodel/status", "pmode:0003")
    found = read_power_mode(str(tmp_path))
    assert (found.kind, found.name, found.find("3")) == ("nvpmodel", "3", "3")


def test_a_machine_without_nvpmodel_has_its_platform_profile(tmp_path: Path) -> None:
    write(tmp_path / "sys/firmware/acpi/platform_profile", "balanced")
    write(tmp_path / "sys/firmware/acpi/platform_profile_choices", "low-power balanced performance")
    found = read_power_mode(str(tmp_path))
    assert (found.kind, found.name, found.find("performance")) == (
        "platform_profile",
        "balanced",
        "performance",
    )
    # Its choices have no numbers of their own.
    assert found.find("0") is None


def test_clients_of_nvmap_are_users_of_the_gpu(tmp_path: Path) -> None:
    write(
        tmp_path / "sys/kernel/debug/nvmap/iovmm/clients",
        "CLIENT                        PROCESS      PID        SIZE\n"
        f"user                          python3      {os.getpid()}       1K\n"
        "user                          Xorg         1234       5678K\n"
        "total                                                 5679K",
    )
    write(tmp_path / "proc/1234/comm", "Xorg")
    assert GpuUsers(str(tmp_path), frozenset({os.getpid()})).list() == (("1234 Xorg",), "")


def test_without_lists_the_open_device_files_tell(tmp_path: Path) -> None:
    write(tmp_path / "dev/nvhost-gpu", "")
    (tmp_path / "sys").mkdir()
    for pid, target in ((77, "/dev/nvmap"), (78, "/dev/null")):
        write(tmp_path / f"proc/{pid}/comm", f"program{pid}")
        (tmp_path / f"proc/{pid}/fd").mkdir()
        (tmp_path / f"proc/{pid}/fd/3").symlink_to(target)
    assert GpuUsers(str(tmp_path), frozenset()).list() == (("77 program77",), "")


def test_a_machine_without_a_gpu_looks_into_no_process(tmp_path: Path) -> None:
    (tmp_path / "sys").mkdir()
    write(tmp_path / "proc/77/comm", "program")
    assert GpuUsers(str(tmp_path), frozenset()).list() == ((), "")
