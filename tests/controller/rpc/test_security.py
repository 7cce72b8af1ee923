"""Who is let in where: every wrong certificate, token and message has its own answer."""

from __future__ import annotations

import asyncio
import ssl

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from edgerig.deadlines import end
from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1 import control_service_pb2 as control
from edgerig.v1 import enroll_service_pb2 as enrolling
from edgerig.v1.agent_service_pb2_grpc import AgentServiceStub
from edgerig.v1.control_service_pb2_grpc import ControlServiceStub
from edgerig_controller.fleet import identity
from edgerig_controller.leading import keep_operator
from tests.controller.rpc.rig import PATIENCE_S, Rig, foreign_agent, signing_request, take
from tests.controller.store.building import study

SYNC = agents.SyncRequest(request_id="r", wants_work=True)
STATUS = control.GetStatusRequest()


async def refused(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value.code(), caught.value.details() or ""


async def test_an_enrolled_agent_is_let_in(rig: Rig) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        response = await stub.Sync(SYNC, timeout=PATIENCE_S)
    assert response.request_id == "r"


async def test_nobody_comes_in_without_a_certificate(rig: Rig) -> None:
    async with (
        rig.channel(rig.listeners.agents_port, None) as to_agents,
        rig.channel(rig.listeners.control_port, None) as to_control,
    ):
        for call in (
            AgentServiceStub(to_agents).Sync(SYNC, timeout=PATIENCE_S),
            ControlServiceStub(to_control).GetStatus(STATUS, timeout=PATIENCE_S),
        ):
            code, _ = await refused(call)
            assert code is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_of_another_fleet_is_refused_in_the_handshake(rig: Rig) -> None:
    other = identity.create_authority(identity.utc_now())
    async with rig.agent(foreign_agent(other)) as stub:
        code, _ = await refused(stub.Sync(SYNC, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_an_operator_is_not_an_agent(rig: Rig) -> None:
    async with rig.agent(rig.operator()) as stub:
        code, details = await refused(stub.Sync(SYNC, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "operator's certificate" in details


async def test_a_long_running_controller_renews_its_own_operator(rig: Rig) -> None:
    path = rig.home.ca_dir / "operator.pem"
    before = path.read_bytes()
    async with rig.control() as stub:
        await stub.GetStatus(STATUS, timeout=PATIENCE_S)
        rig.clock.now += (identity.OPERATOR_DAYS - 29) * 86400
        keeping = asyncio.ensure_future(keep_operator(rig.frame, every_s=0.0))
        while path.read_bytes() == before:
            await asyncio.wait({keeping}, timeout=0.01)
        await end(keeping)
        # A command that runs on is not locked out by that.
        await stub.GetStatus(STATUS, timeout=PATIENCE_S)


async def test_an_agent_is_not_an_operator(rig: Rig) -> None:
    async with rig.control(await rig.enrolled()) as stub:
        code, details = await refused(stub.GetStatus(STATUS, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "agent's certificate" in details


async def test_an_agent_cannot_watch_studies_either(rig: Rig) -> None:
    async with rig.control(await rig.enrolled()) as stub:
        call = stub.WatchStudy(control.WatchStudyRequest(study_id="x"), timeout=PATIENCE_S)
        code, _ = await refused(call.read())
    assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_certificate_that_was_never_issued_here_is_refused(rig: Rig) -> None:
    await rig.enrolled()
    async with rig.agent(foreign_agent(rig.frame.authority)) as stub:
        code, details = await refused(stub.Sync(SYNC, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "not known here" in details


async def test_enrolling_anew_ends_the_old_certificate_and_its_stream(rig: Rig) -> None:
    old = await rig.enrolled()
    async with rig.agent(old) as stub:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(agents.SessionRequest(hello=agents.Hello(protocol_major=1)))
        assert (await session.read()).WhichOneof("signal") == "welcome"
        await rig.enrolled(replace=True)
        assert await session.read() is grpc.aio.EOF
        code, _ = await refused(stub.Sync(SYNC, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_token_works_once(rig: Rig) -> None:
    token = await rig.add_device("orin")
    await rig.enroll_with(token, "orin")
    code, details = await refused(rig.enroll_with(token, "orin"))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "used before" in details


async def test_a_token_expires(rig: Rig) -> None:
    token = await rig.add_device("orin")
    rig.clock.now += 3600
    _, details = await refused(rig.enroll_with(token, "orin"))
    assert "expired" in details


async def test_a_token_is_for_one_device(rig: Rig) -> None:
    token = await rig.add_device("orin")
    _, details = await refused(rig.enroll_with(token, "nano"))
    assert "another device" in details


async def test_a_guessed_token_is_refused(rig: Rig) -> None:
    await rig.add_device("orin")
    code, details = await refused(rig.enroll_with("A" * 43, "orin"))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "not known" in details


async def test_a_live_device_needs_a_new_token_to_enroll_anew(rig: Rig) -> None:
    await rig.enrolled("orin")
    code, _ = await refused(rig.enroll_with("", "orin"))
    assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_bad_request_does_not_use_up_the_token(rig: Rig) -> None:
    token = await rig.add_device("orin")
    async with rig.enroll() as stub:
        request = enrolling.EnrollRequest(device_id="orin", token=token, certificate_request_pem="x")
        code, _ = await refused(stub.Enroll(request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    await rig.enroll_with(token, "orin")


async def test_an_id_that_is_a_path_is_refused(rig: Rig) -> None:
    async with rig.enroll() as stub:
        request = enrolling.EnrollRequest(
            device_id="../../x",
            token="t",
            certificate_request_pem=signing_request(ec.generate_private_key(ec.SECP256R1())),
        )
        code, _ = await refused(stub.Enroll(request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_message_that_is_too_large_is_refused(rig: Rig) -> None:
    async with rig.control() as stub:
        request = control.SubmitStudyRequest(yaml="x" * 2_000_000, folder="/")
        code, _ = await refused(stub.SubmitStudy(request, timeout=PATIENCE_S))
    # The client's own limit; what a server does with one that has none: tests/security/test_messages.py.
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_the_enroll_listener_shows_the_ca_with_its_hash(rig: Rig) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=rig.frame.authority.ca_pem.decode())
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(
        "127.0.0.1", rig.listeners.enroll_port, ssl=context, server_hostname="localhost"
    )
    tls = writer.get_extra_info("ssl_object")
    chain = tls._sslobj.get_unverified_chain()
    writer.close()
    assert len(chain) == 2


async def test_one_agent_cannot_speak_of_anothers_attempt(rig: Rig) -> None:
    mine, other = await rig.enrolled(), await rig.enrolled("orin", ("lab",))
    await rig.store_study(study())
    async with rig.agent(mine) as stub:
        lease = await take(stub)
    async with rig.agent(other) as stub:
        accept = agents.AcceptLeaseRequest(attempt_id=lease.attempt_id, epoch=lease.epoch)
        assert not (await stub.AcceptLease(accept, timeout=PATIENCE_S)).granted
        start = agents.StartAttemptRequest(attempt_id=lease.attempt_id, epoch=lease.epoch)
        assert (await stub.StartAttempt(start, timeout=PATIENCE_S)).verdict == agents.VERDICT_CANCEL
        chunk = agents.PutChunkRequest(attempt_id=lease.attempt_id, sha256="a" * 64, size_bytes=1, data=b"x")
        code, _ = await refused(stub.PutChunk(chunk, timeout=PATIENCE_S))
        assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_insecure_listener_is_on_loopback_and_takes_control_calls(rig: Rig) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{rig.listeners.insecure_control_port}") as channel:
        status = await ControlServiceStub(channel).GetStatus(STATUS, timeout=PATIENCE_S)  # type: ignore[misc]
    assert status.fleet_id == rig.frame.authority.fleet_id
