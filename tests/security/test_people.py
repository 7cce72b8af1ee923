"""People with roles: a viewer reads, an operator changes, every change and refusal is in the audit."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.message import Message
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from edgerig.joining import key_pem, new_key, signing_request
from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1 import control_service_pb2 as control
from edgerig.v1 import enroll_service_pb2 as enrolling
from edgerig.v1 import fleet_service_pb2 as fleet
from edgerig_controller.fleet import identity
from edgerig_controller.fleet.identity import KeyPair
from edgerig_controller.rpc.gate import READS
from tests.controller.rpc.rig import PATIENCE_S, Rig
from tests.security.conftest import stored
from tests.security.test_intruders import refusal


async def invited(rig: Rig, name: str, role: str, *, replace: bool = False) -> str:
    async with rig.fleet() as stub:
        request = fleet.AddPersonRequest(name=name, role=role, replace=replace)
        reply: fleet.AddPersonResponse = await stub.AddPerson(request, timeout=PATIENCE_S)
    return reply.token


async def join_with(rig: Rig, token: str, name: str) -> KeyPair:
    key = new_key()
    async with rig.enroll() as stub:
        reply = await stub.EnrollPerson(
            enrolling.EnrollPersonRequest(
                name=name, token=token, certificate_request_pem=signing_request(key, name)
            ),
            timeout=PATIENCE_S,
        )
    return KeyPair(reply.certificate_pem.encode(), key_pem(key))


async def joined(rig: Rig, name: str, role: str) -> KeyPair:
    return await join_with(rig, await invited(rig, name, role), name)


async def audit(rig: Rig) -> list[tuple[str, str, str, str]]:
    rows = await rig.frame.store.ask(lambda store: store.fleet.audit(limit=1000))
    return [(row.who, row.what, row.subject, row.outcome) for row in reversed(rows)]


def every_method() -> list[tuple[str, str, type[Message]]]:
    """Lists all methods that people reach: (service, method, request class)."""
    found = []
    for module, service in ((control, "ControlService"), (fleet, "FleetService")):
        for method in module.DESCRIPTOR.services_by_name[service].methods:
            found.append((service, method.name, getattr(module, method.input_type.name)))
    return found


@pytest.mark.parametrize(
    ("service", "method", "request_class"),
    every_method(),
    ids=lambda item: item if isinstance(item, str) else "",
)
async def test_a_viewer_reads_and_changes_nothing(
    rig: Rig, service: str, method: str, request_class: type[Message]
) -> None:
    viewer = await joined(rig, "vera", "viewer")
    before = await stored(rig)
    async with rig.channel(rig.listeners.control_port, viewer) as channel:
        call = channel.unary_stream(
            f"/edgerig.v1.{service}/{method}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=bytes,
        )(request_class(), timeout=PATIENCE_S)
        try:
            await call.read()
            code, details = await call.code(), ""
        except grpc.aio.AioRpcError as error:
            code, details = error.code(), error.details() or ""
    if method in READS:
        assert code in (grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND), details
    else:
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert "is a viewer" in details
        assert ("vera", method, "", "denied") in await audit(rig)
    assert await stored(rig) == before


async def test_an_operator_changes_and_the_audit_says_who(rig: Rig) -> None:
    operator = await joined(rig, "olga", "operator")
    await rig.add_device("orin")
    async with rig.fleet(operator) as stub:
        await stub.SetDeviceMode(
            fleet.SetDeviceModeRequest(device_id="orin", mode=fleet.DEVICE_MODE_DRAIN, reason="new fan"),
            timeout=PATIENCE_S,
        )
        entries = (await stub.ListAudit(fleet.ListAuditRequest(), timeout=PATIENCE_S)).entries
    newest = entries[0]
    assert (newest.who, newest.role, newest.what) == ("olga", "operator", "SetDeviceMode")
    assert (newest.subject, newest.outcome) == ("orin", "allowed")
    assert "mode drain" in newest.detail
    assert "new fan" in newest.detail


async def test_a_change_that_fails_is_in_the_audit_with_its_class(rig: Rig) -> None:
    async with rig.control() as stub:
        await refusal(stub.CancelStudy(control.CancelStudyRequest(study_id="none"), timeout=PATIENCE_S))
    assert (await audit(rig))[-2:] == [
        ("local", "CancelStudy", "none", "allowed"),
        ("local", "CancelStudy", "none", "NotFoundError"),
    ]


async def test_no_token_is_ever_in_the_audit(rig: Rig) -> None:
    token = await invited(rig, "vera", "viewer")
    rows = await rig.frame.store.ask(lambda store: store.fleet.audit(limit=1000))
    assert token not in repr(rows)


@pytest.mark.parametrize("statement", ["DELETE FROM audit", "UPDATE audit SET who = 'nobody'"])
async def test_the_database_itself_keeps_the_audit(rig: Rig, statement: str) -> None:
    await rig.add_device("orin")
    before = await audit(rig)

    def tamper(store: object) -> None:
        with store._engine.begin() as connection:  # type: ignore[attr-defined]
            connection.execute(text(statement))

    with pytest.raises(DBAPIError, match="only ever added"):
        await rig.frame.store.ask(tamper)
    assert await audit(rig) == before


async def test_a_change_that_cannot_be_audited_is_not_made(rig: Rig) -> None:
    def break_it(store: object) -> None:
        with store._engine.begin() as connection:  # type: ignore[attr-defined]
            connection.execute(text("ALTER TABLE audit RENAME TO elsewhere"))

    await rig.frame.store.ask(break_it)
    async with rig.control() as stub:
        request = control.AddDeviceRequest(device_id="orin")
        code, _ = await refusal(stub.AddDevice(request, timeout=PATIENCE_S))
    assert code is not grpc.StatusCode.OK
    assert await rig.frame.store.ask(lambda store: store.devices()) == []


async def test_the_same_refusal_is_written_once_a_minute(rig: Rig) -> None:
    viewer = await joined(rig, "vera", "viewer")
    async with rig.control(viewer) as stub:
        for _ in range(3):
            await refusal(stub.Shutdown(control.ShutdownRequest(), timeout=PATIENCE_S))
        rig.clock.now += 61
        await refusal(stub.Shutdown(control.ShutdownRequest(), timeout=PATIENCE_S))
    assert [row[1:] for row in await audit(rig)].count(("Shutdown", "", "denied")) == 2
    assert not rig.stopped.is_set()


async def test_the_role_is_in_the_certificate_and_the_token_decides_it(rig: Rig) -> None:
    viewer = await joined(rig, "vera", "viewer")
    await join_with(rig, await invited(rig, "vera", "operator", replace=True), "vera")
    async with rig.control(viewer) as stub:
        _, details = await refusal(stub.GetStatus(control.GetStatusRequest(), timeout=PATIENCE_S))
    assert "was revoked" in details


async def test_a_revoked_person_is_out_at_once(rig: Rig) -> None:
    operator = await joined(rig, "olga", "operator")
    async with rig.fleet() as local, rig.control(operator) as stub:
        await stub.GetStatus(control.GetStatusRequest(), timeout=PATIENCE_S)
        await local.RevokePerson(fleet.RevokePersonRequest(name="olga"), timeout=PATIENCE_S)
        code, details = await refusal(stub.GetStatus(control.GetStatusRequest(), timeout=PATIENCE_S))
        people = (await local.ListPeople(fleet.ListPeopleRequest(), timeout=PATIENCE_S)).people
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "was revoked" in details
    assert [(person.name, person.state) for person in people] == [("olga", "revoked")]


@pytest.mark.parametrize(
    ("fault", "words"), [("reused", "used before"), ("expired", "expired"), ("other", "another person")]
)
async def test_tokens_of_people_that_do_not_count(rig: Rig, fault: str, words: str) -> None:
    token = await invited(rig, "vera", "viewer")
    if fault == "reused":
        await join_with(rig, token, "vera")
    if fault == "expired":
        rig.clock.now += 1801
    before = await stored(rig)
    code, details = await refusal(join_with(rig, token, "eve" if fault == "other" else "vera"))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert words in details
    assert await stored(rig) == before


async def test_a_devices_token_is_no_persons_token(rig: Rig) -> None:
    token = await rig.add_device("orin")
    code, _ = await refusal(join_with(rig, token, "orin"))
    assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_nobody_can_be_named_like_the_local_operator(rig: Rig) -> None:
    async with rig.fleet() as stub:
        request = fleet.AddPersonRequest(name="local", role="operator")
        code, _ = await refusal(stub.AddPerson(request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_local_operators_certificate_that_was_replaced_is_refused(rig: Rig) -> None:
    stolen = rig.operator()
    for name in ("operator.pem", "operator.key"):
        (rig.home.ca_dir / name).unlink()
    identity.ensure_operator(rig.home.ca_dir, rig.frame.authority, "local", identity.utc_now())
    async with rig.control(stolen) as stub:
        code, details = await refusal(stub.GetStatus(control.GetStatusRequest(), timeout=PATIENCE_S))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "not the one in the data folder" in details


async def test_a_person_is_no_agent(rig: Rig) -> None:
    viewer = await joined(rig, "vera", "viewer")
    async with rig.agent(viewer) as stub:
        code, details = await refusal(stub.Sync(agents.SyncRequest(), timeout=PATIENCE_S))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "A viewer's certificate cannot be used here" in details
