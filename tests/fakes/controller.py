"""A real gRPC server over mTLS that plays the controller for tests of the agent alone.

It keeps leases, blobs and results in memory. Tests script it from outside:
what it offers, which verdicts it gives, which calls fail, when it sends a
signal; and they wait for what it received, without sleeping.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from edgerig.channel import CHUNK_BYTES, SERVER_OPTIONS
from edgerig.documents import digest, to_json
from edgerig.v1 import agent_service_pb2 as wire
from edgerig.v1 import enroll_service_pb2 as enrolling
from edgerig.v1.agent_service_pb2_grpc import AgentServiceServicer, add_AgentServiceServicer_to_server
from edgerig.v1.attempt_pb2 import AttemptResult
from edgerig.v1.enroll_service_pb2_grpc import EnrollServiceServicer, add_EnrollServiceServicer_to_server
from edgerig.v1.trial_pb2 import FileRef, Model, Task, Trial
from edgerig_agent.identity import Enrollment, Identity
from edgerig_agent.identity import save as save_identity
from tests.fakes.authority import Authority

PATIENCE_S = 20.0


class FakeController(AgentServiceServicer, EnrollServiceServicer):
    """One controller of one fleet; `start` may be called again after `stop`, on the same port."""

    def __init__(self, authority: Authority | None = None) -> None:
        self.authority = authority or Authority()
        self.offers: list[wire.Lease] = []
        self.leases: dict[str, wire.Lease] = {}
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.results: dict[str, AttemptResult] = {}
        self.manifests: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.syncs: list[wire.SyncRequest] = []
        self.hellos: list[wire.Hello] = []
        self.starts: list[wire.StartAttemptRequest] = []
        self.renewals: list[wire.Renew] = []
        self.chunk_offsets: list[int] = []
        self.inventories = 0
        self.signals_sent = 0
        self.peers: set[str] = set()
        # Verdict for a held attempt; by default what a controller with no trouble says.
        self.verdict: Callable[[wire.HeldAttempt], int] = self._usual_verdict
        # Status codes that the next calls of a method end with, before and after they take effect.
        self.fail_before: dict[str, list[grpc.StatusCode]] = {}
        self.fail_after: dict[str, list[grpc.StatusCode]] = {}
        self.grant = True
        self.streams = True
        self.outcome = wire.COMMIT_OUTCOME_CANONICAL
        self.tokens: dict[str, str] = {}
        self.port = 0
        self.enroll_port = 0
        self._servers: list[grpc.aio.Server] = []
        self._outboxes: list[asyncio.Queue[wire.SessionResponse | None]] = []
        self._changed = asyncio.Condition()

    async def start(self) -> None:
        """Listens on loopback; the ports of an earlier start are taken again."""
        pair = self.authority.server()
        chain = [(pair.key_pem, pair.certificate_pem + self.authority.ca_pem)]
        mutual = grpc.ssl_server_credentials(chain, self.authority.ca_pem, require_client_auth=True)
        agents = grpc.aio.server(options=SERVER_OPTIONS)
        add_AgentServiceServicer_to_server(self, agents)
        self.port = agents.add_secure_port(f"127.0.0.1:{self.port}", mutual)
        enroll = grpc.aio.server(options=SERVER_OPTIONS)
        add_EnrollServiceServicer_to_server(self, enroll)
        self.enroll_port = enroll.add_secure_port(
            f"127.0.0.1:{self.enroll_port}", grpc.ssl_server_credentials(chain)
        )
        self._servers = [agents, enroll]
        for server in self._servers:
            await server.start()

    async def stop(self) -> None:
        """Goes away at once, as a killed process does."""
        for server in self._servers:
            await server.stop(None)
        self._servers = []

    def enroll_home(self, home: Path, device_id: str = "orin-07") -> Identity:
        """Puts a valid identity of this fleet into an agent's home, and returns it."""
        pair = self.authority.agent(device_id)
        enrollment = Enrollment(
            device_id=device_id,
            fleet_id=self.authority.fleet_id,
            agents=f"127.0.0.1:{self.port}",
            enroll=f"127.0.0.1:{self.enroll_port}",
        )
        identity = Identity(enrollment, pair.key_pem, pair.certificate_pem, self.authority.ca_pem)
        save_identity(home, identity)
        return identity

    def add_blob(self, content: bytes, path: str) -> FileRef:
        """Stores a blob that agents may fetch."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.blobs[sha256] = content
        return FileRef(path=path, sha256=sha256, size_bytes=len(content))

    def lease(self, attempt_id: str, *, weights: bytes = b"weights", seed: int = 1) -> wire.Lease:
        """Makes a lease of a trial with a two-file model and a data file."""
        trial = Trial(
            schema_version=1,
            seed=seed,
            model=Model(
                name="starter/small",
                files=[
                    self.add_blob(b'{"model_type": "llama"}', "config.json"),
                    self.add_blob(weights, "sub/model.safetensors"),
                ],
            ),
            task=Task(name="lamp-2", data=self.add_blob(b'{"id": "1"}\n', "lamp-2.jsonl")),
        )
        trial.budgets.attempt.duration_s = 120.0
        trial.digest = digest(to_json(trial))
        return wire.Lease(attempt_id=attempt_id, epoch=1, ttl_s=90.0, trial=trial)

    def offer(self, lease: wire.Lease) -> None:
        """Puts a lease into the queue and wakes the agent."""
        self.offers.append(lease)
        self.signal(wire.SessionResponse(wake=wire.Wake()))

    def signal(self, message: wire.SessionResponse) -> None:
        """Sends a message on every open stream."""
        for outbox in self._outboxes:
            outbox.put_nowait(message)

    def drop_streams(self) -> None:
        """Ends every open stream with an error."""
        for outbox in self._outboxes:
            outbox.put_nowait(None)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Returns when the condition holds; it is looked at after each call that arrives."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(condition), PATIENCE_S)

    async def Session(
        self, request_iterator: AsyncIterator[wire.SessionRequest], context: Any
    ) -> AsyncIterator[wire.SessionResponse]:
        if not self.streams:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no streams through this proxy")
        await self._enter("Session", context)
        first = await request_iterator.__anext__()
        self.hellos.append(first.hello)
        outbox: asyncio.Queue[wire.SessionResponse | None] = asyncio.Queue()
        outbox.put_nowait(
            wire.SessionResponse(
                welcome=wire.Welcome(
                    protocol_major=1, controller_version="fake", fleet_id=self.authority.fleet_id
                )
            )
        )
        self._outboxes.append(outbox)
        reader = asyncio.create_task(self._read_renewals(request_iterator))
        try:
            while (message := await outbox.get()) is not None:
                yield message
                self.signals_sent += 1
                await self._notify()
            await context.abort(grpc.StatusCode.UNAVAILABLE, "dropped by the test")
        finally:
            reader.cancel()
            self._outboxes.remove(outbox)

    async def Sync(self, request: wire.SyncRequest, context: Any) -> wire.SyncResponse:
        await self._enter("Sync", context)
        self.syncs.append(request)
        reply = wire.SyncResponse(request_id=request.request_id, attempt_quota_bytes=1 << 30)
        for held in request.held:
            reply.verdicts.add(attempt_id=held.attempt_id, verdict=self.verdict(held))
        if request.wants_work and self.offers:
            lease = self.offers.pop(0)
            self.leases[lease.attempt_id] = lease
            reply.offer.CopyFrom(lease)
        return await self._leave("Sync", context, reply)

    async def AcceptLease(self, request: wire.AcceptLeaseRequest, context: Any) -> wire.AcceptLeaseResponse:
        await self._enter("AcceptLease", context)
        return await self._leave("AcceptLease", context, wire.AcceptLeaseResponse(granted=self.grant))

    async def StartAttempt(
        self, request: wire.StartAttemptRequest, context: Any
    ) -> wire.StartAttemptResponse:
        await self._enter("StartAttempt", context)
        self.starts.append(request)
        reply = wire.StartAttemptResponse(verdict=wire.VERDICT_CONTINUE)
        return await self._leave("StartAttempt", context, reply)

    async def CommitResult(
        self, request: wire.CommitResultRequest, context: Any
    ) -> wire.CommitResultResponse:
        await self._enter("CommitResult", context)
        if request.sha256 != digest(to_json(request.manifest)):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the manifest has another hash")
        missing = [file.sha256 for file in request.manifest.files if file.sha256 not in self.blobs]
        if missing:
            return wire.CommitResultResponse(
                outcome=wire.COMMIT_OUTCOME_INCOMPLETE, missing_sha256=sorted(set(missing))
            )
        outcome = self.outcome
        if request.attempt_id in self.manifests:
            same = self.manifests[request.attempt_id] == request.sha256
            outcome = wire.COMMIT_OUTCOME_ALREADY_HAVE if same else wire.COMMIT_OUTCOME_CONFLICT
        self.manifests.setdefault(request.attempt_id, request.sha256)
        self.results.setdefault(request.attempt_id, request.result)
        return await self._leave("CommitResult", context, wire.CommitResultResponse(outcome=outcome))

    async def PutChunk(self, request: wire.PutChunkRequest, context: Any) -> wire.PutChunkResponse:
        await self._enter("PutChunk", context)
        stored = self.uploads.setdefault(request.sha256, bytearray())
        if request.offset_bytes == len(stored):
            stored += request.data
        complete = len(stored) == request.size_bytes
        if complete:
            assert hashlib.sha256(stored).hexdigest() == request.sha256
            self.blobs[request.sha256] = bytes(stored)
        reply = wire.PutChunkResponse(stored_bytes=len(stored), complete=complete)
        return await self._leave("PutChunk", context, reply)

    async def GetChunk(self, request: wire.GetChunkRequest, context: Any) -> wire.GetChunkResponse:
        await self._enter("GetChunk", context)
        content = self.blobs.get(request.sha256)
        if content is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such blob")
        assert content is not None
        self.chunk_offsets.append(request.offset_bytes)
        data = content[request.offset_bytes : request.offset_bytes + CHUNK_BYTES]
        return await self._leave(
            "GetChunk", context, wire.GetChunkResponse(data=data, size_bytes=len(content))
        )

    async def ReportInventory(
        self, request: wire.ReportInventoryRequest, context: Any
    ) -> wire.ReportInventoryResponse:
        await self._enter("ReportInventory", context)
        self.inventories += 1
        return await self._leave("ReportInventory", context, wire.ReportInventoryResponse())

    async def Enroll(self, request: enrolling.EnrollRequest, context: Any) -> enrolling.EnrollResponse:
        if not request.token or self.tokens.pop(request.device_id, None) != request.token:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "the token is unknown, used or expired")
        certificate = self.authority.sign(request.certificate_request_pem, request.device_id)
        return enrolling.EnrollResponse(
            certificate_pem=certificate.decode(),
            ca_pem=self.authority.ca_pem.decode(),
            fleet_id=self.authority.fleet_id,
        )

    def _usual_verdict(self, held: wire.HeldAttempt) -> int:
        if held.attempt_id in self.results:
            return wire.VERDICT_ALREADY_HAVE
        return wire.VERDICT_SEND if held.state == wire.HELD_STATE_FINISHED else wire.VERDICT_CONTINUE

    async def _enter(self, method: str, context: Any) -> None:
        self.calls[method] += 1
        self.peers.update(uri.decode() for uri in context.auth_context().get("peer_uri", ()))
        await self._notify()
        if codes := self.fail_before.get(method):
            await context.abort(codes.pop(0), "failed by the test")

    async def _leave(self, method: str, context: Any, reply: Any) -> Any:
        await self._notify()
        if codes := self.fail_after.get(method):
            await context.abort(codes.pop(0), "the reply was lost by the test")
        return reply

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _read_renewals(self, requests: AsyncIterator[wire.SessionRequest]) -> None:
        async for request in requests:
            if request.WhichOneof("signal") == "renew":
                self.renewals.append(request.renew)
                await self._notify()
