"""Signs of life for systemd, over a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edgerig_agent import watchdog
from tests.fakes.controller import FakeController


@pytest.fixture
def listener(tmp_path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(str(tmp_path / "notify"))
    server.setblocking(False)
    return server


def test_a_state_reaches_the_socket(listener: socket.socket) -> None:
    assert watchdog.notify(watchdog.READY, {"NOTIFY_SOCKET": listener.getsockname()})
    assert listener.recv(100) == b"READY=1"
    listener.close()


def test_an_abstract_socket_is_reached_too() -> None:
    name = f"edgerig-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind("\0" + name)
        assert watchdog.notify(watchdog.ALIVE, {"NOTIFY_SOCKET": "@" + name})
        assert server.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "nowhere"}, {"NOTIFY_SOCKET": "/no/such/socket"}])
def test_without_anybody_to_tell_nothing_happens(environ: dict[str, str]) -> None:
    assert not watchdog.notify(watchdog.READY, environ)


def test_life_is_shown_twice_within_the_limit() -> None:
    assert watchdog.interval_s({"WATCHDOG_USEC": "120000000"}, 1) == 60.0


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "2"}],
)
def test_no_sign_is_wanted(environ: dict[str, str]) -> None:
    assert watchdog.interval_s(environ, 1) is None


async def test_the_daemon_says_that_it_is_ready_and_then_that_it_lives(listener: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "10000000"}
    pauses: list[float] = []

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await watchdog.keep(environ, sleep=sleep)
    assert pauses == [5.0, 5.0, 5.0]
    assert [listener.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
    listener.close()


def test_a_real_daemon_tells_systemd_of_its_begin_and_its_end(
    listener: socket.socket, tmp_path: Path
) -> None:
    fake = FakeController()
    fake.port = fake.enroll_port = 1
    home = tmp_path / "home"
    fake.enroll_home(home)
    listener.setblocking(True)
    listener.settimeout(60)
    daemon = subprocess.Popen(
        [sys.executable, "-m", "edgerig_agent.cli", "run", "--home", str(home)],
        env={**os.environ, "NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "60000000"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert listener.recv(100) == b"READY=1"
        daemon.terminate()
        assert listener.recv(100) == b"STOPPING=1"
        assert daemon.wait(60) == 0
    finally:
        daemon.kill()
        daemon.wait(60)
        listener.close()
