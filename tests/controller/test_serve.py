"""The controller as a process: endpoint, lock, log, signals, death and its own end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from edgerig.channel import CLIENT_OPTIONS
from edgerig.errors import UsageError
from edgerig.v1 import control_service_pb2 as pb
from edgerig.v1.control_service_pb2_grpc import ControlServiceStub
from edgerig_controller import home as homes
from edgerig_controller import serve as serving
from edgerig_controller.home import Endpoint, Home
from edgerig_controller.serve import Options
from edgerig_controller.store.repository import Repository
from tests.controller.store.building import T0, study

PATIENCE_S = 30.0


@contextmanager
def controller(home: Home, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `python -m edgerig_controller.serve` and ends it whatever happens."""
    command = [sys.executable, "-m", "edgerig_controller.serve", "--data", str(home.root), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


async def answering(home: Home, process: subprocess.Popen[bytes]) -> Endpoint:
    """Returns the endpoint as soon as the controller answers."""

    async def published() -> Endpoint:
        while (endpoint := homes.read_endpoint(home)) is None:
            assert process.poll() is None, process.communicate()
            await asyncio.sleep(0.02)
        return endpoint

    endpoint = await asyncio.wait_for(published(), PATIENCE_S)
    async with channel(home, endpoint) as opened:
        status = await ControlServiceStub(opened).GetStatus(  # type: ignore[misc]
            pb.GetStatusRequest(), timeout=PATIENCE_S, wait_for_ready=True
        )
    assert status.pid == process.pid
    return endpoint


def channel(home: Home, endpoint: Endpoint) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(
        (home.ca_dir / "ca.pem").read_bytes(),
        (home.ca_dir / "operator.key").read_bytes(),
        (home.ca_dir / "operator.pem").read_bytes(),
    )
    return grpc.aio.secure_channel(endpoint.control, credentials, options=CLIENT_OPTIONS)


async def test_it_serves_says_where_and_ends_cleanly_when_told(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with controller(home) as process:
        endpoint = await answering(home, process)
        assert endpoint.pid == process.pid
        assert not endpoint.embedded
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, error) == (0, b"", b"")
    assert homes.read_endpoint(home) is None
    assert not home.endpoint_path.exists()
    assert "ended" in home.log_path.read_text()


async def test_a_second_controller_on_the_folder_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with controller(home) as first:
        endpoint = await answering(home, first)
        with controller(home) as second:
            _, error = second.communicate(timeout=PATIENCE_S)
        assert second.returncode == 2
        assert str(first.pid).encode() in error
        assert homes.read_endpoint(home) == endpoint


async def test_after_kill_9_the_next_one_takes_over_with_the_same_fleet(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with controller(home) as first:
        before = await answering(home, first)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    assert home.endpoint_path.exists()
    assert homes.read_endpoint(home) is None
    with controller(home) as second:
        after = await answering(home, second)
    assert after.fleet_id == before.fleet_id
    assert after.ca_spki_sha256 == before.ca_spki_sha256


async def test_the_insecure_flag_warns_loudly(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with controller(home, "--insecure-loopback") as process:
        await answering(home, process)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=PATIENCE_S)
    assert b"INSECURE" in error


async def test_shutdown_ends_the_process(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with controller(home) as process:
        endpoint = await answering(home, process)
        async with channel(home, endpoint) as opened:
            await ControlServiceStub(opened).Shutdown(pb.ShutdownRequest(), timeout=PATIENCE_S)  # type: ignore[misc]
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


async def test_an_embedded_controller_ends_by_itself_when_nothing_is_active(tmp_path: Path) -> None:
    home = Home(tmp_path)
    homes.prepare(home)
    ready: list[Endpoint] = []
    options = Options(embedded=True, linger_s=0.0)
    await asyncio.wait_for(serving.serve(home, options, on_ready=ready.append), PATIENCE_S)
    assert ready[0].embedded
    assert not home.endpoint_path.exists()


async def test_an_embedded_controller_stays_while_a_study_is_active(tmp_path: Path) -> None:
    home = Home(tmp_path)
    homes.prepare(home)
    store = Repository.open(home)
    row, _, _ = store.create_study(study(), reuse=True, now_unix_s=T0)
    store.close()
    ready = asyncio.Event()
    options = Options(embedded=True, linger_s=0.0)
    running = asyncio.ensure_future(serving.serve(home, options, on_ready=lambda _: ready.set()))
    await asyncio.wait_for(ready.wait(), PATIENCE_S)
    endpoint = Endpoint(**json.loads(home.endpoint_path.read_text()))
    async with channel(home, endpoint) as opened:
        stub = ControlServiceStub(opened)
        for _ in range(3):
            await stub.GetStatus(pb.GetStatusRequest(), timeout=PATIENCE_S)  # type: ignore[misc]
        assert not running.done()
        await stub.CancelStudy(pb.CancelStudyRequest(study_id=row.study_id), timeout=PATIENCE_S)  # type: ignore[misc]
    await asyncio.wait_for(running, PATIENCE_S)


@pytest.mark.parametrize("address", ["lab.example", "", "127.0.0.1:80"])
def test_only_addresses_are_listened_on(address: str) -> None:
    with pytest.raises(UsageError, match="IP address"):
        serving.check_listen(address)


async def test_a_port_that_is_taken_is_reported(tmp_path: Path) -> None:
    home = Home(tmp_path / "a")
    homes.prepare(home)
    with controller(Home(tmp_path / "b")) as process:
        endpoint = await answering(Home(tmp_path / "b"), process)
        port = int(endpoint.control.rpartition(":")[2])
        options = Options(ports=serving.Ports(control=port))
        with pytest.raises(UsageError, match=str(port)):
            await serving.serve(home, options)
