"""Plugs with a meter on the local network: Shelly Gen2 and later, Tasmota.

Both renew their figures about once a second. Shelly counts energy in steps of a
milliwatt-hour, 3.6 J. Tasmota counts watt-hours: 3600 J are more than most attempts
take, so that its counter is kept and its energy is that of its power. Fields: Shelly
`Switch.GetStatus` and `PM1.GetStatus` (shelly-api-docs.shelly.cloud, gen2), Tasmota
`Status 10` (tasmota.github.io/docs/JSON-Status-Responses).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgerig_agent.probes.base import ENERGY_COARSE_J, ENERGY_J, POWER_W, Channel
from edgerig_agent.probes.meters.base import GarbledError, NoReadingError
from edgerig_agent.probes.meters.http import JsonClient, number

_MICRO = 1e-6
_MILLI = 1e-3
_JOULE_PER_WH = 3600.0

COMPONENTS = ("switch", "pm1")


def _channels(kind: str, host: str, boundary: str, counter: str) -> tuple[Channel, ...]:
    return (
        Channel(f"{kind}:{host}:power", POWER_W, boundary, _MICRO),
        Channel(f"{kind}:{host}:energy", counter, boundary, _MILLI),
    )


def _raws(power_w: float | None, energy_wh: float | None) -> tuple[int, int]:
    if power_w is None or energy_wh is None:
        raise NoReadingError("the plug shows no power or no energy; has it a meter?")
    return round(power_w / _MICRO), round(energy_wh * _JOULE_PER_WH / _MILLI)


class Shelly:
    """A Shelly of the second generation or later, without a password."""

    def __init__(
        self, host: str, port: int, timeout_s: float, boundary: str, *, component: str, number_of: int
    ) -> None:
        self.channels = _channels("shelly", host, boundary, ENERGY_J)
        self._client = JsonClient(host, port, timeout_s)
        method = {"switch": "Switch", "pm1": "PM1"}[component]
        self._path = f"/rpc/{method}.GetStatus?id={number_of}"

    def connect(self) -> str:
        found = self._client.get("/shelly")
        return _identity(found.get("model"), found.get("id"), found.get("ver"))

    def read(self) -> Sequence[int]:
        status = self._client.get(self._path)
        return _raws(number(status, "apower"), number(status, "aenergy", "total"))

    def close(self) -> None:
        self._client.close()


class Tasmota:
    """A plug with Tasmota, without a password. It shows whole watts unless `WattRes 3` is set."""

    def __init__(self, host: str, port: int, timeout_s: float, boundary: str) -> None:
        self.channels = _channels("tasmota", host, boundary, ENERGY_COARSE_J)
        self._client = JsonClient(host, port, timeout_s)

    def connect(self) -> str:
        firmware = self._client.get("/cm?cmnd=Status%202").get("StatusFWR")
        if not isinstance(firmware, dict):
            raise GarbledError("Status 2 has no StatusFWR; does the plug ask for a password?")
        return _identity("Tasmota", firmware.get("Version"), firmware.get("Hardware"))

    def read(self) -> Sequence[int]:
        status = self._client.get("/cm?cmnd=Status%2010")
        energy = status.get("StatusSNS", {})
        energy = energy.get("ENERGY") if isinstance(energy, dict) else None
        total_kwh = number(energy, "Total")
        return _raws(number(energy, "Power"), None if total_kwh is None else total_kwh * 1000.0)

    def close(self) -> None:
        self._client.close()


def _identity(*parts: Any) -> str:
    return " ".join(str(part)[:80] for part in parts if part)
