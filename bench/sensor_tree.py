"""Sensors for benchmarks of the sampler: this machine's own, or a tree of real files with five rails."""

from __future__ import annotations

from pathlib import Path

from edgerig_agent.probes.base import POWER_QUANTITIES, places
from edgerig_agent.probes.families import discover

RAILS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO", "CVB_12V")


def sensor_root(folder: Path) -> tuple[Path, list[str]]:
    """Returns the folder that stands for `/`, and the power channels that it holds."""
    own = [c for probe in discover(places()) for c in probe.describe() if not c.unavailable_reason]
    power = sorted({channel.source for channel in own if channel.quantity in POWER_QUANTITIES})
    if power:
        return Path("/"), power
    root = folder / "root"
    for chip, labels in (("1-0040", RAILS[:3]), ("1-0041", RAILS[3:])):
        device = root / "sys/bus/i2c/devices" / chip
        hwmon = device / "hwmon/hwmon0"
        hwmon.mkdir(parents=True)
        (device / "name").write_text("ina3221\n")
        for channel, label in enumerate(labels, start=1):
            (hwmon / f"in{channel}_label").write_text(f"{label}\n")
            (hwmon / f"in{channel}_input").write_text("5040\n")
            (hwmon / f"curr{channel}_input").write_text("1234\n")
    return root, list(RAILS)
