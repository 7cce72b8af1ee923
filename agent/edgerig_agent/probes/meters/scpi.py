"""Meters and supplies that speak SCPI over a TCP socket (not VXI-11, not HiSLIP).

Each request is a line, each answer one. The commands differ between makers, so they
are data: a profile by name, or the person's own. None of the profiles has been tried
on an instrument of ours; they stand as the makers' command references have them.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from edgerig_agent.probes.base import ENERGY_J, POWER_W, Channel
from edgerig_agent.probes.meters.base import GarbledError, NoReadingError

_MICRO = 1e-6
_MILLI = 1e-3
_MAX_LINE_BYTES = 4096
# Below what SCPI sends where there is no value: 9.9E37 is infinity, 9.91E37 no number (SCPI-1999, 7.2.1).
_NO_VALUE = 9.8e37

ENERGY_UNITS_J = {"J": 1.0, "mWh": 3.6, "Wh": 3600.0, "kWh": 3.6e6}


@dataclass(frozen=True)
class Commands:
    """What is sent: once at the start, and for each reading. Empty = not asked for."""

    setup: tuple[str, ...] = ()
    power: str = "MEASure:POWer?"
    energy: str = ""
    energy_unit: str = "Wh"


PROFILES = {
    "generic": Commands(),
    # Rigol DP800, Siglent SPD3303X: programmable supplies that measure their first output.
    "rigol-dp800": Commands(power=":MEASure:POWEr? CH1"),
    "siglent-spd": Commands(power="MEASure:POWEr? CH1"),
    # Rohde & Schwarz NGM, NGL, HMP: supplies that integrate.
    "rs-ngx": Commands(setup=("ENERgy:STATe ON",), power="MEASure:POWer?", energy="MEASure:ENERgy?"),
    # Keysight N6705, N6700 with one module.
    "keysight-n67": Commands(power="MEASure:POWer? (@1)"),
    # Yokogawa WT300 behind a gateway that gives it a plain socket: item 1 power, item 2 watt-hours.
    "yokogawa-wt300": Commands(
        setup=(
            ":NUMeric:FORMat ASCii",
            ":NUMeric:NORMal:ITEM1 P,1",
            ":NUMeric:NORMal:ITEM2 WH,1",
            ":INTEGrate:MODE NORMal",
            ":INTEGrate:STARt",
        ),
        power=":NUMeric:NORMal:VALue? 1",
        energy=":NUMeric:NORMal:VALue? 2",
    ),
}


class Scpi:
    """One instrument over one TCP connection."""

    def __init__(self, host: str, port: int, timeout_s: float, boundary: str, commands: Commands) -> None:
        channels = [Channel(f"scpi:{host}:power", POWER_W, boundary, _MICRO)]
        if commands.energy:
            channels.append(Channel(f"scpi:{host}:energy", ENERGY_J, boundary, _MILLI))
        self.channels = tuple(channels)
        self._address = (host, port)
        self._timeout_s = timeout_s
        self._commands = commands
        self._socket: socket.socket | None = None
        self._pending = bytearray()

    def connect(self) -> str:
        self._socket = socket.create_connection(self._address, timeout=self._timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pending.clear()
        identity = self._ask("*IDN?")
        for command in self._commands.setup:
            self._send(command)
        return identity[:200]

    def read(self) -> Sequence[int]:
        values = [round(self._number(self._commands.power) / _MICRO)]
        if self._commands.energy:
            joules = self._number(self._commands.energy) * ENERGY_UNITS_J[self._commands.energy_unit]
            values.append(round(joules / _MILLI))
        return values

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _number(self, query: str) -> float:
        answer = self._ask(query)
        try:
            value = float(answer.split(",")[0])
        except ValueError as error:
            raise GarbledError(f"{query} answers {answer[:80]!r}") from error
        if not math.isfinite(value) or abs(value) >= _NO_VALUE:
            raise NoReadingError(f"{query} answers that it has no value")
        return value

    def _ask(self, query: str) -> str:
        self._send(query)
        while b"\n" not in self._pending:
            if len(self._pending) > _MAX_LINE_BYTES:
                raise GarbledError(f"{query} answers a line of more than {_MAX_LINE_BYTES} bytes")
            received = self._connected().recv(_MAX_LINE_BYTES)
            if not received:
                raise ConnectionResetError(f"the instrument hung up at {query}")
            self._pending += received
        line, _, rest = bytes(self._pending).partition(b"\n")
        self._pending[:] = rest
        return line.decode("ascii", "replace").strip()

    def _send(self, command: str) -> None:
        self._connected().sendall(command.encode("ascii", "replace") + b"\n")

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionResetError("not connected")
        return self._socket
