"""Messages that are too large, malformed, or name what they must not: refused, with nothing changed.

No archive is read anywhere in edgerig, so there is no archive that could
swell: what is unpacked has the size that was declared and checked before. What
could swell all the same is a message that gRPC decompresses, and YAML by its
aliases; both are refused. The other bounds are tested here.

Each refusal has a reason and is in the controller's log. Of two that the transport makes
by itself (a message that is far too large, and one that is compressed) the log has
the method and that no message came; the caller has the reason.
"""

from __future__ import annotations

import ast
import asyncio
import re
from pathlib import Path
from typing import Any

import grpc
import pytest

from edgerig import documents
from edgerig.channel import CHUNK_BYTES, TRANSPORT_MOST_BYTES
from edgerig.errors import UsageError
from edgerig.v1 import agent_service_pb2 as agents
from edgerig.v1 import control_service_pb2 as control
from edgerig.v1 import fleet_service_pb2 as fleet
from edgerig.v1.agent_service_pb2_grpc import AgentServiceStub
from edgerig.v1.attempt_pb2 import ItemScore, Manifest
from edgerig.v1.trial_pb2 import FileRef
from edgerig_controller.fleet import inventory_file
from edgerig_controller.fleet.identity import KeyPair
from edgerig_controller.rpc import checks
from tests.controller.rpc.rig import PATIENCE_S, Rig, committed, deliver, outcome_of, sha256_of, take
from tests.controller.store.building import result_of, study
from tests.security.conftest import stored
from tests.security.test_intruders import refusal

ROOT = Path(__file__).parents[2]


async def leased(rig: Rig, stub: Any) -> agents.Lease:
    await rig.store_study(study())
    return await take(stub)


def request_of(lease: agents.Lease, manifest: Manifest) -> agents.CommitResultRequest:
    request = outcome_of(lease).request
    request.manifest.CopyFrom(manifest)
    request.sha256 = documents.digest(documents.to_json(manifest))
    return request


PATHS = [
    "../../../etc/passwd",
    "/etc/passwd",
    "trace/../../x",
    "..",
    ".",
    "",
    "a//b",
    "a\\..\\b",
    "a\x00b",
    "a\nb",
    "x" * 301,
]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the controller logs, down to the refusals of what is merely wrong."""
    caplog.set_level("INFO", logger="edgerig_controller")
    return caplog


@pytest.mark.parametrize("path", PATHS)
async def test_artifact_names_that_leave_their_folder(
    rig: Rig, path: str, log: pytest.LogCaptureFixture
) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await leased(rig, stub)
        before = await stored(rig)
        manifest = Manifest(
            attempt_id=lease.attempt_id, files=[FileRef(path=path, sha256="a" * 64, size_bytes=1)]
        )
        code, details = await refusal(stub.CommitResult(request_of(lease, manifest), timeout=PATIENCE_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "path" in details
    assert details.splitlines()[0] in log.text
    assert await stored(rig) == before


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "A" * 64, "a" * 63, "", "a" * 63 + "/", "..%2f" + "a" * 59]
)
async def test_blob_names_that_are_no_hashes(rig: Rig, name: str, log: pytest.LogCaptureFixture) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await leased(rig, stub)
        before = await stored(rig)
        put = agents.PutChunkRequest(attempt_id=lease.attempt_id, sha256=name, size_bytes=1, data=b"x")
        for call in (
            stub.PutChunk(put, timeout=PATIENCE_S),
            stub.GetChunk(agents.GetChunkRequest(sha256=name), timeout=PATIENCE_S),
        ):
            code, details = await refusal(call)
            assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
            assert "sha256" in details
            assert details.splitlines()[0] in log.text
    assert await stored(rig) == before


async def test_attempt_ids_that_are_paths(rig: Rig, log: pytest.LogCaptureFixture) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        before = await stored(rig)
        for call, request in (
            (stub.AcceptLease, agents.AcceptLeaseRequest(attempt_id="../x", epoch=1)),
            (stub.StartAttempt, agents.StartAttemptRequest(attempt_id="../x", epoch=1)),
            (stub.PutChunk, agents.PutChunkRequest(attempt_id="../x", sha256="a" * 64)),
        ):
            code, details = await refusal(call(request, timeout=PATIENCE_S))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "is not an id" in details
            assert details.splitlines()[0] in log.text
    assert await stored(rig) == before


async def test_a_study_id_that_is_a_path_removes_nothing(rig: Rig) -> None:
    await rig.store_study(study())
    before = await stored(rig)
    async with rig.control() as stub:
        code, _ = await refusal(
            stub.DeleteStudy(control.DeleteStudyRequest(study_id="../../.."), timeout=PATIENCE_S)
        )
    assert code is grpc.StatusCode.NOT_FOUND
    assert await stored(rig) == before


def unlimited(rig: Rig, pair: KeyPair, compression: grpc.Compression | None = None) -> grpc.aio.Channel:
    """Opens a channel of a client that keeps to no limits of its own."""
    credentials = grpc.ssl_channel_credentials(rig.frame.authority.ca_pem, pair.key_pem, pair.certificate_pem)
    return grpc.aio.secure_channel(
        f"127.0.0.1:{rig.listeners.agents_port}",
        credentials,
        options=[("grpc.max_send_message_length", -1)],
        compression=compression,
    )


async def test_a_message_over_the_limit_is_refused_and_logged_with_its_peer(
    rig: Rig, log: pytest.LogCaptureFixture
) -> None:
    pair = await rig.enrolled()
    before = await stored(rig)
    async with unlimited(rig, pair) as channel:
        request = agents.SyncRequest(no_work_reason="x" * 2_000_000)
        code, details = await refusal(AgentServiceStub(channel).Sync(request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "2000004 bytes, of at most 1048576" in details
    assert re.search(r"Sync: INVALID_ARGUMENT to ipv4:127\.0\.0\.1:\d+: .* 2000004 bytes", log.text)
    assert await stored(rig) == before


async def test_a_message_far_over_the_limit_is_not_taken_in(rig: Rig, log: pytest.LogCaptureFixture) -> None:
    pair = await rig.enrolled()
    before = await stored(rig)
    async with unlimited(rig, pair) as channel:
        request = agents.SyncRequest(no_work_reason="x" * (TRANSPORT_MOST_BYTES + 1))
        code, details = await refusal(AgentServiceStub(channel).Sync(request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    # The controller's words and not the client's, which would be about sending.
    assert "Received message larger than max" in details
    await until_logged(log, "Sync: a call ended before its message was read")
    assert await stored(rig) == before


async def until_logged(log: pytest.LogCaptureFixture, text: str) -> None:
    """Waits for the server's side of a call that is over on ours."""
    for _ in range(int(100 * PATIENCE_S)):
        if text in log.text:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{text!r} is not in the log")


