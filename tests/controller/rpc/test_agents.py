"""AgentService over real mTLS: sessions, leases, files and results."""

from __future__ import annotations

import asyncio
import json
import threading

import grpc
import pytest

from edgerig.channel import CHUNK_BYTES
from edgerig.deadlines import end, within
from edgerig.v1 import agent_service_pb2 as pb
from edgerig.v1 import control_service_pb2 as control
from edgerig_controller.rpc.intake import Intake
from tests.controller.rpc.rig import (
    PATIENCE_S,
    Outcome,
    Rig,
    committed,
    deliver,
    outcome_of,
    running,
    sha256_of,
    take,
    upload,
)
from tests.controller.store.building import study


async def refused(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value.code(), caught.value.details() or ""


def hello(epoch: int = 1, major: int = 1) -> pb.SessionRequest:
    return pb.SessionRequest(hello=pb.Hello(protocol_major=major, session_epoch=epoch))


async def test_a_trial_goes_from_offer_to_result(rig: Rig) -> None:
    study_id = await rig.store_study(study(cells=1, seeds=(1,)))
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await take(stub)
        assert lease.trial.seed == 1
        response = await deliver(stub, outcome_of(lease))
    assert response.outcome == pb.COMMIT_OUTCOME_CANONICAL
    row = await rig.frame.store.ask(lambda store: store.find_study(study_id))
    assert (row.state, row.done_count) == ("finished", 1)
    assert len(await rig.frame.store.ask(lambda store: store.scores(study_id))) == 2


async def test_a_commit_before_its_files_names_what_is_missing(rig: Rig) -> None:
    await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub:
        outcome = outcome_of(await take(stub))
        first = await stub.CommitResult(outcome.request, timeout=PATIENCE_S)
        assert first.outcome == pb.COMMIT_OUTCOME_INCOMPLETE
        assert set(first.missing_sha256) == set(outcome.contents)
        await upload(stub, outcome)
        again = await stub.CommitResult(outcome.request, timeout=PATIENCE_S)
        assert again.outcome == pb.COMMIT_OUTCOME_CANONICAL
        third = await stub.CommitResult(outcome.request, timeout=PATIENCE_S)
        assert third.outcome == pb.COMMIT_OUTCOME_ALREADY_HAVE


async def test_a_second_result_of_one_attempt_is_a_conflict(rig: Rig) -> None:
    await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await take(stub)
        await deliver(stub, outcome_of(lease))
        response = await deliver(stub, outcome_of(lease, extra=b"another log"))
    assert response.outcome == pb.COMMIT_OUTCOME_CONFLICT


async def test_a_commit_whose_caller_goes_away_is_announced_all_the_same(rig: Rig) -> None:
    study_id = await rig.store_study(study(cells=1, seeds=(1,)))
    async with rig.agent(await rig.enrolled()) as stub:
        outcome = outcome_of(await take(stub))
        await upload(stub, outcome)
    entered, go_on = threading.Event(), threading.Event()

    def gate() -> float:
        """Is asked for the time on the thread of the store, when the transaction begins."""
        entered.set()
        assert go_on.wait(PATIENCE_S)
        return rig.clock()

    seen = rig.frame.changes.version(study_id)
    told = asyncio.Event()
    rig.frame.clock, rig.frame.on_result = gate, told.set
    committing = asyncio.ensure_future(Intake(rig.frame).commit("local", outcome.request))
    assert await asyncio.to_thread(entered.wait, PATIENCE_S)
    await end(committing)
    go_on.set()
    await within(told.wait(), PATIENCE_S)
    assert rig.frame.changes.version(study_id) > seen
    row = await rig.frame.store.ask(lambda store: store.find_study(study_id))
    assert (row.state, row.done_count) == ("finished", 1)


async def test_a_result_that_comes_again_is_announced_again(rig: Rig) -> None:
    study_id = await rig.store_study(study(cells=1, seeds=(1,)))
    async with rig.agent(await rig.enrolled()) as stub:
        outcome = outcome_of(await take(stub))
        await deliver(stub, outcome)
        seen = rig.frame.changes.version(study_id)
        again = await stub.CommitResult(outcome.request, timeout=PATIENCE_S)
    assert again.outcome == pb.COMMIT_OUTCOME_ALREADY_HAVE
    assert rig.frame.changes.version(study_id) > seen


async def test_a_result_of_an_unknown_attempt_may_be_deleted(rig: Rig) -> None:
    await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await take(stub)
        await deliver(stub, outcome_of(lease))
        lease.attempt_id = "nosuch"
        outcome = outcome_of(lease)
        for data in outcome.contents.values():
            rig.frame.blobs.put_bytes(data)
        response = await stub.CommitResult(outcome.request, timeout=PATIENCE_S)
    assert response.outcome == pb.COMMIT_OUTCOME_DISCARDED


async def test_a_restarted_controller_takes_the_result(rig: Rig) -> None:
    study_id = await rig.store_study(study(cells=1, seeds=(1,)))
    pair = await rig.enrolled()
    async with rig.agent(pair) as stub:
        lease = await take(stub)
    await rig.listeners.stop(0)
    async with running(rig.home.root) as again, again.agent(pair) as stub:
        held = pb.HeldAttempt(attempt_id=lease.attempt_id, epoch=lease.epoch, state=pb.HELD_STATE_FINISHED)
        synced = await stub.Sync(pb.SyncRequest(held=[held]), timeout=PATIENCE_S)
        assert [item.verdict for item in synced.verdicts] == [pb.VERDICT_SEND]
        response = await deliver(stub, outcome_of(lease))
        assert response.outcome == pb.COMMIT_OUTCOME_CANONICAL
        row = await again.frame.store.ask(lambda store: store.find_study(study_id))
        assert row.state == "finished"


def _other_hash(outcome: Outcome) -> None:
    outcome.request.sha256 = "0" * 64


def _other_attempt(outcome: Outcome) -> None:
    outcome.request.result.attempt_id = "other"


def _other_kind(outcome: Outcome) -> None:
    outcome.request.kind = "lost"


def _other_result(outcome: Outcome) -> None:
    outcome.request.result.quality = 0.99


@pytest.mark.parametrize("spoil", [_other_hash, _other_attempt, _other_kind, _other_result])
async def test_results_that_contradict_themselves_are_refused(rig: Rig, spoil: object) -> None:
    await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub:
        outcome = outcome_of(await take(stub))
        await upload(stub, outcome)
        spoil(outcome)  # type: ignore[operator]
        code, _ = await refused(stub.CommitResult(outcome.request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../b", "", "a//b", "a\\b", "x\n"])
async def test_file_names_that_leave_their_folder_are_refused(rig: Rig, path: str) -> None:
    await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await take(stub)
        outcome = committed(lease, {path: b"x"}, outcome_of(lease).request.result)
        code, details = await refused(stub.CommitResult(outcome.request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "path" in details


@pytest.mark.parametrize("line", [b"{", b'{"item_id": "i", "nosuch": 1}', b'{"score": "NaN"}'])
async def test_item_scores_that_cannot_be_read_are_refused(rig: Rig, line: bytes) -> None:
    await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await take(stub)
        outcome = committed(lease, {"scores.jsonl": line}, outcome_of(lease).request.result)
        await upload(stub, outcome)
        code, details = await refused(stub.CommitResult(outcome.request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "scores.jsonl" in details


async def test_a_blob_is_read_in_pieces_by_the_device_that_needs_it(rig: Rig) -> None:
    data = b"m" * (CHUNK_BYTES + 10)
    sha256 = rig.frame.blobs.put_bytes(data)
    other = rig.frame.blobs.put_bytes(b"not of this study")
    await rig.store_study(study(blobs=frozenset({sha256})))
    async with rig.agent(await rig.enrolled()) as stub:
        code, _ = await refused(stub.GetChunk(pb.GetChunkRequest(sha256=sha256), timeout=PATIENCE_S))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        await take(stub)
        first = await stub.GetChunk(pb.GetChunkRequest(sha256=sha256), timeout=PATIENCE_S)
        rest = await stub.GetChunk(
            pb.GetChunkRequest(sha256=sha256, offset_bytes=CHUNK_BYTES), timeout=PATIENCE_S
        )
        assert first.data + rest.data == data
        assert first.size_bytes == len(data)
        code, _ = await refused(stub.GetChunk(pb.GetChunkRequest(sha256=other), timeout=PATIENCE_S))
        assert code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("sha256", "offset", "code"),
    [
        ("../../ca/ca.key", 0, grpc.StatusCode.INVALID_ARGUMENT),
        ("0" * 64, 0, grpc.StatusCode.NOT_FOUND),
        (sha256_of(b"blob"), 99, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_blobs_that_cannot_be_read_have_their_own_answers(
    rig: Rig, sha256: str, offset: int, code: grpc.StatusCode
) -> None:
    rig.frame.blobs.put_bytes(b"blob")
    async with rig.agent(await rig.enrolled()) as stub:
        request = pb.GetChunkRequest(sha256=sha256, offset_bytes=offset)
        assert (await refused(stub.GetChunk(request, timeout=PATIENCE_S)))[0] is code


async def test_uploads_are_bounded_for_each_attempt(rig: Rig) -> None:
    await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await take(stub)
        request = pb.PutChunkRequest(
            attempt_id=lease.attempt_id, sha256="a" * 64, size_bytes=2 * 1024**3, data=b"x"
        )
        code, _ = await refused(stub.PutChunk(request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_file_of_negative_size_makes_no_room_for_others(rig: Rig) -> None:
    await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await take(stub)
        request = pb.PutChunkRequest(attempt_id=lease.attempt_id, sha256="a" * 64, size_bytes=-(2**60))
        code, _ = await refused(stub.PutChunk(request, timeout=PATIENCE_S))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        large = pb.PutChunkRequest(
            attempt_id=lease.attempt_id, sha256="b" * 64, size_bytes=2 * 1024**3, data=b"x"
        )
        code, _ = await refused(stub.PutChunk(large, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_refused_piece_does_not_count_and_an_earlier_one_does(rig: Rig) -> None:
    await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await take(stub)

        async def put(letter: str, size_bytes: int, offset_bytes: int = 0, data: bytes = b"x") -> None:
            request = pb.PutChunkRequest(
                attempt_id=lease.attempt_id,
                sha256=letter * 64,
                size_bytes=size_bytes,
                offset_bytes=offset_bytes,
                data=data,
            )
            await stub.PutChunk(request, timeout=PATIENCE_S)

        most = 1024**3
        code, _ = await refused(put("a", most, offset_bytes=most + 1))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        await put("b", most)
        code, _ = await refused(put("b", 10, offset_bytes=11))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        code, _ = await refused(put("c", 1))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_attempt_whose_results_came_may_send_no_more_files(rig: Rig) -> None:
    await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await take(stub)
        await deliver(stub, outcome_of(lease))
        await deliver(stub, outcome_of(lease, extra=b"another log"))
        code, details = await refused(upload(stub, outcome_of(lease, extra=b"a third")))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "needs no more files" in details


async def test_a_piece_that_is_too_large_is_refused(rig: Rig) -> None:
    await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await take(stub)
        data = b"x" * (CHUNK_BYTES + 1)
        request = pb.PutChunkRequest(
            attempt_id=lease.attempt_id, sha256="a" * 64, size_bytes=len(data), data=data
        )
        code, _ = await refused(stub.PutChunk(request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("field", ["value", "low", "high"])
async def test_a_figure_that_is_not_finite_is_refused(rig: Rig, field: str) -> None:
    await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub:
        outcome = outcome_of(await take(stub))
        setattr(outcome.request.result.measurements[0], field, float("inf"))
        code, details = await refused(stub.CommitResult(outcome.request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "'ttft_s'" in details


@pytest.mark.parametrize("quiet_s", [float("nan"), float("inf"), -1.0])
async def test_a_quiet_window_that_is_no_time_is_refused(rig: Rig, quiet_s: float) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        request = pb.StartAttemptRequest(attempt_id="a", quiet_s=quiet_s)
        code, _ = await refused(stub.StartAttempt(request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_session_is_greeted_and_woken_by_new_work(rig: Rig) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(hello())
        welcome = await session.read()
        assert welcome.welcome.fleet_id == rig.frame.authority.fleet_id
        await rig.store_study(study())
        assert (await session.read()).WhichOneof("signal") == "wake"
        session.cancel()


async def test_a_device_that_measures_is_not_woken(rig: Rig) -> None:
    await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(hello())
        await session.read()
        await take(stub)
        await rig.store_study(study("second", salt="x"))
        rig.frame.hub.cancel("local", "last", "a marker after which nothing else may stand")
        assert (await session.read()).cancel.attempt_id == "last"
        session.cancel()


async def test_a_newer_session_ends_the_older(rig: Rig) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        old, new = stub.Session(timeout=PATIENCE_S), stub.Session(timeout=PATIENCE_S)
        await old.write(hello(epoch=1))
        await old.read()
        await new.write(hello(epoch=2))
        await new.read()
        assert await old.read() is grpc.aio.EOF
        late = stub.Session(timeout=PATIENCE_S)
        await late.write(hello(epoch=1))
        code, _ = await refused(late.read())
        assert code is grpc.StatusCode.ABORTED
        assert rig.frame.hub.connected() == {"local"}
        new.cancel()


async def test_another_protocol_version_is_told_so(rig: Rig) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(hello(major=99))
        code, details = await refused(session.read())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "99" in details


async def test_a_session_that_does_not_greet_is_refused(rig: Rig) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(pb.SessionRequest(renew=pb.Renew(attempt_id="a")))
        code, _ = await refused(session.read())
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_cancelled_study_cancels_on_the_stream_and_in_sync(rig: Rig) -> None:
    study_id = await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub, rig.control() as operator:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(hello())
        await session.read()
        lease = await take(stub)
        await operator.CancelStudy(control.CancelStudyRequest(study_id=study_id), timeout=PATIENCE_S)
        signal = await session.read()
        assert signal.cancel.attempt_id == lease.attempt_id
        held = pb.HeldAttempt(attempt_id=lease.attempt_id, epoch=lease.epoch, state=pb.HELD_STATE_RUNNING)
        synced = await stub.Sync(pb.SyncRequest(held=[held]), timeout=PATIENCE_S)
        assert synced.verdicts[0].verdict == pb.VERDICT_CANCEL
        response = await deliver(stub, outcome_of(lease, failure="killed"))
        assert response.outcome == pb.COMMIT_OUTCOME_SUPERSEDED
        session.cancel()


async def test_renewals_on_the_stream_keep_a_lease(rig: Rig) -> None:
    await rig.store_study(study())
    async with rig.agent(await rig.enrolled()) as stub:
        session = stub.Session(timeout=PATIENCE_S)
        await session.write(hello())
        await session.read()
        offer = (await stub.Sync(pb.SyncRequest(wants_work=True), timeout=PATIENCE_S)).offer
        await stub.AcceptLease(
            pb.AcceptLeaseRequest(attempt_id=offer.attempt_id, epoch=offer.epoch), timeout=PATIENCE_S
        )
        begin = rig.clock.now
        rig.clock.now += 80
        renewed = asyncio.Event()
        rig.frame.on_leases = renewed.set
        await session.write(pb.SessionRequest(renew=pb.Renew(attempt_id=offer.attempt_id, epoch=offer.epoch)))
        await renewed.wait()
        deadline = await rig.frame.store.ask(lambda store: store.next_deadline())
        assert deadline == begin + 80 + 90
        session.cancel()


async def test_traces_are_converted_before_the_next_trial_is_offered(rig: Rig) -> None:
    study_id = await rig.store_study(study())
    header = {"fields": [], "record_bytes": 8}
    trace = json.dumps(header).encode().ljust(4096)
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await take(stub)
        files = {"trace/memory.trace": trace}
        outcome = committed(lease, files, outcome_of(lease).request.result)
        await deliver(stub, outcome)
        target = rig.home.trace_path(study_id, lease.attempt_id)
        assert not target.exists()
        await stub.Sync(pb.SyncRequest(wants_work=True), timeout=PATIENCE_S)
        assert target.exists()
