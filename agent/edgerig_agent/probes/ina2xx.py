"""Power monitors that compute power themselves: INA219, INA226, INA238 and their kin by hwmon.

The kernel shows `power1_input` in microwatts: one conversion, so that power needs
no product of a current and a voltage of different instants. What such a chip
measures is known of one board only: on Jetson AGX Thor the INA238 sits in VIN
and sees module and carrier (NVIDIA's forum, 366461). Everywhere else it is a rail, unless a person says
what it measures (`--meter hwmon:...`).
"""

from __future__ import annotations

from edgerig_agent.probes.base import (
    POWER_W,
    VOLTAGE_V,
    Channel,
    FileProbe,
    Places,
    Probe,
    list_folder,
    read_number,
    read_text,
    why_unreadable,
)

# Names of the kernel's drivers ina2xx and ina238.
CHIPS = frozenset(
    {
        *("ina219", "ina220", "ina226", "ina230", "ina231", "ina260"),
        *("ina228", "ina234", "ina237", "ina238", "ina700", "ina780", "sq52206"),
    }
)

_MICRO = 1e-6
_MILLI = 1e-3
_POWER_INTERVAL_NS = 10_000_000
# The bus voltage is needed for the error budget only, and it moves slowly.
_VOLTAGE_INTERVAL_NS = 1_000_000_000
# Device tree of Jetson AGX Thor.
_THOR = "nvidia,tegra264"


def discover(at: Places) -> list[Probe]:
    """Finds the monitors by walking the i2c devices; hwmon numbers are not stable."""
    is_thor = _THOR in read_text(f"{at.sysfs}/firmware/devicetree/base/compatible")
    powers: list[tuple[Channel, str]] = []
    voltages: list[tuple[Channel, str]] = []
    for chip, address, base in monitors(at):
        is_vin = is_thor and chip == "ina238"
        source = f"{chip}:{address}:{'VIN' if is_vin else _label(base)}"
        power = Channel(
            source,
            POWER_W,
            "carrier_in" if is_vin else "rail",
            _MICRO,
            unavailable_reason=why_unreadable(f"{base}/power1_input"),
            shunt_ohm=read_number(f"{base}/shunt_resistor") * _MICRO,
            update_interval_ns=read_number(f"{base}/update_interval") * 1_000_000,
        )
        reason = why_unreadable(f"{base}/in1_input")
        voltage = Channel(source, VOLTAGE_V, "", _MILLI, unavailable_reason=reason)
        powers.append((power, f"{base}/power1_input"))
        voltages.append((voltage, f"{base}/in1_input"))
    if not powers:
        return []
    return [
        FileProbe("ina2xx", _POWER_INTERVAL_NS, powers),
        FileProbe("ina2xx_bus", _VOLTAGE_INTERVAL_NS, voltages),
    ]


def monitors(at: Places) -> list[tuple[str, str, str]]:
    """Lists chip, i2c address and hwmon folder of every such monitor."""
    devices = f"{at.sysfs}/bus/i2c/devices"
    found = []
    for address in list_folder(devices):
        chip = read_text(f"{devices}/{address}/name")
        if chip in CHIPS:
            folder = f"{devices}/{address}/hwmon"
            found += [(chip, address, f"{folder}/{name}") for name in list_folder(folder)]
    return found


def _label(base: str) -> str:
    """The driver has no labels of its own; a device tree may give the chip one."""
    return read_text(f"{base}/label") or "power1"
