"""All families of sensors that are looked for, in one list.

A new family is a module with `discover(places) -> list[Probe]` and a line here.
"""

from __future__ import annotations

from edgerig_agent.probes import clocks, ina2xx, jetson, memory, nvml, rapl, thermal, throttle
from edgerig_agent.probes.base import Places, Probe

FAMILIES = (
    jetson.discover,
    ina2xx.discover,
    rapl.discover,
    nvml.discover,
    memory.discover,
    thermal.discover,
    clocks.discover,
    throttle.discover,
)

# What the families of power sensors are called in a message that none was found.
POWER_FAMILIES = "INA3221, INA2xx, RAPL or NVML"


def discover(at: Places) -> list[Probe]:
    """Returns the probes of every family that this device shows."""
    return [probe for family in FAMILIES for probe in family(at)]
