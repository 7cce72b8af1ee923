"""BatchService: trials for a device without a network, and what it brings back.

The way out is signed by the fleet's CA, which every device knows; the way back
by the device's own key. Results come in as those of connected devices do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from edgerig import documents
from edgerig.channel import CHUNK_BYTES
from edgerig.errors import NotFoundError, ProtocolError
from edgerig.v1 import agent_service_pb2 as wire
from edgerig.v1 import batch_service_pb2 as pb
from edgerig.v1.batch_service_pb2_grpc import BatchServiceServicer
from edgerig_controller.data.blobs import is_sha256
from edgerig_controller.rpc import checks
from edgerig_controller.rpc.frame import Frame
from edgerig_controller.rpc.intake import Intake
from edgerig_controller.rpc.interceptors import Denied
from edgerig_controller.store.leases import Offer

Context = grpc.aio.ServicerContext[Any, Any]

_COMMIT_BYTES = 900 * 1024
_CERTIFICATE_CHARS = 16 * 1024


class BatchService(BatchServiceServicer):
    """Serves the people who carry batches."""

    def __init__(self, frame: Frame, intake: Intake) -> None:
        self._frame = frame
        self._intake = intake

    async def ExportBatch(
        self,
        request: pb.ExportBatchRequest,
        context: Context,
    ) -> AsyncIterator[pb.ExportBatchResponse]:
        if request.trial_limit < 0:
            raise ProtocolError(f"{request.trial_limit} trials cannot be.")
        frame = self._frame
        now = frame.clock()
        study = await frame.store.ask(lambda store: store.find_study(request.study_id))
        made = await frame.store.ask(
            lambda store: store.batches.make(
                study.study_id, request.device_id, limit=request.trial_limit, now_unix_s=now
            )
        )
        await frame.announce([study.study_id])
        document = pb.BatchDocument(
            schema_version=1,
            batch_id=made.batch_id,
            fleet_id=frame.authority.fleet_id,
            device_id=request.device_id,
            study_id=study.study_id,
            study_name=made.study_name,
            created_unix_s=now,
            leases=[_lease(offer) for offer in made.offers],
        )
        text = documents.canonical_bytes(documents.to_json(document))
        for start in range(0, len(text), CHUNK_BYTES):
            yield pb.ExportBatchResponse(data=text[start : start + CHUNK_BYTES])
        yield pb.ExportBatchResponse(signature=frame.authority.sign_bytes(text), batch_id=made.batch_id)

    async def ReadBatchBlob(
        self,
        request: pb.ReadBatchBlobRequest,
        context: Context,
    ) -> pb.ReadBatchBlobResponse:
        blobs, sha256 = self._frame.blobs, request.sha256
        if not is_sha256(sha256) or not await self._frame.store.ask(
            lambda store: store.batches.needs_blob(request.batch_id, sha256)
        ):
            raise NotFoundError(f"Batch {request.batch_id[:80]!r} needs no blob {sha256[:80]!r}.")
        size_bytes = blobs.size_bytes(sha256)
        if not 0 <= request.offset_bytes <= size_bytes:
            raise ProtocolError(f"A blob of {size_bytes} bytes has no offset {request.offset_bytes}.")
        data = blobs.read(sha256, request.offset_bytes, CHUNK_BYTES)
        return pb.ReadBatchBlobResponse(data=data, size_bytes=size_bytes)

    async def PutBatchChunk(
        self,
        request: pb.PutBatchChunkRequest,
        context: Context,
    ) -> pb.PutBatchChunkResponse:
        attempt_id = checks.check_name(request.chunk.attempt_id, "attempt_id")
        device_id = await self._frame.store.ask(lambda store: store.batches.device_of(attempt_id))
        return pb.PutBatchChunkResponse(chunk=await self._intake.put_chunk(device_id, request.chunk))

    async def ImportBatchResult(
        self,
        request: pb.ImportBatchResultRequest,
        context: Context,
    ) -> pb.ImportBatchResultResponse:
        if len(request.commit_json) > _COMMIT_BYTES or len(request.certificate_pem) > _CERTIFICATE_CHARS:
            raise ProtocolError("The result is larger than any device writes.")
        frame = self._frame
        peer, serial = frame.authority.check_member(
            request.certificate_pem, request.signature, request.commit_json
        )
        if peer.role != "agent":
            raise Denied(f"{peer.name} is no device.")
        fault = await frame.store.ask(lambda store: store.fleet.signature_fault(serial, peer.name))
        if fault:
            raise Denied(fault)
        commit = documents.from_json(request.commit_json, wire.CommitResultRequest(), what="commit.json")
        return pb.ImportBatchResultResponse(commit=await self._intake.commit(peer.name, commit))

    async def ListBatches(
        self,
        request: pb.ListBatchesRequest,
        context: Context,
    ) -> pb.ListBatchesResponse:
        rows = await self._frame.store.ask(lambda store: store.batches.listing())
        return pb.ListBatchesResponse(batches=[pb.Batch(**vars(row)) for row in rows])

    async def WithdrawBatch(
        self,
        request: pb.WithdrawBatchRequest,
        context: Context,
    ) -> pb.WithdrawBatchResponse:
        frame = self._frame
        count, touched = await frame.store.ask(
            lambda store: store.batches.withdraw(request.batch_id, now_unix_s=frame.clock())
        )
        await frame.announce(touched)
        if count:
            await frame.wake_idle()
        return pb.WithdrawBatchResponse(requeued_count=count)


def _lease(offer: Offer) -> wire.Lease:
    return wire.Lease(attempt_id=offer.lease.attempt_id, epoch=offer.lease.epoch, trial=offer.trial)
