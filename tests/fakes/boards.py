"""A fake /sys for every Jetson board of the product, and what a correct probe finds on it.

One function a board writes the tree below a root and returns the expectations,
in the form of tests/conformance/README.md. Labels and addresses are those of
docs/reference/sensors.md, with its doubts; currents and voltages are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.fakes import sysfs_tree
from tests.fakes.sysfs_tree import Rail, fail, ina2xx_hwmon, ina3221_hwmon, ina3221_iio, write

Expectations = dict[str, Any]

# Label to boundary, for those that are more than a rail.
_INPUTS = {
    "VDD_IN": "module_in",
    "POM_5V_IN": "module_in",
    "VDD_MUX": "carrier_in",
}


def nano(root: Path) -> Expectations:
    """Jetson Nano, JetPack 4: iio layout."""
    rails = [("POM_5V_IN", 5016, 600), ("POM_5V_GPU", 5016, 40), ("POM_5V_CPU", 5008, 160)]
    ina3221_iio(root, "6-0040", rails)
    return _expect({"6-0040": rails}, {"module_in": ["POM_5V_IN"]})


def tx2(root: Path) -> Expectations:
    """Jetson TX2 on its developer kit, JetPack 4: two chips on the module, two on the carrier."""
    chips = {
        "0-0040": [("VDD_SYS_GPU", 19152, 20), ("VDD_SYS_SOC", 19152, 30), ("VDD_4V0_WIFI", 4784, 4)],
        "0-0041": [("VDD_IN", 19136, 180), ("VDD_SYS_CPU", 19152, 25), ("VDD_SYS_DDR", 4792, 60)],
        "0-0042": [("VDD_MUX", 19184, 250), ("VDD_5V0_IO_SYS", 4984, 260), ("VDD_3V3_SYS", 3352, 40)],
        "0-0043": [("VDD_3V3_IO_SLP", 3344, 0), ("VDD_1V8_IO", 1808, 20), ("VDD_3V3_SYS_M2", 3352, 1)],
    }
    for address, rails in chips.items():
        ina3221_iio(root, address, rails)
    return _expect(chips, {"module_in": ["VDD_IN"], "carrier_in": ["VDD_MUX"]})


def agx_xavier(root: Path) -> Expectations:
    """Jetson AGX Xavier: no input rail, six rails that are together all inputs; shown by JetPack 5."""
    chips = {
        "1-0040": [("GPU", 19064, 30), ("CPU", 19064, 40), ("SOC", 19072, 80)],
        "1-0041": [("CV", 19064, 0), ("VDDRQ", 19064, 25), ("SYS5V", 5032, 500)],
    }
    # A numbering that another boot gave: neither in the order of addresses nor beginning with 0.
    for (address, rails), hwmon in zip(chips.items(), ("hwmon7", "hwmon2"), strict=True):
        ina3221_hwmon(root, address, rails, hwmon)
    return _expect(chips, {"rails_sum": ["GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"]})


def xavier_nx(root: Path) -> Expectations:
    """Jetson Xavier NX, JetPack 5."""
    rails = [("VDD_IN", 5104, 900), ("VDD_CPU_GPU_CV", 5104, 200), ("VDD_SOC", 5096, 210)]
    ina3221_hwmon(root, "7-0040", rails, "hwmon4")
    return _expect({"7-0040": rails}, {"module_in": ["VDD_IN"]})


def orin_nano(root: Path) -> Expectations:
    """Jetson Orin Nano; a USB-C controller beside it shows what it negotiated, which is no power."""
    rails = [("VDD_IN", 5040, 1000), ("VDD_CPU_GPU_CV", 5040, 400), ("VDD_SOC", 5040, 300)]
    ina3221_hwmon(root, "1-0040", rails, "hwmon1")
    sysfs_tree.ucsi_supply(root, "1-0008")
    return _expect({"1-0040": rails}, {"module_in": ["VDD_IN"]})


def orin_nx(root: Path) -> Expectations:
    """Jetson Orin NX: the rails of Orin Nano; the third channel is disabled here (ENODATA)."""
    rails = [("VDD_IN", 5032, 1400), ("VDD_CPU_GPU_CV", 5032, 600), ("VDD_SOC", 5040, 310)]
    base = ina3221_hwmon(root, "1-0040", rails, "hwmon3")
    fail(base / "in3_input", "ENODATA")
    fail(base / "curr3_input", "ENODATA")
    expected = _expect({"1-0040": rails[:2]}, {"module_in": ["VDD_IN"]})
    expected["unreadable"] = {"ina3221:1-0040:3:VDD_SOC": "ENODATA"}
    return expected


def agx_orin(root: Path) -> Expectations:
    """Jetson AGX Orin: no input rail; VDDQ is a branch of the 5 V input and is not added."""
    chips = _orin_module(root, ("hwmon3", "hwmon4"))
    return _expect(chips, {"rails_sum": ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]})


def igx_orin(root: Path) -> Expectations:
    """IGX Orin: the AGX Orin module, with an INA3221 and an INA219 on the carrier.

    The ATX rails are not all inputs of the carrier (12 V of a graphics card may
    come by a cable of its own), so they add up to nothing.
    """
    chips = _orin_module(root, ("hwmon5", "hwmon6"))
    carrier = [("CVB_ATX_12V", 12080, 900), ("CVB_ATX_3V3", 3320, 100), ("CVB_ATX_5V", 5040, 210)]
    ina3221_hwmon(root, "4-0041", carrier, "hwmon1")
    ina2xx_hwmon(root, "4-0044", "ina219", power_uw=11_500_000, voltage_mv=12_080, hwmon="hwmon2")
    expected = _expect(
        {**chips, "4-0041": carrier}, {"rails_sum": ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]}
    )
    expected["sources"]["ina219:4-0044:power1"] = {"boundary": "rail", "power_w": 11.5}
    return expected


def agx_thor(root: Path) -> Expectations:
    """Jetson AGX Thor: rails of the module, and an INA238 in the input of module and carrier."""
    sysfs_tree.compatible(root, "nvidia,p4071-0000+p3834-0008", "nvidia,tegra264")
    rails = [("VDD_GPU", 19_400, 500), ("VDD_CPU_SOC_MSS", 19_400, 700), ("VIN_SYS_5V0", 5048, 1500)]
    ina3221_hwmon(root, "1-0040", rails, "hwmon2", shunt_uohm=1000)
    ina2xx_hwmon(root, "1-0044", "ina238", power_uw=38_250_000, voltage_mv=19_480, hwmon="hwmon3")
    sysfs_tree.ucsi_supply(root, "2-0008")
    expected = _expect({"1-0040": rails}, {})
    expected["sources"]["ina238:1-0044:VIN"] = {"boundary": "carrier_in", "power_w": 38.25}
    expected["totals"] = {"carrier_in": 38.25}
    return expected


def two_of_a_kind(root: Path) -> Expectations:
    """No board of NVIDIA's: labels that repeat on two chips, so that no sum may be taken of them."""
    rails = [("VDD_GPU_SOC", 19_000, 100), ("VDD_CPU_CV", 19_000, 50), ("VIN_SYS_5V0", 5_000, 400)]
    chips = {"1-0040": rails, "1-0041": [("VDD_GPU_SOC", 19_000, 300)]}
    for address, own in chips.items():
        ina3221_hwmon(root, address, own)
    return _expect(chips, {})


