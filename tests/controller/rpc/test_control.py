"""ControlService over real mTLS: submitting, watching, cancelling, deleting, collecting."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1 import control_service_pb2 as pb
from edgerig.v1.device_pb2 import DeviceFacts, WorkerRuntime
from edgerig_controller.fleet.identity import KeyPair
from tests.controller.rpc.rig import PATIENCE_S, Rig, deliver, outcome_of, take
from tests.controller.store.building import ENVIRONMENT, study
from tests.controller.study.building import STUDY, catalog, write_model


async def refused(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value.code(), caught.value.details() or ""


def study_file(folder: Path, *, labels: str = "local", steps: int = 5) -> pb.SubmitStudyRequest:
    write_model(folder / "small")
    text = f"{STUDY}devices: {{labels: [{labels}]}}\n".replace("steps: 5", f"steps: {steps}")
    return pb.SubmitStudyRequest(yaml=text, origin="s.yaml", folder=str(folder), reuse=True)


async def report(rig: Rig, pair: KeyPair, *, memory_bytes: int = 8 * 2**30) -> None:
    """Reports a device that can run the test catalogue."""
    facts = DeviceFacts(
        environment_digest=ENVIRONMENT,
        memory_bytes=memory_bytes,
        worker=WorkerRuntime(catalog_json=json.dumps(catalog())),
    )
    async with rig.agent(pair) as stub:
        await stub.ReportInventory(agents.ReportInventoryRequest(facts=facts), timeout=PATIENCE_S)


async def submit(stub: Any, request: pb.SubmitStudyRequest) -> pb.SubmitStudyResponse:
    response: pb.SubmitStudyResponse = await stub.SubmitStudy(request, timeout=PATIENCE_S)
    return response


async def test_status_names_devices_and_what_is_open(rig: Rig) -> None:
    await rig.enrolled()
    await rig.add_device("orin")
    await rig.store_study(study())
    async with rig.control() as stub:
        status = await stub.GetStatus(pb.GetStatusRequest(), timeout=PATIENCE_S)
    devices = {item.device_id: (item.enrolled, item.has_inventory, item.connected) for item in status.devices}
    assert devices == {"local": (True, True, False), "orin": (False, False, False)}
    assert status.open_trial_count == 4


async def test_a_study_is_planned_for_the_device_and_its_blobs_are_kept(rig: Rig, tmp_path: Path) -> None:
    pair = await rig.enrolled()
    await report(rig, pair)
    async with rig.control() as stub:
        response = await submit(stub, study_file(tmp_path))
    assert not response.problems
    assert (response.attached, response.trial_count) == (False, 6)
    referenced = await rig.frame.store.ask(lambda store: store.referenced_blobs())
    assert {sha256 for sha256, _ in rig.frame.blobs.sizes()} >= referenced != set()
    async with rig.agent(pair) as stub:
        lease = await take(stub)
        file = lease.trial.task.data
        chunk = await stub.GetChunk(agents.GetChunkRequest(sha256=file.sha256), timeout=PATIENCE_S)
        assert chunk.size_bytes == file.size_bytes


async def test_the_same_file_attaches_and_restarts_what_died(rig: Rig, tmp_path: Path) -> None:
    pair = await rig.enrolled()
    await report(rig, pair)
    async with rig.control() as operator, rig.agent(pair) as stub:
        first = await submit(operator, study_file(tmp_path))
        lease = await take(stub)
        await deliver(stub, outcome_of(lease, failure="worker_error"))
        again = await submit(operator, study_file(tmp_path))
    assert (again.study_id, again.attached) == (first.study_id, True)
    rows = await rig.frame.store.ask(lambda store: store.trials(first.study_id))
    assert [row.state for row in rows] == ["queued"] * 6


async def test_all_problems_of_a_file_come_back_with_their_places(rig: Rig, tmp_path: Path) -> None:
    await report(rig, await rig.enrolled())
    request = study_file(tmp_path)
    request.yaml += "nosuch: 1\nseed: 2\n"
    async with rig.control() as stub:
        response = await submit(stub, request)
    assert response.study_id == ""
    assert [problem.place.split(":")[0] for problem in response.problems] == ["s.yaml", "s.yaml"]


async def test_a_device_too_small_for_a_cell_is_said_before_anything_runs(rig: Rig, tmp_path: Path) -> None:
    await report(rig, await rig.enrolled(), memory_bytes=1200)
    async with rig.control() as stub:
        response = await submit(stub, study_file(tmp_path))
    rows = await rig.frame.store.ask(lambda store: store.attempts(response.study_id))
    assert {row.failure_class for row in rows} == {"does_not_fit"}


async def test_a_large_device_that_the_study_does_not_name_does_not_count(rig: Rig, tmp_path: Path) -> None:
    await report(rig, await rig.enrolled("big", ("lab",)), memory_bytes=2**40)
    await report(rig, await rig.enrolled("tiny", ("small",)), memory_bytes=1200)
    async with rig.control() as stub:
        response = await submit(stub, study_file(tmp_path, labels="small"))
    rows = await rig.frame.store.ask(lambda store: store.attempts(response.study_id))
    assert {row.failure_class for row in rows} == {"does_not_fit"}


async def test_submitting_waits_for_what_the_local_device_is(rig: Rig, tmp_path: Path) -> None:
    pair = await rig.enroll_with(await rig.add_device("local"), "local")
    async with rig.control() as stub:
        submitting = asyncio.ensure_future(submit(stub, study_file(tmp_path)))
        await report(rig, pair)
        assert (await submitting).trial_count == 6


async def test_a_relative_folder_is_refused(rig: Rig, tmp_path: Path) -> None:
    await report(rig, await rig.enrolled())
    request = study_file(tmp_path)
    request.folder = "somewhere"
    async with rig.control() as stub:
        code, _ = await refused(stub.SubmitStudy(request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_watcher_hears_only_of_starts_and_ends(rig: Rig) -> None:
    study_id = await rig.store_study(study(cells=1, seeds=(1, 2)))
    pair = await rig.enrolled()
    seen: list[tuple[int, int, bool, bool]] = []
    async with rig.control() as operator, rig.agent(pair) as stub:
        watch = operator.WatchStudy(pb.WatchStudyRequest(study_id=study_id), timeout=PATIENCE_S)

        async def hear() -> None:
            message = await watch.read()
            seen.append((message.done_count, message.running_count, message.quiet, message.finished))

        await hear()
        for _ in range(2):
            lease = await take(stub)
            await hear()
            await stub.Sync(
                agents.SyncRequest(
                    held=[
                        agents.HeldAttempt(
                            attempt_id=lease.attempt_id, epoch=lease.epoch, state=agents.HELD_STATE_RUNNING
                        )
                    ]
                ),
                timeout=PATIENCE_S,
            )
            rig.clock.now += 30
            await deliver(stub, outcome_of(lease))
            await hear()
        assert await watch.read() is grpc.aio.EOF
    assert seen == [
        (0, 0, False, False),
        (0, 1, True, False),
        (1, 0, False, False),
        (1, 1, True, False),
        (2, 0, False, True),
    ]


async def test_a_watcher_is_told_the_time_left_and_what_runs(rig: Rig) -> None:
    study_id = await rig.store_study(study(cells=1, seeds=(1, 2, 3)))
    async with rig.agent(await rig.enrolled()) as stub, rig.control() as operator:
        lease = await take(stub)
        rig.clock.now += 30
        await deliver(stub, outcome_of(lease))
        await take(stub)
        watch = operator.WatchStudy(pb.WatchStudyRequest(study_id=study_id), timeout=PATIENCE_S)
        message = await watch.read()
        watch.cancel()
    assert message.eta_s == pytest.approx(60.0)
    assert message.current == "cell 0 seed 2" or message.current.startswith("cell 0 seed ")


async def test_a_watcher_is_told_why_nothing_runs(rig: Rig) -> None:
    study_id = await rig.store_study(study(labels=("orin",)))
    async with rig.control() as operator:

        async def reason() -> str:
            watch = operator.WatchStudy(pb.WatchStudyRequest(study_id=study_id), timeout=PATIENCE_S)
            message = await watch.read()
            watch.cancel()
            return str(message.blocked_reason)

        assert await reason() == "no enrolled device has the labels orin"
        pair = await rig.enrolled("orin-07", ("orin",))
        assert await reason() == "no device that has the labels orin is connected (orin-07)"
        async with rig.agent(pair) as stub:
            session = stub.Session(timeout=PATIENCE_S)
            await session.write(agents.SessionRequest(hello=agents.Hello(protocol_major=1)))
            await session.read()
            assert await reason() == ""
            session.cancel()


async def test_a_waiting_watcher_hears_that_the_device_has_come(rig: Rig) -> None:
    study_id = await rig.store_study(study())
    pair = await rig.enrolled()
    async with rig.control() as operator, rig.agent(pair) as stub:
        watch = operator.WatchStudy(pb.WatchStudyRequest(study_id=study_id), timeout=PATIENCE_S)
        assert (await watch.read()).blocked_reason
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(agents.SessionRequest(hello=agents.Hello(protocol_major=1)))
        assert (await watch.read()).blocked_reason == ""
        session.cancel()
        watch.cancel()


async def test_a_waiting_watcher_hears_why_a_device_takes_no_work(rig: Rig) -> None:
    study_id = await rig.store_study(study())
    pair = await rig.enrolled()
    async with rig.control() as operator, rig.agent(pair) as stub:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(agents.SessionRequest(hello=agents.Hello(protocol_major=1)))
        await session.read()
        watch = operator.WatchStudy(pb.WatchStudyRequest(study_id=study_id), timeout=PATIENCE_S)
        assert (await watch.read()).blocked_reason == ""
        await stub.Sync(agents.SyncRequest(no_work_reason="the disk is full"), timeout=PATIENCE_S)
        assert (await watch.read()).blocked_reason == "local takes no work: the disk is full"
        session.cancel()
        watch.cancel()


async def test_watching_an_unknown_study_is_not_found(rig: Rig) -> None:
    async with rig.control() as stub:
        watch = stub.WatchStudy(pb.WatchStudyRequest(study_id="nosuch"), timeout=PATIENCE_S)
        code, details = await refused(watch.read())
    assert code is grpc.StatusCode.NOT_FOUND
    assert details.endswith("\nNext: edgerig studies")


async def test_cancelling_ends_the_watch_and_resuming_wakes_the_device(rig: Rig) -> None:
    study_id = await rig.store_study(study())
    async with rig.control() as operator, rig.agent(await rig.enrolled()) as stub:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(agents.SessionRequest(hello=agents.Hello(protocol_major=1)))
        await session.read()
        watch = operator.WatchStudy(pb.WatchStudyRequest(study_id=study_id), timeout=PATIENCE_S)
        await watch.read()
        cancelled = await operator.CancelStudy(pb.CancelStudyRequest(study_id=study_id), timeout=PATIENCE_S)
        assert cancelled.cancelled_count == 4
        assert (await watch.read()).finished
        resumed = await operator.ResumeStudy(pb.ResumeStudyRequest(study_id=study_id), timeout=PATIENCE_S)
        assert resumed.requeued_count == 4
        assert (await session.read()).WhichOneof("signal") == "wake"
        session.cancel()


async def test_deleting_frees_what_only_this_study_needs(rig: Rig) -> None:
    shared, own = rig.frame.blobs.put_bytes(b"shared"), rig.frame.blobs.put_bytes(b"own")
    first = await rig.store_study(study("first", blobs=frozenset({shared, own})))
    await rig.store_study(study("second", salt="x", blobs=frozenset({shared})))
    report_dir = rig.home.report_dir(first)
    report_dir.mkdir()
    (report_dir / "report.md").write_bytes(b"12345")
    async with rig.control() as stub:
        response = await stub.DeleteStudy(pb.DeleteStudyRequest(study_id=first), timeout=PATIENCE_S)
    assert response.freed_bytes == len(b"own") + 5
    assert rig.frame.blobs.has(shared)
    assert not rig.frame.blobs.has(own)
    assert not report_dir.exists()


@pytest.mark.parametrize("study_id", ["../../etc", "nosuch", ""])
async def test_deleting_what_is_no_study_touches_nothing(rig: Rig, study_id: str) -> None:
    async with rig.control() as stub:
        code, _ = await refused(
            stub.DeleteStudy(pb.DeleteStudyRequest(study_id=study_id), timeout=PATIENCE_S)
        )
    assert code is grpc.StatusCode.NOT_FOUND
    assert rig.home.traces_dir.is_dir()


async def test_garbage_is_shown_before_it_is_removed(rig: Rig) -> None:
    kept, unused = rig.frame.blobs.put_bytes(b"kept"), rig.frame.blobs.put_bytes(b"unused")
    await rig.store_study(study(blobs=frozenset({kept})))
    async with rig.control() as stub:
        shown = await stub.CollectGarbage(pb.CollectGarbageRequest(dry_run=True), timeout=PATIENCE_S)
        assert (shown.blob_count, shown.blob_bytes) == (1, 6)
        assert rig.frame.blobs.has(unused)
        await stub.CollectGarbage(pb.CollectGarbageRequest(), timeout=PATIENCE_S)
    assert not rig.frame.blobs.has(unused)
    assert rig.frame.blobs.has(kept)


async def test_gc_discards_uploads_that_nobody_goes_on_with(rig: Rig) -> None:
    rig.frame.blobs.put_chunk("a" * 64, 12, 0, b"piece")
    async with rig.control() as stub:
        young = await stub.CollectGarbage(pb.CollectGarbageRequest(), timeout=PATIENCE_S)
        rig.clock.now += 2 * 86400
        shown = await stub.CollectGarbage(pb.CollectGarbageRequest(dry_run=True), timeout=PATIENCE_S)
        stale = await stub.CollectGarbage(pb.CollectGarbageRequest(), timeout=PATIENCE_S)
    assert (young.blob_bytes, shown.blob_bytes, stale.blob_bytes) == (0, 5, 5)
    assert rig.frame.blobs.discard_partials() == 0


async def test_a_device_is_added_with_all_that_its_enrolment_needs(rig: Rig) -> None:
    async with rig.control() as stub:
        response = await stub.AddDevice(
            pb.AddDeviceRequest(device_id="orin-07", labels=["lab"]), timeout=PATIENCE_S
        )
    assert response.enroll_address == f"127.0.0.1:{rig.listeners.enroll_port}"
    assert response.agents_address == f"127.0.0.1:{rig.listeners.agents_port}"
    assert response.ca_spki_sha256 == rig.frame.authority.spki_sha256
    stored = await rig.frame.store.ask(lambda store: store.stored_tokens())
    assert response.token not in repr(stored)


async def test_shutdown_asks_the_process_to_end(rig: Rig) -> None:
    async with rig.control() as stub:
        await stub.Shutdown(pb.ShutdownRequest(), timeout=PATIENCE_S)
    assert rig.stopped.is_set()


async def test_a_fault_of_ours_is_logged_under_the_id_that_the_caller_gets(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_question: object) -> None:
        raise RuntimeError("a secret detail")

    async with rig.control() as stub:
        await stub.GetStatus(pb.GetStatusRequest(), timeout=PATIENCE_S)
        monkeypatch.setattr(rig.frame.store, "ask", broken)
        code, details = await refused(stub.GetStatus(pb.GetStatusRequest(), timeout=PATIENCE_S))
        monkeypatch.undo()
    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in details
    incident = details.partition("incident ")[2][:12]
    assert any(incident in record.message for record in caplog.records)