@pytest.mark.parametrize("method", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_a_message_that_would_swell_is_not_decompressed(
    rig: Rig, method: grpc.Compression, log: pytest.LogCaptureFixture
) -> None:
    pair = await rig.enrolled()
    before = await stored(rig)
    async with unlimited(rig, pair, method) as channel:
        # A few kilobytes on the wire.
        request = agents.SyncRequest(no_work_reason="x" * 5_000_000)
        code, details = await refusal(AgentServiceStub(channel).Sync(request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert "ompress" in details
    await until_logged(log, "Sync: a call ended before its message was read")
    assert await stored(rig) == before


def test_an_inventory_whose_aliases_would_swell_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(UsageError, match="alias"):
        inventory_file.parse("\n".join(lines), "inventory.yaml")


@pytest.mark.parametrize(
    ("size_bytes", "offset_bytes", "length"),
    [
        (10, 0, 11),
        (10, 11, 0),
        (10, -1, 1),
        (-1, 0, 0),
        (2**62, 0, 1),
        (10, 5, 6),
        (CHUNK_BYTES * 2, 0, CHUNK_BYTES + 1),
    ],
)
async def test_pieces_that_are_not_where_or_as_large_as_they_say(
    rig: Rig, size_bytes: int, offset_bytes: int, length: int
) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await leased(rig, stub)
        before = await stored(rig)
        request = agents.PutChunkRequest(
            attempt_id=lease.attempt_id,
            sha256="a" * 64,
            size_bytes=size_bytes,
            offset_bytes=offset_bytes,
            data=b"x" * length,
        )
        code, _ = await refusal(stub.PutChunk(request, timeout=PATIENCE_S))
    assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert await stored(rig) == before


async def test_content_that_is_not_its_hash_is_never_stored(rig: Rig) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await leased(rig, stub)
        before = await stored(rig)
        request = agents.PutChunkRequest(
            attempt_id=lease.attempt_id, sha256=sha256_of(b"honest"), size_bytes=6, data=b"forged"
        )
        code, _ = await refusal(stub.PutChunk(request, timeout=PATIENCE_S))
    assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert not rig.frame.blobs.has(sha256_of(b"honest"))
    assert await stored(rig) == before


async def test_more_bytes_than_an_attempt_may_have_are_refused_before_they_come(rig: Rig) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await leased(rig, stub)
        before = await stored(rig)
        request = agents.PutChunkRequest(
            attempt_id=lease.attempt_id, sha256="a" * 64, size_bytes=checks.ATTEMPT_QUOTA_BYTES + 1
        )
        code, _ = await refusal(stub.PutChunk(request, timeout=PATIENCE_S))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        declared = Manifest(
            attempt_id=lease.attempt_id,
            files=[FileRef(path="a", sha256="a" * 64, size_bytes=checks.ATTEMPT_QUOTA_BYTES + 1)],
        )
        code, _ = await refusal(stub.CommitResult(request_of(lease, declared), timeout=PATIENCE_S))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert await stored(rig) == before


async def test_a_manifest_of_too_many_files_is_refused(rig: Rig) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await leased(rig, stub)
        before = await stored(rig)
        files = [FileRef(path=f"f{index}", sha256="a" * 64, size_bytes=0) for index in range(1001)]
        request = request_of(lease, Manifest(attempt_id=lease.attempt_id, files=files))
        code, details = await refusal(stub.CommitResult(request, timeout=PATIENCE_S))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "1001 files" in details
    assert await stored(rig) == before


@pytest.mark.parametrize(
    "line", [b"{not json}\n", b'{"unknown": 1}\n', b'{"score": "NaN"}\n', b"[" * 100_000, b"\xff\xfe\n"]
)
async def test_a_scores_file_that_lies_is_refused_with_the_line(rig: Rig, line: bytes) -> None:
    async with rig.agent(await rig.enrolled()) as stub:
        lease = await leased(rig, stub)
        honest = documents.canonical_bytes(documents.to_json(ItemScore(item_id="a", score=0.5))) + b"\n"
        result = result_of(_Offer(lease))
        files = {
            "result.json": documents.canonical_bytes(documents.to_json(result)),
            "scores.jsonl": honest + line,
        }
        code, details = await refusal(deliver(stub, committed(lease, files, result)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "2" in details
    studies = await rig.frame.store.ask(lambda store: store.studies())
    assert [row.done_count for row in studies] == [0]


class _Offer:
    def __init__(self, lease: agents.Lease) -> None:
        self.lease, self.trial = lease, lease.trial


async def test_bytes_that_are_no_message_are_refused_and_the_server_lives_on(
    rig: Rig, log: pytest.LogCaptureFixture
) -> None:
    pair = await rig.enrolled()
    before = await stored(rig)
    async with rig.channel(rig.listeners.agents_port, pair) as channel:
        for method in ("Sync", "CommitResult", "PutChunk", "ReportInventory", "RenewCertificate"):
            call = channel.unary_unary(
                f"/edgerig.v1.AgentService/{method}", request_serializer=bytes, response_deserializer=bytes
            )
            log.clear()
            code, details = await refusal(call(b"\xff\xff\xff\xff" + method.encode(), timeout=PATIENCE_S))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "cannot be read" in details
            assert re.search(rf"{method}: INVALID_ARGUMENT to ipv4:\S+: {re.escape(details)}", log.text)
            assert "Traceback" not in log.text
        unknown = channel.unary_unary("/edgerig.v1.AgentService/Nothing")
        code, _ = await refusal(unknown(b"", timeout=PATIENCE_S))
        assert code is grpc.StatusCode.UNIMPLEMENTED
    assert await stored(rig) == before
    async with rig.agent(pair) as stub:
        await stub.Sync(agents.SyncRequest(request_id="r"), timeout=PATIENCE_S)


async def test_bytes_in_a_stream_that_are_no_message_end_it_with_the_reason(
    rig: Rig, log: pytest.LogCaptureFixture
) -> None:
    pair = await rig.enrolled()
    hello = agents.SessionRequest(hello=agents.Hello(protocol_major=1)).SerializeToString()
    for honest in ((), (hello,)):
        async with rig.channel(rig.listeners.agents_port, pair) as channel:
            session = channel.stream_stream(
                "/edgerig.v1.AgentService/Session", request_serializer=bytes, response_deserializer=bytes
            )(timeout=PATIENCE_S)
            for message in (*honest, b"\xff\xff\xff\xff"):
                await session.write(message)
            with pytest.raises(grpc.aio.AioRpcError, match="cannot be read"):
                # A welcome where there was a greeting, then the end.
                while await session.read() is not grpc.aio.EOF:
                    pass
            assert await session.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(re.findall(r"Session: INVALID_ARGUMENT to \S+: The message cannot be read", log.text)) == 2
    assert "incident" not in log.text


async def test_the_control_services_are_not_on_the_listener_for_agents(rig: Rig) -> None:
    pair = await rig.enrolled()
    async with rig.channel(rig.listeners.agents_port, pair) as channel:
        for name in ("ControlService/Shutdown", "FleetService/AddPerson"):
            call = channel.unary_unary(f"/edgerig.v1.{name}")
            code, _ = await refusal(call(b"", timeout=PATIENCE_S))
            assert code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "device",
    [
        fleet.DeclaredDevice(device_id="../x"),
        fleet.DeclaredDevice(device_id="a", labels=["x y"]),
        fleet.DeclaredDevice(device_id="a", labels=[f"l{index}" for index in range(65)]),
        fleet.DeclaredDevice(device_id="a", module="x" * 201),
        fleet.DeclaredDevice(device_id="a", memory_bytes=-1),
    ],
)
async def test_declared_devices_that_no_file_could_have_said(rig: Rig, device: fleet.DeclaredDevice) -> None:
    before = await stored(rig)
    async with rig.fleet() as stub:
        code, _ = await refusal(
            stub.ApplyInventory(fleet.ApplyInventoryRequest(devices=[device]), timeout=PATIENCE_S)
        )
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert await stored(rig) == before


@pytest.mark.parametrize("folder", ["agent/edgerig_agent", "agent/edgerig_workload", "controller", "protos"])
def test_nothing_reads_archives_or_pickles(folder: str) -> None:
    forbidden = {"zipfile", "tarfile", "gzip", "bz2", "lzma", "zlib", "pickle", "marshal", "shelve", "dill"}
    found = []
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [item.name for item in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"{path.name}: {name}" for name in names if name.partition(".")[0] in forbidden]
    assert found == []