BOARDS: dict[str, Callable[[Path], Expectations]] = {
    build.__name__: build
    for build in (
        *(nano, tx2, agx_xavier, xavier_nx, orin_nano, orin_nx),
        *(agx_orin, igx_orin, agx_thor, two_of_a_kind),
    )
}


def _orin_module(root: Path, hwmons: tuple[str, str]) -> Mapping[str, Sequence[Rail]]:
    connected = {
        "1-0040": [("VDD_GPU_SOC", 19_056, 160), ("VDD_CPU_CV", 19_056, 40), ("VIN_SYS_5V0", 5_000, 620)],
        "1-0041": [("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 4_968, 120), ("NC", 0, 0)],
    }
    for (address, rails), hwmon in zip(connected.items(), hwmons, strict=True):
        ina3221_hwmon(root, address, rails, hwmon, shunt_uohm=2000)
    # A chip of the board that is none of ours.
    write(root / "sys/bus/i2c/devices/0-0050/name", "24c02")
    return {**connected, "1-0041": [("NC", 0, 0), connected["1-0041"][1]]}


def _expect(chips: Mapping[str, Sequence[Rail]], totals: dict[str, list[str]]) -> Expectations:
    """Words the expectations; `totals` names the rails that make up each boundary.

    Channels count from 1 in the order in which a chip's rails are listed.
    """
    powers_w: dict[str, float] = {}
    sources = {}
    for address, rails in chips.items():
        for channel, (label, voltage_mv, current_ma) in enumerate(rails, start=1):
            if label == "NC":
                continue
            powers_w[label] = voltage_mv * current_ma * 1e-6
            boundary = _INPUTS.get(label, "rail")
            sources[f"ina3221:{address}:{channel}:{label}"] = {
                "boundary": boundary,
                "power_w": powers_w[label],
            }
    return {
        "sources": sources,
        "unreadable": {},
        "totals": {b: sum(powers_w[label] for label in labels) for b, labels in totals.items()},
    }
