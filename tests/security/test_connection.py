"""`edgerig-agent doctor`, connection: each failure is told apart, against a real controller with mTLS."""

from __future__ import annotations

import asyncio
import datetime
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest_asyncio

from edgerig.joining import key_pem, new_key, signing_request
from edgerig_agent import connection, identity
from edgerig_agent.connection import Finding
from edgerig_agent.identity import Enrollment, Identity
from edgerig_controller.fleet import identity as authority_of
from edgerig_controller.fleet.identity import Authority
from edgerig_controller.rpc.frame import Standby
from edgerig_controller.store.controllers import Member
from tests.controller.rpc.rig import Rig, running

DAY = datetime.timedelta(days=1)


@pytest_asyncio.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(tmp_path / "controller") as rig:
        yield rig


async def enrolled_home(rig: Rig, home: Path, device_id: str = "orin") -> Path:
    pair = await rig.enrolled(device_id)
    write(rig, home, rig.frame.authority, device_id, pair.key_pem, pair.certificate_pem)
    return home


def write(rig: Rig, home: Path, ca: Authority, device_id: str, key: bytes, certificate: bytes) -> None:
    from cryptography import x509

    read = x509.load_pem_x509_certificate(certificate)
    enrollment = Enrollment(
        device_id,
        ca.fleet_id,
        f"127.0.0.1:{rig.listeners.agents_port}",
        f"127.0.0.1:{rig.listeners.enroll_port}",
        read.not_valid_before_utc.timestamp(),
        read.not_valid_after_utc.timestamp(),
    )
    identity.save(home, Identity(enrollment, key, certificate, ca.ca_pem))


def issued_home(rig: Rig, home: Path, *, days: float = 0, ca: Authority | None = None) -> Path:
    """Writes an identity that an authority signed so many days from now."""
    ca = ca or rig.frame.authority
    key = new_key()
    issued = ca.sign_agent(signing_request(key, "orin"), "orin", authority_of.utc_now() + days * DAY)
    write(rig, home, ca, "orin", key_pem(key), issued.certificate_pem)
    return home


def point_at(home: Path, address: str) -> None:
    path = home / "identity" / "enrollment.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "agents": address}))


async def last(home: Path, clock: Callable[[], float] | None = None) -> Finding:
    found = await diagnosis(home, clock)
    return found[-1]


async def diagnosis(home: Path, clock: Callable[[], float] | None = None) -> list[Finding]:
    keywords = {"clock": clock} if clock else {}
    return await asyncio.to_thread(lambda: connection.diagnose(home, **keywords))


async def test_a_well_connection_is_well_in_every_step(rig: Rig, tmp_path: Path) -> None:
    # The controller's clock stands still here; the agent's, too.
    found = await diagnosis(await enrolled_home(rig, tmp_path / "home"), rig.clock)
    assert [item.state for item in found] == ["ok"] * 7
    assert found[-1].step == "clock offset"


async def test_a_controller_that_stands_by_is_no_fault(rig: Rig, tmp_path: Path) -> None:
    home = await enrolled_home(rig, tmp_path / "home")
    rig.frame.standby = Standby(Member("b", "b:9090", "b:9092", "b:9091"))
    finding = await last(home)
    assert (finding.step, finding.state) == ("call", "ok")
    assert "b:9092 leads" in finding.text


async def test_a_home_that_is_not_enrolled(tmp_path: Path) -> None:
    assert "not enrolled" in (await last(tmp_path)).text


async def test_a_key_that_others_can_read(rig: Rig, tmp_path: Path) -> None:
    home = await enrolled_home(rig, tmp_path / "home")
    (home / "identity" / "key.pem").chmod(0o644)
    finding = next(item for item in await diagnosis(home) if item.step == "key")
    assert finding.state == "warning"
    assert finding.hint.startswith("chmod 600")


async def test_a_clock_before_the_certificate_or_after_it(rig: Rig, tmp_path: Path) -> None:
    home = await enrolled_home(rig, tmp_path / "home")
    now = authority_of.utc_now().timestamp()
    early = next(item for item in await diagnosis(home, lambda: now - 86400) if item.step == "clock")
    late = next(item for item in await diagnosis(home, lambda: now + 100 * 86400) if item.step == "clock")
    assert "before its certificate becomes valid" in early.text
    assert "expired" in late.text


async def test_an_overdue_renewal(rig: Rig, tmp_path: Path) -> None:
    home = await enrolled_home(rig, tmp_path / "home")
    now = authority_of.utc_now().timestamp()
    found = await diagnosis(home, lambda: now + 70 * 86400)
    assert any("overdue" in item.text for item in found)


async def test_a_name_that_nobody_knows(rig: Rig, tmp_path: Path) -> None:
    home = await enrolled_home(rig, tmp_path / "home")
    point_at(home, "controller.invalid:9092")
    assert "cannot be resolved" in (await last(home)).text


async def test_nothing_listens(rig: Rig, tmp_path: Path) -> None:
    home = await enrolled_home(rig, tmp_path / "home")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    point_at(home, f"127.0.0.1:{port}")
    assert "nothing listens" in (await last(home)).text


async def test_a_controller_of_another_fleet(rig: Rig, tmp_path: Path) -> None:
    home = issued_home(rig, tmp_path / "home", ca=authority_of.create_authority(authority_of.utc_now()))
    finding = await last(home)
    assert (finding.step, finding.state) == ("controller", "fault")
    assert "another fleet" in finding.text


async def test_a_revoked_certificate_with_the_reason(rig: Rig, tmp_path: Path) -> None:
    home = await enrolled_home(rig, tmp_path / "home")
    await rig.frame.store.ask(
        lambda store: store.fleet.revoke_device("orin", "", "stolen", now_unix_s=rig.clock())
    )
    finding = await last(home)
    assert "revoked: stolen" in finding.text
    assert "--replace" in finding.hint


async def test_a_certificate_that_is_wrong_by_the_controllers_clock_only(rig: Rig, tmp_path: Path) -> None:
    home = issued_home(rig, tmp_path / "home", days=30)
    ahead = authority_of.utc_now().timestamp() + 31 * 86400
    finding = await last(home, lambda: ahead)
    assert finding.step == "call"
    assert "by the controller's clock" in finding.text


async def test_clocks_that_differ(rig: Rig, tmp_path: Path) -> None:
    home = await enrolled_home(rig, tmp_path / "home")
    rig.clock.now += 120
    finding = await last(home)
    assert (finding.step, finding.state) == ("clock offset", "warning")


def test_the_quickest_exchange_tells_the_offset() -> None:
    # The controller is 5 ms ahead; all but one exchange wait 40 ms in a queue on the way back.
    queued = [(at, at + 0.001 + 0.005, at + 0.042) for at in range(15)]
    finding = connection.clock_offset([*queued, (20.0, 20.001 + 0.005, 20.002)])
    assert finding.text == "+5.0 ms ± 1.0 ms from the controller's"
    assert connection.clock_offset(queued).text.startswith("-15.0 ms ± 21.0")
