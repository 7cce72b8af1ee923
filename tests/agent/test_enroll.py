"""Enrolment over real TLS: the CA is checked before the token leaves, and the key stays here."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edgerig.errors import DeviceError, EdgerigError, ProtocolError, UnreachableError, UsageError
from edgerig_agent.enroll import enroll
from edgerig_agent.identity import check_clock, is_enrolled, load
from tests.fakes.authority import Authority
from tests.fakes.controller import FakeController


@pytest_asyncio.fixture
async def controller() -> AsyncIterator[FakeController]:
    fake = FakeController()
    fake.tokens["orin-07"] = "secret"
    await fake.start()
    yield fake
    await fake.stop()


async def join(controller: FakeController, home: Path, **changes: Any) -> None:
    """Enrolls in a thread, because the command blocks and the fake serves on this loop."""
    arguments: dict[str, Any] = {
        "home": home,
        "enroll_address": f"127.0.0.1:{controller.enroll_port}",
        "agents_address": f"127.0.0.1:{controller.port}",
        "device_id": "orin-07",
        "token": "secret",
        "ca_spki_sha256": controller.authority.spki_sha256,
    } | changes
    await asyncio.to_thread(lambda: enroll(**arguments))


async def test_a_token_becomes_an_identity(controller: FakeController, tmp_path: Path) -> None:
    await join(controller, tmp_path)
    identity = load(tmp_path)
    assert identity.enrollment.fleet_id == "fleet-1"
    assert identity.enrollment.agents == f"127.0.0.1:{controller.port}"
    assert identity.ca_pem == controller.authority.ca_pem


async def test_the_certificate_is_for_the_key_that_was_made_here(
    controller: FakeController, tmp_path: Path
) -> None:
    await join(controller, tmp_path)
    identity = load(tmp_path)
    key = serialization.load_pem_private_key(identity.key_pem, None)
    assert x509.load_pem_x509_certificate(identity.certificate_pem).public_key() == key.public_key()


async def test_the_key_is_readable_by_its_owner_only(controller: FakeController, tmp_path: Path) -> None:
    await join(controller, tmp_path)
    assert stat.S_IMODE((tmp_path / "identity" / "key.pem").stat().st_mode) == 0o600


async def test_another_ca_is_noticed_before_the_token_is_sent(
    controller: FakeController, tmp_path: Path
) -> None:
    with pytest.raises(ProtocolError, match="not the controller you were told of"):
        await join(controller, tmp_path, ca_spki_sha256=Authority().spki_sha256)
    assert controller.tokens == {"orin-07": "secret"}
    assert not is_enrolled(tmp_path)


async def test_a_ca_file_spares_the_hash(controller: FakeController, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(controller.authority.ca_pem)
    await join(controller, tmp_path / "home", ca_spki_sha256="", ca_file=tmp_path / "ca.pem")
    assert is_enrolled(tmp_path / "home")


async def test_a_ca_file_of_another_fleet_gets_no_token(controller: FakeController, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(Authority().ca_pem)
    with pytest.raises(UnreachableError, match=r"other fleet|not this fleet's"):
        await join(controller, tmp_path / "home", ca_spki_sha256="", ca_file=tmp_path / "ca.pem")
    assert controller.tokens == {"orin-07": "secret"}


async def test_a_ca_file_must_agree_with_a_hash_that_is_given(
    controller: FakeController, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(Authority().ca_pem)
    with pytest.raises(ProtocolError, match="another key"):
        await join(controller, tmp_path / "home", ca_file=tmp_path / "ca.pem")


async def test_a_refused_token_says_how_to_get_a_new_one(controller: FakeController, tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="used or expired") as caught:
        await join(controller, tmp_path, token="wrong")
    assert "edgerig device add" in caught.value.hint


async def test_an_enrolled_home_is_left_alone(controller: FakeController, tmp_path: Path) -> None:
    await join(controller, tmp_path)
    before = load(tmp_path)
    with pytest.raises(UsageError, match="enrolled already, as orin-07"):
        await join(controller, tmp_path)
    assert load(tmp_path) == before


async def test_an_enrolled_home_is_replaced_on_demand(controller: FakeController, tmp_path: Path) -> None:
    await join(controller, tmp_path)
    before = load(tmp_path)
    controller.tokens["orin-07"] = "second"
    await join(controller, tmp_path, token="second", replace=True)
    assert load(tmp_path).key_pem != before.key_pem


async def test_a_failed_replacement_keeps_the_old_identity(
    controller: FakeController, tmp_path: Path
) -> None:
    await join(controller, tmp_path)
    before = load(tmp_path)
    with pytest.raises(ProtocolError):
        await join(controller, tmp_path, token="wrong", replace=True)
    assert load(tmp_path) == before


async def test_a_clock_before_the_ca_is_named(controller: FakeController, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="clock"):
        await join(controller, tmp_path, clock=lambda: 0.0)


async def test_a_certificate_for_another_device_is_refused(
    controller: FakeController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = controller.authority.sign
    monkeypatch.setattr(controller.authority, "sign", lambda request, _: sign(request, "orin-08"))
    with pytest.raises(ProtocolError, match="not for edgerig://fleet-1/agent/orin-07"):
        await join(controller, tmp_path)
    assert not is_enrolled(tmp_path)


async def test_a_certificate_of_a_foreign_ca_is_refused(
    controller: FakeController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller.authority, "sign", Authority().sign)
    with pytest.raises(ProtocolError, match="not its own"):
        await join(controller, tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [{"device_id": "../x"}, {"token": ""}, {"ca_spki_sha256": "abc"}, {"enroll_address": "nowhere"}],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_arguments_that_make_no_sense_are_refused(
    controller: FakeController, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        await join(controller, tmp_path, **wrong)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_port_where_nothing_listens_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="refused"):
        enroll(tmp_path, f"127.0.0.1:{free_port()}", "x:1", "orin-07", "t", "0" * 64)


def test_a_port_without_tls_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UnreachableError, match="does not speak TLS"):
            enroll(tmp_path, f"127.0.0.1:{server.getsockname()[1]}", "x:1", "orin-07", "t", "0" * 64)
        thread.join()


async def test_the_validity_is_noted_for_the_daemons_clock_check(
    controller: FakeController, tmp_path: Path
) -> None:
    await join(controller, tmp_path)
    enrollment = load(tmp_path).enrollment
    with pytest.raises(DeviceError, match="before its certificate"):
        check_clock(enrollment, enrollment.not_before_unix_s - 1000)
    with pytest.raises(DeviceError, match="expired"):
        check_clock(enrollment, enrollment.not_after_unix_s + 1)


def test_a_damaged_identity_is_reported_with_its_place(tmp_path: Path) -> None:
    FakeController().enroll_home(tmp_path)
    (tmp_path / "identity" / "enrollment.json").write_text(json.dumps({"device_id": "x"}))
    with pytest.raises(EdgerigError, match="identity"):
        load(tmp_path)
