"""A controller that stands by: people may read, and whoever needs the leader is told where it is."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from edgerig.errors import UnreachableError
from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1 import control_service_pb2 as pb
from edgerig.v1 import enroll_service_pb2 as enrolling
from edgerig.v1 import fleet_service_pb2 as fleet
from edgerig_controller.rpc.frame import Standby
from edgerig_controller.rpc.interceptors import is_answer
from edgerig_controller.store.controllers import Member
from tests.controller.rpc.rig import PATIENCE_S, Rig
from tests.controller.store.building import study

LEADER = Member("b", "b:9090", "b:9092", "b:9091")


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_people_read_and_are_told_where_to_write(rig: Rig) -> None:
    await rig.enrolled("orin")
    study_id = await rig.store_study(study())
    rig.frame.standby = Standby(LEADER)
    rig.frame.hub.mirror(frozenset({"orin"}))
    async with rig.control() as stub:
        status = await stub.GetStatus(pb.GetStatusRequest(), timeout=PATIENCE_S)
        assert status.leader == "b:9090"
        assert [(item.device_id, item.connected) for item in status.devices] == [("orin", True)]
        stream = stub.WatchStudy(pb.WatchStudyRequest(study_id=study_id))
        assert (await asyncio.wait_for(stream.read(), PATIENCE_S)).trial_count == 4
        stream.cancel()
        error = await refusal(stub.CancelStudy(pb.CancelStudyRequest(study_id=study_id), timeout=PATIENCE_S))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert is_answer(error)
    assert "b:9090" in (error.details() or "")
    async with rig.fleet() as stub:
        devices = await stub.ListDevices(fleet.ListDevicesRequest(), timeout=PATIENCE_S)
        entries = (await stub.ListAudit(fleet.ListAuditRequest(), timeout=PATIENCE_S)).entries
    assert [item.device_id for item in devices.devices] == ["orin"]
    # It has changed nothing, and has no say in what is written down.
    assert "CancelStudy" not in {entry.what for entry in entries}
    assert (await rig.frame.store.ask(lambda store: store.studies()))[0].state == "active"


async def test_agents_and_newcomers_are_sent_to_the_leader(rig: Rig) -> None:
    pair = await rig.enrolled("orin")
    token = await rig.add_device("nano")
    rig.frame.standby = Standby(LEADER)
    async with rig.agent(pair) as stub:
        for call in (
            stub.Sync(agents.SyncRequest(wants_work=True), timeout=PATIENCE_S),
            stub.CommitResult(agents.CommitResultRequest(), timeout=PATIENCE_S),
            stub.PutChunk(agents.PutChunkRequest(), timeout=PATIENCE_S),
            stub.Session().read(),
        ):
            error = await refusal(call)
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert "for agents at b:9092" in (error.details() or "")
            assert ("edgerig-leader", "b:9092") in tuple(error.trailing_metadata() or ())
    async with rig.enroll() as stub:
        request = enrolling.EnrollRequest(device_id="nano", token=token)
        assert "stands by" in ((await refusal(stub.Enroll(request, timeout=PATIENCE_S))).details() or "")
    rig.frame.standby = None
    # The token is still good.
    assert await rig.enroll_with(token, "nano")


async def test_a_viewer_is_refused_as_a_viewer_and_the_process_can_be_stopped(rig: Rig) -> None:
    rig.frame.standby = Standby()
    async with rig.control() as stub:
        error = await refusal(stub.CollectGarbage(pb.CollectGarbageRequest(), timeout=PATIENCE_S))
        assert "none leads yet" in (error.details() or "")
        await stub.Shutdown(pb.ShutdownRequest(), timeout=PATIENCE_S)
    assert rig.stopped.is_set()


async def test_every_sync_names_the_controllers(rig: Rig) -> None:
    pair = await rig.enrolled("orin")
    rig.frame.agent_addresses = ("a:9092", "b:9092")
    async with rig.agent(pair) as stub:
        answer = await stub.Sync(agents.SyncRequest(), timeout=PATIENCE_S)
    assert list(answer.controllers) == ["a:9092", "b:9092"]


async def test_files_are_removed_only_by_who_leads_for_certain(rig: Rig) -> None:
    """Who was frozen between question and removal must not remove what the next leader needs."""
    sha256 = rig.frame.blobs.put_bytes(b"needed by the next leader")
    rig.frame.leads_for_certain = lambda: False
    async with rig.control() as stub:
        error = await refusal(stub.CollectGarbage(pb.CollectGarbageRequest(), timeout=PATIENCE_S))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert rig.frame.blobs.has(sha256)
        rig.frame.leads_for_certain = lambda: True
        answer = await stub.CollectGarbage(pb.CollectGarbageRequest(), timeout=PATIENCE_S)
    assert answer.blob_count == 1
    assert not rig.frame.blobs.has(sha256)


def test_a_refusal_says_what_to_type() -> None:
    error = Standby(LEADER).refusal()
    assert isinstance(error, UnreachableError)
    assert error.hint == "edgerig controllers"
