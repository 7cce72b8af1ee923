"""Everybody who must not come in: each is refused with a reason of its own, logged, and nothing changes."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from edgerig.joining import key_pem, new_key, signing_request
from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1 import enroll_service_pb2 as enrolling
from edgerig.v1 import fleet_service_pb2 as fleet
from edgerig.v1.agent_service_pb2_grpc import AgentServiceStub
from edgerig_controller.fleet import identity
from edgerig_controller.fleet.identity import Authority, KeyPair
from tests.controller.rpc.rig import PATIENCE_S, Rig, outcome_of, take, upload
from tests.controller.store.building import study
from tests.security.conftest import stored

DAY = datetime.timedelta(days=1)
SYNC = agents.SyncRequest(request_id="r", wants_work=True)


def certified(ca: Authority, device_id: str = "local", *, days: float = 0) -> KeyPair:
    """Signs a key so many days from now; the controller has never heard of it."""
    key = new_key()
    issued = ca.sign_agent(signing_request(key, device_id), device_id, identity.utc_now() + days * DAY)
    return KeyPair(issued.certificate_pem, key_pem(key))


async def refusal(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value.code(), caught.value.details() or ""


HANDSHAKES: dict[str, tuple[Callable[[Authority], KeyPair | None], str]] = {
    "none": (lambda _: None, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    "expired": (lambda ca: certified(ca, days=-200), "certificate has expired"),
    "future-dated": (lambda ca: certified(ca, days=30), "certificate is not yet valid"),
    "foreign fleet": (
        lambda _: certified(identity.create_authority(identity.utc_now())),
        "unable to get local issuer certificate",
    ),
}


@pytest.mark.parametrize("kind", HANDSHAKES)
@pytest.mark.parametrize("listener", ["agents", "control"])
async def test_tls_refuses_before_anything_is_read(
    rig: Rig, kind: str, listener: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pair_of, logged = HANDSHAKES[kind]
    await rig.enrolled()
    before = await stored(rig)
    capfd.readouterr()
    port = rig.listeners.agents_port if listener == "agents" else rig.listeners.control_port
    async with rig.channel(port, pair_of(rig.frame.authority)) as channel:
        code, _ = await refusal(AgentServiceStub(channel).Sync(SYNC, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.UNAVAILABLE
    # gRPC itself writes each refusal, with its reason, to the controller's standard error.
    assert logged in capfd.readouterr().err
    assert await stored(rig) == before


async def test_a_revoked_certificate_is_told_why_and_loses_its_stream(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    pair = await rig.enrolled("orin")
    async with rig.agent(pair) as stub, rig.fleet() as people:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(agents.SessionRequest(hello=agents.Hello(protocol_major=1)))
        assert (await session.read()).WhichOneof("signal") == "welcome"
        revoked = await people.RevokeDevice(
            fleet.RevokeDeviceRequest(device_id="orin", reason="stolen"), timeout=PATIENCE_S
        )
        assert len(revoked.serials) == 1
        assert await session.read() is grpc.aio.EOF
        before = await stored(rig)
        code, details = await refusal(stub.Sync(SYNC, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "revoked: stolen" in details
    assert "revoked: stolen" in caplog.text
    assert await stored(rig) == before


async def test_a_certificate_that_ends_while_connected_is_refused(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        await stub.Sync(SYNC, timeout=PATIENCE_S)
        before = await stored(rig)
        rig.clock.now += 91 * 86400
        code, details = await refusal(stub.Sync(SYNC, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "has expired" in details
    assert "has expired" in caplog.text
    assert await stored(rig) == before


async def test_a_certificate_of_our_ca_that_was_never_recorded_is_refused(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    await rig.enrolled()
    before = await stored(rig)
    async with rig.agent(certified(rig.frame.authority)) as stub:
        _, details = await refusal(stub.Sync(SYNC, timeout=PATIENCE_S))
    assert "not known here" in details
    assert "not known here" in caplog.text
    assert await stored(rig) == before


async def enroll(rig: Rig, device_id: str, token: str) -> tuple[grpc.StatusCode, str]:
    request = enrolling.EnrollRequest(
        device_id=device_id, token=token, certificate_request_pem=signing_request(new_key(), device_id)
    )
    async with rig.enroll() as stub:
        return await refusal(stub.Enroll(request, timeout=PATIENCE_S))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("reused", "used before"),
        ("expired", "expired"),
        ("other device", "another device"),
        ("guessed", "not known"),
    ],
)
async def test_tokens_that_do_not_count(
    rig: Rig, fault: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = await rig.add_device("orin")
    if fault == "reused":
        await rig.enroll_with(token, "orin")
    if fault == "expired":
        rig.clock.now += 1801
    before = await stored(rig)
    name, shown = ("nano" if fault == "other device" else "orin"), ("x" * 43 if fault == "guessed" else token)
    code, details = await enroll(rig, name, shown)
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert words in details
    assert words in caplog.text
    assert token not in caplog.text
    assert await stored(rig) == before


async def test_a_live_device_is_replaced_only_when_that_was_asked_for(rig: Rig) -> None:
    old = await rig.enrolled("orin")
    before = await stored(rig)
    code, details = await refusal(rig.add_device("orin"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "--replace" in details
    assert await stored(rig) == before
    await rig.enroll_with(await rig.add_device("orin", replace=True), "orin")
    async with rig.agent(old) as stub:
        _, details = await refusal(stub.Sync(SYNC, timeout=PATIENCE_S))
    assert "enrolled anew" in details


async def test_tokens_are_stored_as_hashes_only(rig: Rig) -> None:
    token = await rig.add_device("orin")
    files = (path for path in rig.home.root.rglob("*") if path.is_file())
    assert not any(token.encode() in path.read_bytes() for path in files)


async def test_nobody_speaks_for_another_device(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="edgerig_controller")
    mine, other = await rig.enrolled(), await rig.enrolled("orin", ("lab",))
    await rig.store_study(study())
    async with rig.agent(mine) as stub:
        lease = await take(stub)
        outcome = outcome_of(lease)
        await upload(stub, outcome)
    before = await stored(rig)
    async with rig.agent(other) as stub:
        code, details = await refusal(
            stub.PutChunk(
                agents.PutChunkRequest(attempt_id=lease.attempt_id, sha256="a" * 64, size_bytes=1, data=b"x"),
                timeout=PATIENCE_S,
            )
        )
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "not of orin" in details
        assert "not of orin" in caplog.text
        accepted = await stub.AcceptLease(
            agents.AcceptLeaseRequest(attempt_id=lease.attempt_id, epoch=lease.epoch), timeout=PATIENCE_S
        )
        assert not accepted.granted
        held = agents.HeldAttempt(
            attempt_id=lease.attempt_id, epoch=lease.epoch, state=agents.HELD_STATE_FINISHED
        )
        synced = await stub.Sync(agents.SyncRequest(request_id="x", held=[held]), timeout=PATIENCE_S)
        assert synced.verdicts[0].verdict == agents.VERDICT_DISCARD
        assert "another device" in synced.verdicts[0].reason
    assert await stored(rig) == before


async def test_a_result_for_the_attempt_of_another_device_changes_nothing(rig: Rig) -> None:
    mine, other = await rig.enrolled(), await rig.enrolled("orin", ("lab",))
    await rig.store_study(study())
    async with rig.agent(mine) as stub:
        outcome = outcome_of(await take(stub))
        await upload(stub, outcome)
    before = await stored(rig)
    async with rig.agent(other) as stub:
        reply = await stub.CommitResult(outcome.request, timeout=PATIENCE_S)
    assert reply.outcome == agents.COMMIT_OUTCOME_DISCARDED
    assert await stored(rig) == before


async def test_a_blob_that_no_attempt_of_the_device_needs_is_not_given(rig: Rig) -> None:
    pair = await rig.enrolled()
    blob = rig.frame.blobs.put_bytes(b"secret of another study")
    async with rig.agent(pair) as stub:
        code, _ = await refusal(stub.GetChunk(agents.GetChunkRequest(sha256=blob), timeout=PATIENCE_S))
    assert code is grpc.StatusCode.PERMISSION_DENIED


def names_in(certificate_pem: str) -> tuple[str, list[str]]:
    """Returns the common name and the URIs of a certificate."""
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    (common,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return str(common.value), names.get_values_for_type(x509.UniformResourceIdentifier)


def request_for(rig: Rig, device_id: str) -> str:
    """Makes a signing request that asks for the whole identity of a device."""
    key = new_key()
    uri = f"edgerig://{rig.frame.authority.fleet_id}/agent/{device_id}"
    builder = x509.CertificateSigningRequestBuilder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device_id)])
    ).add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


async def test_a_signing_request_that_names_another_device_gets_the_name_of_the_token(rig: Rig) -> None:
    token = await rig.add_device("orin")
    async with rig.enroll() as stub:
        reply = await stub.Enroll(
            enrolling.EnrollRequest(
                device_id="orin", token=token, certificate_request_pem=request_for(rig, "nano")
            ),
            timeout=PATIENCE_S,
        )
    uri = f"edgerig://{rig.frame.authority.fleet_id}/agent/orin"
    assert names_in(reply.certificate_pem) == ("orin", [uri])


async def test_a_renewal_that_names_another_device_gets_the_name_of_the_connection(rig: Rig) -> None:
    rig.clock.now -= 60 * 86400
    pair = await rig.enrolled("orin")
    rig.clock.now += 60 * 86400
    async with rig.agent(pair) as stub:
        reply = await stub.RenewCertificate(
            agents.RenewCertificateRequest(certificate_request_pem=request_for(rig, "nano")),
            timeout=PATIENCE_S,
        )
    uri = f"edgerig://{rig.frame.authority.fleet_id}/agent/orin"
    assert names_in(reply.certificate_pem) == ("orin", [uri])


async def test_a_result_that_names_another_attempt_than_its_message_is_refused(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="edgerig_controller")
    pair = await rig.enrolled()
    await rig.store_study(study())
    async with rig.agent(pair) as stub:
        outcome = outcome_of(await take(stub))
        await upload(stub, outcome)
        before = await stored(rig)
        outcome.request.result.attempt_id = "another"
        code, details = await refusal(stub.CommitResult(outcome.request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.splitlines()[0] in caplog.text
    assert await stored(rig) == before
