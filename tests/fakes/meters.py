"""Small servers that speak the protocols of external meters, over real sockets.

A meter shows a constant power and counts its energy from the monotonic clock, so
that what a reader makes of it can be compared with the truth. `misbehave` changes
how it answers while somebody reads it.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import isfinite
from typing import Any

# How a meter can misbehave.
FINE = "fine"
GARBLED = "garbled"  # answers what is no reading
ENDLESS = "endless"  # answers without end
DRIPPING = "dripping"  # one byte now and then, never a whole answer
HANGS_UP = "hangs up"
NO_VALUE = "no value"  # answers that there is nothing to show
REFUSING = "refusing"  # HTTP 401


class FakeMeter:
    """Common to all: what it shows, how it behaves, and its thread. Use as a context manager."""

    def __init__(self, server: socketserver.BaseServer, power_w: float) -> None:
        self.power_w = power_w
        self.behaviour = FINE
        self.requests: list[str] = []
        self._began_ns = time.monotonic_ns()
        self._server = server
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])  # type: ignore[index]

    def energy_j(self) -> float:
        """What it has counted since it was made."""
        return self.power_w * (time.monotonic_ns() - self._began_ns) * 1e-9

    def misbehave(self, how: str) -> None:
        self.behaviour = how

    def wait(self, limit_s: float) -> None:
        """Waits, but not beyond the meter's life."""
        self._stopping.wait(limit_s)

    def close(self) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> FakeMeter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def shelly(power_w: float) -> FakeMeter:
    """A Shelly Plus Plug: `/shelly`, `/rpc/Switch.GetStatus`, and PM1 beside it."""

    def answer(meter: FakeMeter, path: str) -> dict[str, Any] | None:
        if path == "/shelly":
            return {"id": "shellyplusplugs-a1b2c3", "model": "SNPL-00112EU", "gen": 2, "ver": "1.4.4"}
        if path.startswith(("/rpc/Switch.GetStatus?id=0", "/rpc/PM1.GetStatus?id=0")):
            energy = {"total": round(meter.energy_j() / 3600.0, 3), "by_minute": [0.0, 0.0, 0.0]}
            status = {"id": 0, "output": True, "apower": round(meter.power_w, 1), "voltage": 230.1}
            return status if meter.behaviour == NO_VALUE else {**status, "aenergy": energy}
        return None

    return _http(power_w, answer)


def tasmota(power_w: float) -> FakeMeter:
    """A plug with Tasmota: whole watts, and energy in steps of a watt-hour."""

    def answer(meter: FakeMeter, path: str) -> dict[str, Any] | None:
        if path == "/cm?cmnd=Status%202":
            return {"StatusFWR": {"Version": "14.2.0(tasmota)", "Hardware": "ESP8266EX"}}
        if path == "/cm?cmnd=Status%2010":
            energy = {
                "TotalStartTime": "2026-01-01T00:00:00",
                "Total": round(meter.energy_j() / 3.6e6, 3),
                "Power": round(meter.power_w) if isfinite(meter.power_w) else meter.power_w,
                "Voltage": 231,
            }
            shown = {} if meter.behaviour == NO_VALUE else {"ENERGY": energy}
            return {"StatusSNS": {"Time": "2026-01-01T00:00:00", **shown}}
        return None

    return _http(power_w, answer)


def scpi(power_w: float) -> FakeMeter:
    """An instrument that understands *IDN?, MEAS:POW?, MEAS:ENER? (watt-hours) and ENER:STAT."""
    meters: list[FakeMeter] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            meter = meters[0]
            for line in self.rfile:
                command = line.decode("ascii", "replace").strip()
                meter.requests.append(command)
                if command.endswith("?") or "? " in command:
                    self._answer(meter, command.upper())
                if meter.behaviour == HANGS_UP:
                    return

        def _answer(self, meter: FakeMeter, command: str) -> None:
            if command.startswith("*IDN"):
                answer = "Rohde&Schwarz,NGM202,3638.4472k03/101403,03.068"
            elif meter.behaviour == NO_VALUE:
                answer = "9.91E+37"
            elif "ENER" in command:
                answer = f"{meter.energy_j() / 3600.0:.9e}"
            else:
                answer = f"{meter.power_w:.6e}"
            _send(self.connection, meter, f"{answer}\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    meters.append(FakeMeter(Server(("127.0.0.1", 0), Handler), power_w))
    return meters[0]


def _http(power_w: float, answer: Any) -> FakeMeter:
    meters: list[FakeMeter] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            meter = meters[0]
            meter.requests.append(self.path)
            if meter.behaviour == HANGS_UP:
                self.close_connection = True
                return
            document = answer(meter, self.path)
            status = 401 if meter.behaviour == REFUSING else 404 if document is None else 200
            body = json.dumps(document or {}).encode()
            length = 10**9 if meter.behaviour in (ENDLESS, DRIPPING) else len(body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(length))
            self.end_headers()
            _send(self.connection, meter, body)

        def log_message(self, *_: object) -> None:
            """Says nothing: the requests are in `requests`."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    meters.append(FakeMeter(Server(("127.0.0.1", 0), Handler), power_w))
    return meters[0]


def _send(connection: socket.socket, meter: FakeMeter, answer: bytes) -> None:
    try:
        if meter.behaviour == GARBLED:
            connection.sendall(b"\xff" * (len(answer) - 1) + b"\n")
        elif meter.behaviour == ENDLESS:
            for _ in range(1000):
                connection.sendall(b"1" * 4096)
        elif meter.behaviour == DRIPPING:
            while meter.behaviour == DRIPPING:
                connection.sendall(b"1")
                meter.wait(0.05)
                if meter._stopping.is_set():
                    return
        else:
            connection.sendall(answer)
    except OSError:
        # The reader has had enough of it, which is what the tests want.
        return
