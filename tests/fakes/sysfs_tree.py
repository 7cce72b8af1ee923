"""Builds trees of plain files that look like a device's /sys and /proc."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Rail = tuple[str, int, int]


def write(path: Path, text: object) -> Path:
    """Writes one sysfs file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")
    return path


def ina3221_hwmon(
    root: Path,
    address: str,
    rails: Sequence[Rail],
    hwmon: str = "hwmon3",
    *,
    shunt_uohm: int = 5000,
    update_interval_ms: int = 7,
) -> Path:
    """Makes an INA3221 as JetPack 5 and later show it; rails are (label, millivolts, milliamperes)."""
    chip = root / "sys/bus/i2c/devices" / address
    write(chip / "name", "ina3221")
    base = chip / "hwmon" / hwmon
    write(base / "name", "ina3221")
    write(base / "update_interval", update_interval_ms)
    for channel, (label, voltage_mv, current_ma) in enumerate(rails, start=1):
        write(base / f"in{channel}_label", label)
        write(base / f"in{channel}_input", voltage_mv)
        write(base / f"curr{channel}_input", current_ma)
        write(base / f"shunt{channel}_resistor", shunt_uohm)
    # The sum of shunt voltages, which is no rail.
    write(base / "in7_label", "sum of shunt voltages")
    write(base / "in7_input", 80)
    write(base / "curr7_input", 99_999)
    return base


def ina2xx_hwmon(
    root: Path, address: str, chip: str, *, power_uw: int, voltage_mv: int, hwmon: str = "hwmon5"
) -> Path:
    """Makes a monitor that computes power itself: INA219, INA226, INA238 ..."""
    device = root / "sys/bus/i2c/devices" / address
    write(device / "name", chip)
    base = device / "hwmon" / hwmon
    write(base / "name", chip)
    write(base / "power1_input", power_uw)
    write(base / "in1_input", voltage_mv)
    write(base / "curr1_input", power_uw // voltage_mv)
    write(base / "shunt_resistor", 1000)
    return base


def ucsi_supply(root: Path, address: str) -> Path:
    """Makes a USB-C port controller, whose hwmon shows what was negotiated and nothing measured."""
    device = root / "sys/bus/i2c/devices" / address
    write(device / "name", "ccgx-ucsi")
    base = device / "hwmon/hwmon0"
    write(base / "name", "ucsi_source_psy_1_00081")
    write(base / "in0_input", 5000)
    write(base / "curr1_input", 3000)
    return base


def compatible(root: Path, *names: str) -> None:
    """Writes what the device tree says of the board."""
    path = root / "sys/firmware/devicetree/base/compatible"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(name.encode() + b"\0" for name in names))


def fail(path: Path, error: str) -> None:
    """Lets a file fail with this error where `sysfs_errors.c` is preloaded; elsewhere it is no number."""
    path.write_text(f"!errno {error}\n")


def ina3221_iio(root: Path, address: str, rails: Sequence[Rail]) -> Path:
    """Makes an INA3221 as JetPack 4 shows it."""
    chip = root / "sys/bus/i2c/devices" / address
    write(chip / "name", "ina3221x")
    base = chip / "iio:device0"
    for index, (label, voltage_mv, current_ma) in enumerate(rails):
        write(base / f"rail_name_{index}", label)
        write(base / f"in_voltage{index}_input", voltage_mv)
        write(base / f"in_current{index}_input", current_ma)
        write(base / f"in_power{index}_input", voltage_mv * current_ma // 1000)
    return base


def rapl_zone(root: Path, zone: str, name: str, energy_uj: int, range_uj: int = 262_143_328_850) -> Path:
    """Makes one powercap zone, such as `intel-rapl:0`, and returns its counter."""
    base = root / "sys/class/powercap" / zone
    write(base / "name", name)
    write(base / "max_energy_range_uj", range_uj)
    return write(base / "energy_uj", energy_uj)


def thermal_zone(root: Path, number: int, kind: str, temperature_mc: int) -> Path:
    """Makes one thermal zone and returns its temperature file."""
    base = root / f"sys/class/thermal/thermal_zone{number}"
    write(base / "type", kind)
    return write(base / "temp", temperature_mc)


def cpufreq_policy(
    root: Path, number: int, *, achieved_khz: int | None, requested_khz: int, driver: str = "tegra194"
) -> Path:
    """Makes one frequency domain of the processor, pinned to `requested_khz`."""
    base = root / f"sys/devices/system/cpu/cpufreq/policy{number}"
    write(base / "scaling_driver", driver)
    for name in ("scaling_cur_freq", "scaling_min_freq", "scaling_max_freq"):
        write(base / name, requested_khz)
    if achieved_khz is not None:
        write(base / "cpuinfo_cur_freq", achieved_khz)
    return base


def devfreq(root: Path, name: str, *, frequency_hz: int, lowest_hz: int, highest_hz: int) -> Path:
    """Makes one device of devfreq, such as the GPU 17000000.gpu."""
    base = root / "sys/class/devfreq" / name
    write(base / "cur_freq", frequency_hz)
    write(base / "min_freq", lowest_hz)
    write(base / "max_freq", highest_hz)
    return base


def over_current(root: Path, *counts: int, hwmon: str = "hwmon9") -> Path:
    """Makes the over-current counters of a Jetson and returns their folder."""
    base = root / "sys/class/hwmon" / hwmon
    write(base / "name", "soctherm_oc")
    for number, count in enumerate(counts, start=1):
        write(base / f"oc{number}_event_cnt", count)
        write(base / f"oc{number}_throt_en", 1)
    return base


def cgroup_v2(root: Path, path: str, *, current: int, peak: int | None, oom_kills: int = 0) -> Path:
    """Makes the memory files of a cgroup and says that this process is in it."""
    write(root / "proc/self/cgroup", f"0::/{path}")
    base = root / "sys/fs/cgroup" / path
    write(base / "memory.current", current)
    write(base / "memory.events", f"low 0\nhigh 0\nmax 0\noom 0\noom_kill {oom_kills}")
    if peak is not None:
        write(base / "memory.peak", peak)
    return base


def cgroup_v1(root: Path, path: str, *, usage: int, largest: int) -> Path:
    """The same where the memory controller has a hierarchy of its own."""
    write(root / "proc/self/cgroup", f"4:memory:/{path}\n0::/")
    base = root / "sys/fs/cgroup/memory" / path
    write(base / "memory.usage_in_bytes", usage)
    write(base / "memory.max_usage_in_bytes", largest)
    write(base / "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0")
    return base


def memory(
    root: Path,
    *,
    available_kib: int,
    swap_free_kib: int = 0,
    swapped_in: int = 0,
    swapped_out: int = 0,
    nvmap_kib: int | None = None,
    stalled_us: int | None = None,
) -> None:
    """Makes the procfs files that memory is read from."""
    lines = ["MemTotal: 8000000 kB", f"MemAvailable: {available_kib} kB", f"SwapFree: {swap_free_kib} kB"]
    if nvmap_kib is not None:
        lines.append(f"NvMapMemUsed:   {nvmap_kib} kB")
    write(root / "proc/meminfo", "\n".join(lines))
    write(
        root / "proc/vmstat",
        f"nr_free_pages 1\npswpin {swapped_in}\npswpout {swapped_out}\npgmajfault 12\noom_kill 0",
    )
    if stalled_us is not None:
        averages = "avg10=0.00 avg60=0.00 avg300=0.00"
        write(root / "proc/pressure/memory", f"some {averages} total={stalled_us}\nfull {averages} total=1")
