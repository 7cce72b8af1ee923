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


def ina3221_hwmon(root: Path, address: str, rails: Sequence[Rail], hwmon: str = "hwmon3") -> Path:
    """Makes an INA3221 as JetPack 5 and later show it; rails are (label, millivolts, milliamperes)."""
    chip = root / "sys/bus/i2c/devices" / address
    write(chip / "name", "ina3221")
    base = chip / "hwmon" / hwmon
    for channel, (label, voltage_mv, current_ma) in enumerate(rails, start=1):
        write(base / f"in{channel}_label", label)
        write(base / f"in{channel}_input", voltage_mv)
        write(base / f"curr{channel}_input", current_ma)
    # The sum of shunt voltages, which is no rail.
    write(base / "in7_label", "sum of shunt voltages")
    write(base / "in7_input", 80)
    return base


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


def memory(root: Path, *, available_kib: int, swap_free_kib: int = 0, swapped_in: int = 0) -> None:
    """Makes the two procfs files that memory is read from."""
    write(
        root / "proc/meminfo",
        f"MemTotal: 8000000 kB\nMemAvailable: {available_kib} kB\nSwapFree: {swap_free_kib} kB",
    )
    write(root / "proc/vmstat", f"nr_free_pages 1\npswpin {swapped_in}\npswpout 0\npgmajfault 12\noom_kill 0")
