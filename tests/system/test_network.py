"""Agent and controller in network namespaces of their own, with a wire between them that delays and loses.

The full form, with a cut of a minute, is `python -m bench.network`.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench import namespaces, network
from bench.namespaces import Weather

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "nothing is missing"),
]

# A client that sends one line to a server and prints what comes back.
ECHO = """
import socket, sys
sock = socket.create_connection((sys.argv[1], 7000), timeout=30)
sock.sendall(b"x" * 100_000)
sock.shutdown(socket.SHUT_WR)
print(len(b"".join(iter(lambda: sock.recv(65536), b""))))
"""
SERVER = """
import socket, sys
with socket.create_server((sys.argv[1], 7000)) as server:
    print("listening", flush=True)
    sock, _ = server.accept()
    got = b"".join(iter(lambda: sock.recv(65536), b""))
    sock.sendall(got)
    sock.close()
"""


def test_the_wire_delays_and_loses_packets_and_tcp_gets_through() -> None:
    with namespaces.wire(Weather(delay_s=0.01, loss=0.05), seed=1) as wire:
        here, there = wire.ends
        server = subprocess.Popen(
            here.command(sys.executable, "-c", SERVER, here.address), stdout=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        assert server.stdout.readline() == "listening\n"
        client = subprocess.run(
            there.command(sys.executable, "-c", ECHO, here.address),
            capture_output=True,
            text=True,
            timeout=60,
        )
        server.communicate(timeout=60)
    assert client.stdout.strip() == "100000", client.stderr
    assert wire.counts.sent > 100
    assert wire.counts.lost > 0


def test_a_study_over_a_bad_wire_that_is_cut_loses_nothing() -> None:
    course = network.run(Weather(delay_s=0.05, loss=0.05), trials=2, trial_s=1.0, cut_s=3.0, seed=2)
    assert (course.trials, course.recorded_ok, course.doubled) == (2, 2, 0)
    assert course.packets.lost > 0
