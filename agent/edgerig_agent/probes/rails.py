"""What the power rails of a Jetson module cover; pure.

A rail is one of several and never a total. A board total is said to exist only
where a rail measures the module's input, or where the named rails together are
all of the module's inputs (sources and doubts: docs/how-we-measure.md).
"""

from __future__ import annotations

# These rails are the input of the whole module.
MODULE_INPUTS = frozenset({"VDD_IN", "POM_5V_IN"})

# Sets of labels that together are all inputs of a module that has no input rail.
# AGX Orin: VDDQ_VDD2_1V8AO is left out, because public captures show it at the
# 5 V of VIN_SYS_5V0 and then it would be counted twice.
_RAIL_SUMS = (
    # AGX Orin
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    # AGX Xavier
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
)


def rail_boundary(label: str) -> str:
    """Returns `module_in` for an input of the whole module, else `rail`."""
    return "module_in" if label in MODULE_INPUTS else "rail"


def rails_of_total(labels: list[str]) -> tuple[str, ...]:
    """Returns the rails whose sum is a total of the board, empty where no such sum is known.

    A label that appears twice is ambiguous, so no sum is taken from it.
    """
    if any(label in MODULE_INPUTS for label in labels):
        return ()
    for names in _RAIL_SUMS:
        if all(labels.count(name) == 1 for name in names):
            return names
    return ()
