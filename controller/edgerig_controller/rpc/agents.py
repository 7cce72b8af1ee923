"""AgentService: what agents report and ask.

The caller's device is read from its certificate. Everything durable is
committed before the reply. Knows nothing of how leases move: it checks what
comes in, asks the store, and tells others what has changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from edgerig.channel import CHUNK_BYTES
from edgerig.errors import ProtocolError
from edgerig.v1 import agent_service_pb2 as pb
from edgerig.v1.agent_service_pb2_grpc import AgentServiceServicer
from edgerig.version import CONTROLLER_CAPABILITIES, PROTOCOL_MAJOR, PROTOCOL_MINOR, VERSION
from edgerig_controller.fleet.changes import INVENTORY
from edgerig_controller.fleet.leases import TTL_S, HeldState, Verdict
from edgerig_controller.rpc import certificates, checks
from edgerig_controller.rpc.frame import LOCAL_DEVICE, Frame
from edgerig_controller.rpc.intake import Intake
from edgerig_controller.rpc.interceptors import Denied
from edgerig_controller.rpc.peers import certificate_serial, require_peer
from edgerig_controller.store.leases import Held, Order

_log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]

_HELLO_S = 10.0
_MAX_HELD = 64
_MAX_REASON = 500

_HELD: dict[int, HeldState] = {
    pb.HELD_STATE_ACCEPTED: "accepted",
    pb.HELD_STATE_REBOOTING: "rebooting",
    pb.HELD_STATE_STARTING: "starting",
    pb.HELD_STATE_RUNNING: "running",
    pb.HELD_STATE_FINISHED: "finished",
}
_VERDICT: dict[Verdict, pb.Verdict] = {
    "continue": pb.VERDICT_CONTINUE,
    "cancel": pb.VERDICT_CANCEL,
    "send": pb.VERDICT_SEND,
    "already_have": pb.VERDICT_ALREADY_HAVE,
    "discard": pb.VERDICT_DISCARD,
}


class AgentService(AgentServiceServicer):
    """Serves the agents of one fleet."""

    def __init__(self, frame: Frame, intake: Intake | None = None) -> None:
        self._frame = frame
        self._intake = intake or Intake(frame)

    async def Session(
        self, request_iterator: AsyncIterator[pb.SessionRequest], context: Context
    ) -> AsyncIterator[pb.SessionResponse]:
        device_id = await self._device(context)
        hello = await _first_hello(request_iterator)
        serial = certificate_serial(context)
        # A renewed certificate that is in use ends the one before it.
        await self._frame.store.ask(
            lambda store: store.fleet.retire_older(device_id, serial, now_unix_s=self._frame.clock())
        )
        connection = self._frame.hub.connect(device_id, hello.session_epoch)
        _log.info("%s connected, agent %s", device_id, hello.agent_version[:40])
        yield pb.SessionResponse(
            welcome=pb.Welcome(
                protocol_major=PROTOCOL_MAJOR,
                protocol_minor=PROTOCOL_MINOR,
                controller_version=VERSION,
                fleet_id=self._frame.authority.fleet_id,
                capabilities=CONTROLLER_CAPABILITIES,
            )
        )
        await self._frame.tell_watchers_of_devices()
        reader = asyncio.create_task(self._hear(device_id, request_iterator))
        reader.add_done_callback(lambda _task: connection.end())
        try:
            while (signal := await connection.outgoing.get()) is not None:
                yield signal
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
            if self._frame.hub.disconnect(connection):
                _log.info("%s disconnected", device_id)
                await self._frame.tell_watchers_of_devices()

    async def Sync(self, request: pb.SyncRequest, context: Context) -> pb.SyncResponse:
        device_id = await self._device(context)
        checks.check_count(request.held, _MAX_HELD, "held attempts")
        held = [_held(item) for item in request.held]
        if not any(item.state != "finished" for item in held):
            await self._convert_traces()
        frame = self._frame
        synced = await frame.store.ask(
            lambda store: store.sync(device_id, held, wants_work=request.wants_work, now_unix_s=frame.clock())
        )
        await frame.announce(synced.touched)
        if frame.hub.refuse(device_id, request.no_work_reason[:_MAX_REASON]):
            await frame.tell_watchers_of_devices()
        if synced.freed:
            await frame.wake_idle()
        response = pb.SyncResponse(
            request_id=request.request_id[:128],
            verdicts=[_verdict(order) for order in synced.orders],
            attempt_quota_bytes=checks.ATTEMPT_QUOTA_BYTES,
            controllers=frame.agent_addresses,
        )
        if synced.offer is not None:
            lease = synced.offer.lease
            response.offer.CopyFrom(
                pb.Lease(
                    attempt_id=lease.attempt_id, epoch=lease.epoch, ttl_s=TTL_S, trial=synced.offer.trial
                )
            )
        return response

    async def AcceptLease(self, request: pb.AcceptLeaseRequest, context: Context) -> pb.AcceptLeaseResponse:
        device_id = await self._device(context)
        attempt_id = checks.check_name(request.attempt_id, "attempt_id")
        order = await self._frame.store.ask(
            lambda store: store.accept_lease(
                device_id, attempt_id, request.epoch, now_unix_s=self._frame.clock()
            )
        )
        self._frame.on_leases()
        return pb.AcceptLeaseResponse(granted=order.verdict == "continue", reason=order.reason)

    async def StartAttempt(
        self, request: pb.StartAttemptRequest, context: Context
    ) -> pb.StartAttemptResponse:
        device_id = await self._device(context)
        attempt_id = checks.check_name(request.attempt_id, "attempt_id")
        quiet_s = checks.check_seconds(request.quiet_s, "quiet_s")
        order, study_id = await self._frame.store.ask(
            lambda store: store.start_attempt(
                device_id,
                attempt_id,
                request.epoch,
                boot_id=request.boot_id[:128],
                quiet_s=quiet_s,
                now_unix_s=self._frame.clock(),
            )
        )
        await self._frame.announce([study_id])
        verdict = pb.VERDICT_CONTINUE if order.verdict == "continue" else pb.VERDICT_CANCEL
        return pb.StartAttemptResponse(verdict=verdict, reason=order.reason)

    async def CommitResult(
        self, request: pb.CommitResultRequest, context: Context
    ) -> pb.CommitResultResponse:
        return await self._intake.commit(await self._device(context), request)

    async def PutChunk(self, request: pb.PutChunkRequest, context: Context) -> pb.PutChunkResponse:
        return await self._intake.put_chunk(await self._device(context), request)

    async def GetChunk(self, request: pb.GetChunkRequest, context: Context) -> pb.GetChunkResponse:
        device_id = await self._device(context)
        size_bytes = self._frame.blobs.size_bytes(request.sha256)
        if not 0 <= request.offset_bytes <= size_bytes:
            raise ProtocolError(f"A blob of {size_bytes} bytes has no offset {request.offset_bytes}.")
        if not await self._frame.store.ask(lambda store: store.may_read_blob(device_id, request.sha256)):
            raise Denied(f"No open attempt of {device_id} needs blob {request.sha256}.")
        data = await asyncio.to_thread(
            self._frame.blobs.read, request.sha256, request.offset_bytes, CHUNK_BYTES
        )
        return pb.GetChunkResponse(data=data, size_bytes=size_bytes)

    async def ReportInventory(
        self, request: pb.ReportInventoryRequest, context: Context
    ) -> pb.ReportInventoryResponse:
        device_id = await self._device(context)
        frame = self._frame
        await frame.store.ask(
            lambda store: store.store_facts(device_id, request.facts, now_unix_s=frame.clock())
        )
        frame.changes.touch(INVENTORY)
        return pb.ReportInventoryResponse()

    async def RenewCertificate(
        self, request: pb.RenewCertificateRequest, context: Context
    ) -> pb.RenewCertificateResponse:
        device_id = await self._device(context)
        return await certificates.renew(self._frame, device_id, certificate_serial(context), request)

    async def Probe(
        self,
        request: pb.ProbeRequest,
        context: Context,
    ) -> pb.ProbeResponse:
        await self._device(context)
        return await certificates.probe(self._frame, certificate_serial(context))

    async def _device(self, context: Context) -> str:
        """Returns the caller's device id; its certificate must be one that counts."""
        peer = require_peer(context, self._frame.authority.fleet_id, "agent")
        serial = certificate_serial(context)
        fault = await self._frame.store.ask(
            lambda store: store.fleet.certificate_fault(serial, peer.name, now_unix_s=self._frame.clock())
        )
        if fault:
            raise Denied(fault)
        return peer.name

    async def _hear(self, device_id: str, requests: AsyncIterator[pb.SessionRequest]) -> None:
        async for request in requests:
            if request.WhichOneof("signal") == "renew":
                renew = request.renew
                attempt_id, epoch = renew.attempt_id[:128], renew.epoch
                await self._frame.store.ask(
                    lambda store, attempt_id=attempt_id, epoch=epoch: store.renew_lease(  # type: ignore[misc]
                        device_id, attempt_id, epoch, now_unix_s=self._frame.clock()
                    )
                )
                self._frame.on_leases()

    async def _convert_traces(self) -> None:
        """Converts what waits, unless something is being measured on this machine."""
        frame = self._frame
        if not frame.traces.waiting:
            return
        activity = await frame.store.ask(lambda store: store.activity())
        if LOCAL_DEVICE in activity.measuring:
            return
        for problem in await asyncio.to_thread(frame.traces.convert_pending):
            _log.warning("%s", problem)


async def _first_hello(requests: AsyncIterator[pb.SessionRequest]) -> pb.Hello:
    try:
        first = await asyncio.wait_for(requests.__anext__(), _HELLO_S)
    except (StopAsyncIteration, asyncio.TimeoutError) as error:
        raise ProtocolError("A session begins with Hello.") from error
    if first.WhichOneof("signal") != "hello":
        raise ProtocolError("A session begins with Hello.")
    checks.check_protocol(first.hello)
    return first.hello


def _held(item: pb.HeldAttempt) -> Held:
    state = _HELD.get(item.state)
    if state is None:
        raise ProtocolError(f"Attempt {item.attempt_id[:80]!r} is held in the unknown state {item.state}.")
    back_s = checks.check_seconds(item.back_s, "back_s")
    return Held(checks.check_name(item.attempt_id, "attempt_id"), item.epoch, state, back_s)


def _verdict(order: Order) -> pb.HeldVerdict:
    return pb.HeldVerdict(attempt_id=order.attempt_id, verdict=_VERDICT[order.verdict], reason=order.reason)
