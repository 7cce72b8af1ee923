"""One simulated device: its connection, its stream, and the trials it pretends to run.

Speaks AgentService as an agent does: Sync on every connect, a lease before the
work, silence while it lasts, and nothing forgotten before the commit's reply.
Keeps all of it in memory: it has no disk, and ends with its process.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from edgerig import documents
from edgerig.channel import CHUNK_BYTES, CLIENT_OPTIONS
from edgerig.deadlines import end, within
from edgerig.v1 import agent_service_pb2 as pb
from edgerig.v1.agent_service_pb2_grpc import AgentServiceStub
from edgerig.v1.attempt_pb2 import AttemptResult
from edgerig.v1.device_pb2 import DeviceFacts, WorkerRuntime
from edgerig.version import AGENT_CAPABILITIES, PROTOCOL_MAJOR, PROTOCOL_MINOR, VERSION
from edgerig_controller.simulator.passports import Passport
from edgerig_controller.simulator.script import Script, files_of

_CALL_S = 30.0
_WELCOME_S = 30.0
_IDLE_S = 300.0
_PAUSE_CAP_S = 10.0
_MEMORY_BYTES = 8 * 2**30
# gRPC shares connections between channels of a process; each device has its own.
_OPTIONS = [*CLIENT_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
_DELETABLE = frozenset(
    {
        pb.COMMIT_OUTCOME_CANONICAL,
        pb.COMMIT_OUTCOME_SUPERSEDED,
        pb.COMMIT_OUTCOME_ALREADY_HAVE,
        pb.COMMIT_OUTCOME_CONFLICT,
        pb.COMMIT_OUTCOME_DISCARDED,
    }
)


@dataclass
class Tally:
    """What one device has seen. Times are Unix seconds, durations seconds."""

    connected: bool = False
    connects: int = 0
    last_sync_unix_s: float = 0.0
    committed: int = 0
    failed_calls: int = 0
    # From the wish for work (a Sync that got an offer) to the controller's word that it may begin.
    dispatch_s: list[float] = field(default_factory=list)


@dataclass
class _Held:
    lease: pb.Lease
    state: pb.HeldState
    result: AttemptResult | None = None


class Device:
    """A device that runs until it is cancelled."""

    def __init__(self, passport: Passport, address: str, script: Script) -> None:
        self.tally = Tally()
        self._passport = passport
        self._address = address
        self._script = script
        self._boot_id = str(uuid.uuid4())
        self._rng = random.Random(f"{script.seed}/{passport.device_id}")
        self._held: _Held | None = None
        self._epoch = 0
        self._woken = asyncio.Event()
        self._cancelled: set[str] = set()

    async def run(self) -> None:
        """Connects, and connects again for ever."""
        pause_s = 0.5
        async with grpc.aio.secure_channel(
            self._address, self._passport.credentials(), options=_OPTIONS
        ) as channel:
            stub: Any = AgentServiceStub(channel)
            while True:
                try:
                    await self._session(stub)
                except (grpc.aio.AioRpcError, asyncio.TimeoutError, asyncio.InvalidStateError):
                    self.tally.failed_calls += 1
                if self.tally.connected:
                    pause_s = 0.5
                self.tally.connected = False
                await asyncio.sleep(pause_s * self._rng.uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, _PAUSE_CAP_S)

    async def _session(self, stub: Any) -> None:
        """Keeps one stream, and works as long as it stands."""
        stream = stub.Session()
        try:
            self._epoch = max(self._epoch + 1, int(time.time() * 1000))
            hello = pb.Hello(
                protocol_major=PROTOCOL_MAJOR,
                protocol_minor=PROTOCOL_MINOR,
                agent_version=f"{VERSION}+simulated",
                boot_id=self._boot_id,
                session_epoch=self._epoch,
                capabilities=AGENT_CAPABILITIES,
            )
            await stream.write(pb.SessionRequest(hello=hello))
            await within(stream.read(), _WELCOME_S)
            self.tally.connected = True
            self.tally.connects += 1
            working = asyncio.create_task(self._work(stub))
            hearing = asyncio.create_task(self._hear(stream))
            try:
                await asyncio.wait({working, hearing}, return_when=asyncio.FIRST_COMPLETED)
                for task in (working, hearing):
                    if task.done():
                        task.result()
            finally:
                await end(working)
                await end(hearing)
        finally:
            stream.cancel()

    async def _hear(self, stream: Any) -> None:
        while isinstance(signal := await stream.read(), pb.SessionResponse):
            if signal.HasField("cancel"):
                self._cancelled.add(signal.cancel.attempt_id)
            self._woken.set()

    async def _work(self, stub: Any) -> None:
        await stub.ReportInventory(pb.ReportInventoryRequest(facts=self._facts()), timeout=_CALL_S)
        while True:
            self._woken.clear()
            if not await self._round(stub):
                with contextlib.suppress(asyncio.TimeoutError):
                    await within(self._woken.wait(), _IDLE_S)

    async def _round(self, stub: Any) -> bool:
        """Syncs and does what the answer says; tells whether there may be more at once."""
        asked_s = time.monotonic()
        held = self._held
        request = pb.SyncRequest(
            request_id=uuid.uuid4().hex, boot_id=self._boot_id, wants_work=held is None, disk_free_bytes=2**40
        )
        if held is not None:
            request.held.add(attempt_id=held.lease.attempt_id, epoch=held.lease.epoch, state=held.state)
        reply = await stub.Sync(request, timeout=_CALL_S)
        self.tally.last_sync_unix_s = time.time()
        if held is not None:
            verdict = reply.verdicts[0].verdict if reply.verdicts else pb.VERDICT_DISCARD
            await self._settle(stub, held, verdict)
            return self._held is None
        if not reply.HasField("offer"):
            return False
        await self._take(stub, reply.offer, asked_s)
        return True

    async def _settle(self, stub: Any, held: _Held, verdict: int) -> None:
        if verdict in (pb.VERDICT_ALREADY_HAVE, pb.VERDICT_DISCARD):
            # A commit whose reply was lost counts as well.
            self.tally.committed += verdict == pb.VERDICT_ALREADY_HAVE
            self._held = None
        elif held.result is not None:
            await self._commit(stub, held, held.result)
        elif verdict == pb.VERDICT_CANCEL and held.state == pb.HELD_STATE_ACCEPTED:
            self._held = None
        else:
            # Its sleep was cut off by a lost connection; what is pretended may begin again.
            await self._pretend(stub, held)

    async def _take(self, stub: Any, lease: pb.Lease, asked_s: float) -> None:
        held = self._held = _Held(lease, pb.HELD_STATE_ACCEPTED)
        accepted = await stub.AcceptLease(
            pb.AcceptLeaseRequest(attempt_id=lease.attempt_id, epoch=lease.epoch), timeout=_CALL_S
        )
        if not accepted.granted:
            self._held = None
            return
        await self._start(stub, held, asked_s)

    async def _start(self, stub: Any, held: _Held, asked_s: float) -> None:
        lease = held.lease
        started = await stub.StartAttempt(
            pb.StartAttemptRequest(
                attempt_id=lease.attempt_id,
                epoch=lease.epoch,
                boot_id=self._boot_id,
                quiet_s=self._script.duration_of(lease.trial, self._passport.device_id) + 60.0,
            ),
            timeout=_CALL_S,
        )
        if started.verdict != pb.VERDICT_CONTINUE:
            self._held = None
            return
        self.tally.dispatch_s.append(time.monotonic() - asked_s)
        held.state = pb.HELD_STATE_RUNNING
        await self._pretend(stub, held)

    async def _pretend(self, stub: Any, held: _Held) -> None:
        """Takes the time that the script says, in silence."""
        lease = held.lease
        if held.state == pb.HELD_STATE_ACCEPTED:
            await self._start(stub, held, time.monotonic())
            return
        ran_s = self._script.duration_of(lease.trial, self._passport.device_id)
        await asyncio.sleep(ran_s)
        held.result = self._script.result(
            lease.trial, self._passport.device_id, lease.attempt_id, boot_id=self._boot_id, ran_s=ran_s
        )
        held.state = pb.HELD_STATE_FINISHED
        await self._commit(stub, held, held.result)

    async def _commit(self, stub: Any, held: _Held, result: AttemptResult) -> None:
        manifest, contents = files_of(result)
        request = pb.CommitResultRequest(
            attempt_id=held.lease.attempt_id,
            epoch=held.lease.epoch,
            kind="attempt",
            sha256=documents.digest(documents.to_json(manifest)),
            manifest=manifest,
            result=result,
        )
        for _ in range(2):
            reply = await stub.CommitResult(request, timeout=_CALL_S)
            for sha256 in reply.missing_sha256:
                await self._put(stub, held, sha256, contents[sha256])
            if reply.outcome in _DELETABLE:
                self.tally.committed += 1
                self._held = None
                return

    async def _put(self, stub: Any, held: _Held, sha256: str, content: bytes) -> None:
        for offset in range(0, len(content), CHUNK_BYTES):
            await stub.PutChunk(
                pb.PutChunkRequest(
                    attempt_id=held.lease.attempt_id,
                    sha256=sha256,
                    size_bytes=len(content),
                    offset_bytes=offset,
                    data=content[offset : offset + CHUNK_BYTES],
                ),
                timeout=_CALL_S,
            )

    def _facts(self) -> DeviceFacts:
        return DeviceFacts(
            hostname=self._passport.device_id,
            machine="simulated device",
            architecture="simulated",
            cpu_count=1,
            memory_bytes=_MEMORY_BYTES,
            boot_id=self._boot_id,
            agent_version=VERSION,
            worker=WorkerRuntime(unavailable_reason="a simulated device has no interpreter"),
        )
