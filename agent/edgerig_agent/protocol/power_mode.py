"""The power mode of a device: nvpmodel's on a Jetson, else the platform profile of its firmware.

Reads files only; nvpmodel itself is run by the settings helper alone.
Sources: nvpmodel.conf and the status file of L4T; Documentation/ABI/testing/
sysfs-platform_profile of the kernel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgerig_agent.probes.base import read_text

_MODEL = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>")
_STATUS = re.compile(r"pmode:0*(\d+)")
_CONFIGURATION_BYTES = 1024 * 1024

NVPMODEL, PLATFORM, NONE = "nvpmodel", "platform_profile", ""


@dataclass(frozen=True)
class PowerMode:
    """The mode that holds now, and all that could be asked for."""

    # nvpmodel, platform_profile, or empty where the device has no modes.
    kind: str
    name: str
    # Number of the nvpmodel mode; -1 where there is none.
    number: int
    # Name to number; the numbers of platform profiles are their places.
    modes: dict[str, int]

    def find(self, asked: str) -> str | None:
        """Returns the name of the mode that a study means by a name or a number; None for none."""
        for name, number in self.modes.items():
            if asked.upper() == name.upper() or (self.kind == NVPMODEL and asked == str(number)):
                return name
        return None


def read_power_mode(root: str) -> PowerMode:
    """Returns the power mode of the device below `root`."""
    base = root.rstrip("/")
    status = read_text(f"{base}/var/lib/nvpmodel/status")
    modes = {name: int(number) for number, name in _MODEL.findall(_configuration(base))}
    match = _STATUS.search(status)
    if match or modes:
        number = int(match.group(1)) if match else -1
        known = {value: name for name, value in modes.items()}
        if number >= 0 and number not in known:
            modes = {**modes, str(number): number}
            known[number] = str(number)
        return PowerMode(NVPMODEL, known.get(number, ""), number, modes)
    folder = f"{base}/sys/firmware/acpi"
    profile = read_text(f"{folder}/platform_profile")
    choices = read_text(f"{folder}/platform_profile_choices").split()
    if profile:
        return PowerMode(PLATFORM, profile, -1, {name: place for place, name in enumerate(choices)})
    return PowerMode(NONE, "", -1, {})


def _configuration(base: str) -> str:
    try:
        with open(f"{base}/etc/nvpmodel.conf", "rb") as file:  # noqa: PTH123 - as the probes read
            return file.read(_CONFIGURATION_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
