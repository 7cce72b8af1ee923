"""The temperatures of the idle device, which the starts of all its attempts are held against.

Kept in a file of the agent's home, one entry for each way the device is set
(power mode and pinned clocks change how warm it idles). An entry is measured
once, where temperatures stand still on an idle device, and stays until a person
measures it again: a base that followed every cold night would never be reached
by day.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerig.documents import canonical_bytes
from edgerig_agent.attempt_files import write_durably
from edgerig_agent.protocol.conditions import Conditions

FILE = "idle_base.json"
# A temperature that moves less than this in the settling time stands still.
STILL_C = 1.0
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class IdleBase:
    """Zone to idle temperature in degrees Celsius, and when it was measured."""

    temperatures_c: dict[str, float]
    measured_unix_s: float


def state_key(conditions: Conditions) -> str:
    """Returns the name of the way a device is set, as far as it changes its idle temperature."""
    pinned = "pinned" if conditions.clocks_pinned else "free"
    return f"{conditions.power_mode or 'only mode'}/{conditions.cpu_governor or 'no governor'}/{pinned}"


def load(home: Path, key: str) -> IdleBase | None:
    """Returns the idle base of this setting; None where it is not known or the file is damaged."""
    entry: Any = _read(home).get(key)
    try:
        zones = {str(zone): float(value) for zone, value in entry["temperatures_c"].items()}
        return IdleBase(zones, float(entry["measured_unix_s"]))
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


def save(home: Path, key: str, base: IdleBase) -> None:
    """Keeps an idle base, beside those of other settings.

    Raises:
        StorageError: the disk refuses.
    """
    entry = {"temperatures_c": base.temperatures_c, "measured_unix_s": base.measured_unix_s}
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_durably(home / FILE, canonical_bytes({**_read(home), key: entry}) + b"\n")


def forget(home: Path) -> None:
    """Forgets all idle bases; the next attempt that needs one measures it."""
    (home / FILE).unlink(missing_ok=True)


class Settling:
    """Readings of the last while, and whether they stand still; knows no clock."""

    def __init__(self, settle_s: float) -> None:
        self._settle_ns = int(settle_s * 1e9)
        self._readings: deque[tuple[int, dict[str, float]]] = deque()

    def add(self, t_mono_ns: int, temperatures_c: dict[str, float]) -> None:
        """Takes one reading; older ones than needed are forgotten."""
        self._readings.append((t_mono_ns, temperatures_c))
        # One reading from before the window stays, so that the window is covered.
        while len(self._readings) > 1 and t_mono_ns - self._readings[1][0] >= self._settle_ns:
            self._readings.popleft()

    def clear(self) -> None:
        """Begins anew, because the device was not idle."""
        self._readings.clear()

    def base_c(self) -> dict[str, float] | None:
        """Returns the mean of each zone once all stand still for the settling time, else None."""
        if not self._readings or self._readings[-1][0] - self._readings[0][0] < self._settle_ns:
            return None
        zones = set.intersection(*(set(reading) for _, reading in self._readings))
        columns = {zone: [reading[zone] for _, reading in self._readings] for zone in sorted(zones)}
        if any(max(column) - min(column) > STILL_C for column in columns.values()):
            return None
        return {zone: sum(column) / len(column) for zone, column in columns.items()}


def _read(home: Path) -> dict[str, Any]:
    try:
        with (home / FILE).open("rb") as file:
            document = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
