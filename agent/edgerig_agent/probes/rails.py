"""What the power rails of a Jetson board cover; pure.

A rail is one of several and never a total. A board total is said to exist only
where a rail measures the input of the module or of the whole board, or where
the named rails together are all of the module's inputs. Sources and doubts, rail
by rail: docs/reference/sensors.md.
"""

from __future__ import annotations

# These rails are the input of the whole module.
# Nano: forum "power consumption monitoring" 73608. Xavier NX, Orin NX and Nano: forum 200883.
MODULE_INPUTS = frozenset({"VDD_IN", "POM_5V_IN"})

# These are the input of the carrier board, and so of module and carrier together.
# VDD_MUX: "main carrier board power input" of the TX1 and TX2 developer kits.
CARRIER_INPUTS = frozenset({"VDD_MUX"})

# Rails of a carrier board: no part of what its module takes.
# Developer kit of the TX2 (device tree tegra186-quill-p3310-1000); IGX Orin.
CARRIER_RAILS = frozenset(
    {
        *("VDD_5V0_IO_SYS", "VDD_3V3_SYS", "VDD_3V3_IO_SLP", "VDD_1V8_IO", "VDD_3V3_SYS_M2"),
        *("CVB_ATX_12V", "CVB_ATX_3V3", "CVB_ATX_5V"),
    }
)

# Sets of labels that together are all inputs of a module that has no input rail.
# AGX Orin: VDDQ_VDD2_1V8AO is left out, because public captures show it at the
# 5 V of VIN_SYS_5V0 and then it would be counted twice.
_RAIL_SUMS = (
    # AGX Orin and IGX Orin
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    # AGX Xavier; SYS5V is "all parts except DDR, CPU, GPU, CV" (forum 75574), and the
    # other five hang on the high-voltage input beside it (design guide DG-09840, fig. 5-14).
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
)


def rail_boundary(label: str) -> str:
    """Returns `module_in` or `carrier_in` for an input of module or board, else `rail`."""
    if label in MODULE_INPUTS:
        return "module_in"
    return "carrier_in" if label in CARRIER_INPUTS else "rail"


def rails_of_total(labels: list[str]) -> tuple[str, ...]:
    """Returns the rails whose sum is a total of the module, empty where no such sum is known.

    A label that appears twice is ambiguous, so no sum is taken from it.
    """
    if any(label in MODULE_INPUTS for label in labels):
        return ()
    for names in _RAIL_SUMS:
        if all(labels.count(name) == 1 for name in names):
            return names
    return ()
