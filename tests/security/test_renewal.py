"""Renewal over the authenticated channel: overlap of old and new, from the device's side too."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from edgerig.errors import RejectedError
from edgerig.joining import key_pem, new_key, signing_request
from edgerig.v1 import agent_service_pb2 as agents
from edgerig_agent import identity as identities
from edgerig_agent.renew import renew
from edgerig_agent.renewal import keep_renewed
from edgerig_agent.session import GrpcChannel, Link
from edgerig_controller.fleet.identity import KeyPair
from tests.controller.rpc.rig import PATIENCE_S, Rig
from tests.security.test_connection import write
from tests.security.test_intruders import refusal

DAY_S = 86400.0


async def enrolled_days_ago(rig: Rig, days: float) -> KeyPair:
    """Enrolls a device so long ago; TLS looks at the real clock, so the certificate lies in the past."""
    rig.clock.now -= days * DAY_S
    pair = await rig.enrolled("orin")
    rig.clock.now += days * DAY_S
    return pair


async def renewed(rig: Rig, pair: KeyPair) -> KeyPair:
    key = new_key()
    async with rig.agent(pair) as stub:
        reply = await stub.RenewCertificate(
            agents.RenewCertificateRequest(certificate_request_pem=signing_request(key, "orin")),
            timeout=PATIENCE_S,
        )
    return KeyPair(reply.certificate_pem.encode(), key_pem(key))


async def sync(rig: Rig, pair: KeyPair) -> None:
    async with rig.agent(pair) as stub:
        await stub.Sync(agents.SyncRequest(request_id="r"), timeout=PATIENCE_S)


async def greet(rig: Rig, pair: KeyPair) -> None:
    async with rig.agent(pair) as stub:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(agents.SessionRequest(hello=agents.Hello(protocol_major=1)))
        assert (await session.read()).WhichOneof("signal") == "welcome"
        await session.done_writing()


async def test_the_old_certificate_is_valid_until_the_new_one_is_used(rig: Rig) -> None:
    old = await enrolled_days_ago(rig, 60)
    new = await renewed(rig, old)
    await sync(rig, old)
    await sync(rig, new)
    await sync(rig, old)
    await greet(rig, new)
    _, details = await refusal(sync(rig, old))
    assert "a newer one is in use" in details
    await sync(rig, new)


async def test_a_renewal_whose_answer_was_lost_gives_way_to_the_next(rig: Rig) -> None:
    old = await enrolled_days_ago(rig, 60)
    lost = await renewed(rig, old)
    new = await renewed(rig, old)
    _, details = await refusal(sync(rig, lost))
    assert "renewed again" in details
    await sync(rig, new)
    serials = await rig.frame.store.ask(
        lambda store: store.fleet.live_serials("orin", now_unix_s=rig.clock())
    )
    assert len(serials) == 2


async def test_too_early_is_refused_so_that_nobody_can_ask_for_thousands(rig: Rig) -> None:
    pair = await enrolled_days_ago(rig, 44)
    code, details = await refusal(renewed(rig, pair))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "1.0 days" in details


async def test_a_revoked_certificate_cannot_renew_itself(rig: Rig) -> None:
    pair = await enrolled_days_ago(rig, 60)
    await rig.frame.store.ask(
        lambda store: store.fleet.revoke_device("orin", "", "stolen", now_unix_s=rig.clock())
    )
    code, _ = await refusal(renewed(rig, pair))
    assert code is grpc.StatusCode.PERMISSION_DENIED


async def home_of(rig: Rig, home: Path, days: float) -> Path:
    pair = await enrolled_days_ago(rig, days)
    write(rig, home, rig.frame.authority, "orin", pair.key_pem, pair.certificate_pem)
    return home


async def test_the_devices_program_writes_a_whole_new_identity(rig: Rig, tmp_path: Path) -> None:
    home = await home_of(rig, tmp_path / "home", 60)
    old = identities.load(home)
    await asyncio.to_thread(renew, home)
    new = identities.load(home)
    assert new.key_pem != old.key_pem
    assert new.enrollment.not_after_unix_s > old.enrollment.not_after_unix_s + 59 * DAY_S
    assert (home / "identity" / "key.pem").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in home.iterdir()} == {"identity"}
    await sync(rig, KeyPair(new.certificate_pem, new.key_pem))


async def test_a_renewal_that_fails_leaves_the_identity_as_it_was(rig: Rig, tmp_path: Path) -> None:
    home = await home_of(rig, tmp_path / "home", 1)
    before = identities.load(home)
    with pytest.raises(RejectedError, match="not before"):
        await asyncio.to_thread(renew, home)
    assert identities.load(home) == before


class Listener:
    """Counts the greetings of a link."""

    def __init__(self) -> None:
        self.welcomes = 0
        self.changed = asyncio.Condition()

    def on_welcome(self) -> None:
        self.welcomes += 1
        self._notify = asyncio.ensure_future(self._wake())

    def on_wake(self) -> None: ...

    def on_cancel(self, attempt_id: str, reason: str) -> None: ...

    def on_goodbye(self, agent_may_exit: bool) -> None: ...

    def on_lost(self) -> None: ...

    async def _wake(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(condition), PATIENCE_S)


async def test_a_running_link_goes_over_to_the_new_certificate(rig: Rig, tmp_path: Path) -> None:
    home = await home_of(rig, tmp_path / "home", 60)
    old = identities.load(home)
    holder = {"identity": old}
    listener = Listener()
    address = old.enrollment.agents
    link = Link(
        lambda where: GrpcChannel(holder["identity"], where),
        address=lambda: address,
        listener=listener,
        boot_id="boot",
        session_epoch=lambda: listener.welcomes + 1,
    )
    keeping = asyncio.create_task(link.keep())
    await listener.wait_for(lambda: listener.welcomes == 1)
    await asyncio.to_thread(renew, home)
    holder["identity"] = identities.load(home)
    await link.redial()
    await listener.wait_for(lambda: listener.welcomes == 2)
    _, details = await refusal(sync(rig, KeyPair(old.certificate_pem, old.key_pem)))
    assert "a newer one is in use" in details
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await link.close()


async def test_the_daemons_keeper_renews_through_a_real_process(rig: Rig, tmp_path: Path) -> None:
    home = await home_of(rig, tmp_path / "home", 62)
    before = identities.load(home)
    used: asyncio.Future[identities.Identity] = asyncio.get_running_loop().create_future()

    async def use(renewed: identities.Identity) -> None:
        used.set_result(renewed)

    keeping = asyncio.create_task(
        keep_renewed(
            home,
            (sys.executable, "-m", "edgerig_agent.renew"),
            address=lambda: before.enrollment.agents,
            use=use,
            is_measuring=lambda: False,
            clock=time.time,
            sleep=asyncio.sleep,
            rng=random.Random(1),
        )
    )
    renewed = await asyncio.wait_for(used, 3 * PATIENCE_S)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert renewed.key_pem != before.key_pem
    await sync(rig, KeyPair(renewed.certificate_pem, renewed.key_pem))
