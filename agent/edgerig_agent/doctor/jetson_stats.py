"""Our rails, power mode and clocks beside those of jetson-stats, where it is installed.

jetson-stats is a cross-check and never a measurement: what both read from the same
kernel must agree, and where it does not, one of the two is misled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from edgerig_agent.doctor.findings import Finding, Section
from edgerig_agent.probes import jtop
from edgerig_agent.probes.base import file_exists
from edgerig_agent.probes.jtop import Snapshot
from edgerig_agent.protocol.power_mode import NVPMODEL, read_power_mode

_NAME = "cross-check with jetson-stats"
# Its service, and the interpreter that its documentation installs it into.
_TRACES = ("/run/jtop.sock", "/etc/systemd/system/jtop.service")
_SYSTEM_PYTHON = "/usr/bin/python3"
_RESTART = "sudo systemctl restart jtop"
_ASK = "sudo jetson_clocks --show"


def section(root: str, worker_python: str, ask: Callable[[str], Snapshot] | None = None) -> Section | None:
    """Compares what both see; None on a device without jetson-stats, which needs none.

    Args:
        worker_python: asked where this interpreter has no jetson-stats; then the system's.
        ask: asks one interpreter for a reading.
    """
    base = root.rstrip("/")
    if not any(file_exists(f"{base}{path}") for path in _TRACES) and find_spec("jtop") is None:
        return None
    snapshot = _first_reading((sys.executable, worker_python, _SYSTEM_PYTHON), ask or _ask)
    if not snapshot.readings:
        return Section(_NAME, (Finding("warning", snapshot.reason, snapshot.command or _RESTART),))
    reading = snapshot.readings[-1]
    return Section(_NAME, (*_rails(snapshot, root), *_mode(reading, root), *_clocks(reading)))


def _ask(interpreter: str) -> Snapshot:
    return jtop.read(interpreter=interpreter)


def _first_reading(interpreters: Sequence[str], ask: Callable[[str], Snapshot]) -> Snapshot:
    """Asks one interpreter after the other until one has jetson-stats."""
    snapshot = Snapshot(reason="no interpreter has jetson-stats")
    for interpreter in dict.fromkeys(interpreters):
        if file_exists(interpreter):
            snapshot = ask(interpreter)
            if snapshot.failure_class != "not_installed":
                break
    return snapshot


def _rails(snapshot: Snapshot, root: str) -> list[Finding]:
    compared = jtop.compare(snapshot, root)
    agreed = [one for one in compared if one.agrees]
    unseen = [one for one in compared if one.theirs_w is None]
    found = [
        Finding(
            "warning",
            f"{one.source}: {one.ours_w:.2f} W here, {one.theirs_w:.2f} W by jetson-stats",
            f"{_RESTART}; edgerig-agent doctor",
        )
        for one in compared
        if one.theirs_w is not None and not one.agrees
    ]
    if agreed:
        text = f"{len(agreed)} of {len(compared)} rails agree"
        found.insert(0, Finding("ok", text + (f"; it does not show {_names(unseen)}" if unseen else "")))
    elif not found:
        found.append(Finding("warning", "it shows no rail that is read here", "jtop --version"))
    return found


def _names(unseen: Sequence[jtop.Compared]) -> str:
    return ", ".join(one.source.rpartition(":")[2] for one in unseen)


def _mode(reading: dict[str, Any], root: str) -> list[Finding]:
    theirs = reading.get("nvpmodel") or {}
    ours = read_power_mode(root)
    if ours.kind != NVPMODEL or not theirs:
        return []
    if theirs.get("name") == ours.name or theirs.get("id") == ours.number:
        return [Finding("ok", f"both see power mode {ours.name}")]
    text = f"power mode {ours.name or 'unknown'} here, {theirs.get('name')} by jetson-stats"
    return [Finding("warning", text, "sudo nvpmodel -q")]


def _clocks(reading: dict[str, Any]) -> list[Finding]:
    state = reading.get("jetson_clocks")
    if state is None:
        return [Finding("warning", "it does not know whether jetson_clocks is on", _ASK)]
    return [Finding("ok", f"by jetson-stats, jetson_clocks is {'on' if state else 'off'}")]
