"""What a board says of itself beyond its name: serial number and the release of its vendor's software.

Files only, read when the facts are collected; whatever cannot be read is ''.
Serial: the device tree (Jetson, Raspberry Pi), else DMI, which only root may
read. L4T: `/etc/nv_tegra_release`, first line
`# R36 (release), REVISION: 4.3, GCID: ...` (NVIDIA Jetson Linux Developer Guide).
"""

from __future__ import annotations

import re

from edgerig_agent.probes.base import read_text

_MAX_CHARS = 128
_RELEASE = re.compile(r"#\s*R(\d{1,3})\s*\(release\),\s*REVISION:\s*(\d{1,3}(?:\.\d{1,3}){0,2})")
# What firmware says when nobody filled the field in.
_PLACEHOLDERS = frozenset(
    {"", "0", "none", "n/a", "not specified", "default string", "to be filled by o.e.m."}
)


def serial_number(root: str = "/") -> str:
    """Returns the serial number of the board or machine, '' where it cannot be read."""
    for path in ("proc/device-tree/serial-number", "sys/class/dmi/id/product_serial"):
        text = read_text(f"{root.rstrip('/')}/{path}").strip("\0 \n")
        if text.lower() not in _PLACEHOLDERS:
            return text[:_MAX_CHARS]
    return ""


def l4t_release(root: str = "/") -> str:
    """Returns the release of NVIDIA's board software, such as `36.4.3`; '' on other machines."""
    match = _RELEASE.search(read_text(f"{root.rstrip('/')}/etc/nv_tegra_release"))
    return f"{match.group(1)}.{match.group(2)}" if match else ""
