"""Cross-check of a Jetson's rails with jetson-stats, whose readings come out of a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerig_agent.probes.show import show

# jtop renews its figures once a second, ours are of one instant.
_AGREES_W = 0.5
_AGREES_SHARE = 0.15
_PATIENCE_S = 30.0
_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Snapshot:
    """What jetson-stats said; `reason` and `command` are set where it could not be asked."""

    readings: tuple[dict[str, Any], ...] = ()
    failure_class: str = ""
    reason: str = ""
    command: str = ""


@dataclass(frozen=True)
class Compared:
    """One rail as both see it; `theirs_w` is None where jetson-stats does not show it."""

    source: str
    ours_w: float
    theirs_w: float | None

    @property
    def agrees(self) -> bool:
        """Tells whether both differ by no more than what their different instants explain."""
        if self.theirs_w is None:
            return False
        return abs(self.ours_w - self.theirs_w) <= max(_AGREES_W, _AGREES_SHARE * abs(self.ours_w))


def read(samples: int = 1, *, interpreter: str = sys.executable, options: Sequence[str] = ()) -> Snapshot:
    """Asks jetson-stats; never raises.

    Args:
        interpreter: the Python that may have jetson-stats, often the system's.
        options: more options of the bridge, such as `--set-jetson-clocks on`.
    """
    try:
        # As text: an interpreter that has jetson-stats need not have this package.
        program = Path(__file__).with_name("jtop_bridge.py").read_text(encoding="utf-8")
        command = [interpreter, "-c", program, "--samples", str(samples), *options]
        ended = subprocess.run(
            command, capture_output=True, timeout=_PATIENCE_S, check=False, stdin=subprocess.DEVNULL
        )
        lines = [json.loads(line) for line in ended.stdout[:_MAX_BYTES].splitlines()]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Snapshot(failure_class="precondition", reason=f"the bridge to jetson-stats: {error}")
    failures = [line for line in lines if not isinstance(line, dict) or "rails" not in line]
    if failures or not lines:
        said = failures[-1] if failures and isinstance(failures[-1], dict) else {}
        last = ended.stderr.decode("utf-8", "replace").strip()[-300:]
        return Snapshot(
            failure_class=str(said.get("failure_class", "precondition")),
            reason=str(said.get("reason", f"it printed no reading: {last}")),
            command=str(said.get("command", "")),
        )
    return Snapshot(readings=tuple(lines))


def compare(snapshot: Snapshot, root: str = "/") -> list[Compared]:
    """Returns each rail that our probes read now beside the last reading of jetson-stats.

    Rails are matched by label; labels that repeat on two chips are left out.
    """
    theirs = snapshot.readings[-1]["rails"] if snapshot.readings else {}
    ours = show(root)["sources"]
    labels = [source.rpartition(":")[2] for source in ours]
    return [
        Compared(source, found["power_w"], (theirs.get(label) or {}).get("power_w"))
        for (source, found), label in zip(ours.items(), labels, strict=True)
        if labels.count(label) == 1
    ]
