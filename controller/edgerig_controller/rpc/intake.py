"""How results come in: their files piece by piece, then the commit that makes them durable.

The same for a device that is connected and for a batch that was carried here.
Who the device is has been found out by the caller.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

from edgerig import documents
from edgerig.channel import CHUNK_BYTES
from edgerig.errors import EdgerigError, ProtocolError, StorageError
from edgerig.v1 import agent_service_pb2 as pb
from edgerig.v1.attempt_pb2 import AttemptResult, ItemScore
from edgerig_controller.rpc import checks
from edgerig_controller.rpc.frame import Frame
from edgerig_controller.rpc.scores import read_scores
from edgerig_controller.rpc.stopping import stop_early
from edgerig_controller.store.results import Committed, Outcome, Submission

_log = logging.getLogger(__name__)

_RESULT_JSON_MAX_BYTES = 4 * 1024 * 1024
_OUTCOME: dict[Outcome, pb.CommitOutcome] = {
    "canonical": pb.COMMIT_OUTCOME_CANONICAL,
    "superseded": pb.COMMIT_OUTCOME_SUPERSEDED,
    "already_have": pb.COMMIT_OUTCOME_ALREADY_HAVE,
    "conflict": pb.COMMIT_OUTCOME_CONFLICT,
    "discarded": pb.COMMIT_OUTCOME_DISCARDED,
}
_STORED: frozenset[Outcome] = frozenset({"canonical", "superseded", "conflict"})


class Intake:
    """Takes results into the store of one controller."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        # Bytes of each blob that is being uploaded, per device and attempt.
        self._uploads: dict[tuple[str, str], dict[str, int]] = {}
        # The event loop keeps no task alive by itself.
        self._committing: set[asyncio.Future[pb.CommitResultResponse]] = set()

    async def commit(self, device_id: str, request: pb.CommitResultRequest) -> pb.CommitResultResponse:
        """Makes the result of an attempt of this device durable, or says which files are missing.

        Raises:
            ProtocolError: the request contradicts itself or its files.
        """
        _check_commit(request)
        task = asyncio.ensure_future(self._commit(device_id, request))
        self._committing.add(task)
        task.add_done_callback(self._committing.discard)
        # A caller that goes away must not leave a result that is durable and of which nobody hears.
        return await asyncio.shield(task)

    async def _commit(self, device_id: str, request: pb.CommitResultRequest) -> pb.CommitResultResponse:
        frame = self._frame
        async with frame.committing:
            missing = await asyncio.to_thread(self._missing, request)
            if missing:
                return pb.CommitResultResponse(outcome=pb.COMMIT_OUTCOME_INCOMPLETE, missing_sha256=missing)
            scores = await asyncio.to_thread(self._read_files, request)
            submission = Submission(
                device_id,
                request.attempt_id,
                request.epoch,
                request.kind,
                request.sha256,
                request.manifest,
                request.result,
                scores,
            )
            committed = await frame.store.ask(
                lambda store: store.commit_result(submission, now_unix_s=frame.clock())
            )
            # Again where it was stored before: the controller may have died before it looked.
            if committed.outcome in ("canonical", "already_have"):
                await self._stop_early(committed.study_id, request.attempt_id)
        await self._tell(device_id, request, committed)
        return pb.CommitResultResponse(outcome=_OUTCOME[committed.outcome], reason=committed.reason)

    async def _tell(self, device_id: str, request: pb.CommitResultRequest, committed: Committed) -> None:
        """Lets everybody know what was committed."""
        frame = self._frame
        if committed.outcome == "conflict":
            _log.error("attempt %s: %s", request.attempt_id, committed.reason)
        if committed.outcome in _STORED:
            # Any other answer leaves the bytes that came without a result: they count on.
            self._uploads.pop((device_id, request.attempt_id), None)
        if committed.study_id:
            files = [(file.path, file.sha256) for file in request.manifest.files]
            frame.traces.remember(committed.study_id, request.attempt_id, files)
        await frame.announce([committed.study_id])
        frame.on_result()

    async def _stop_early(self, study_id: str, attempt_id: str) -> None:
        """Leaves out what need not run; a study whose claims cannot be read just runs to its end."""
        frame = self._frame
        try:
            count = await frame.store.ask(
                lambda store: stop_early(store, study_id, attempt_id, now_unix_s=frame.clock())
            )
        except EdgerigError as error:
            _log.error("study %s does not stop early: %s", study_id, error.message)
            return
        if count:
            _log.info("study %s: %d trials need not run", study_id, count)

    async def put_chunk(self, device_id: str, request: pb.PutChunkRequest) -> pb.PutChunkResponse:
        """Stores a piece of a file of an attempt of this device.

        Raises:
            ProtocolError: the attempt is not this device's, or the piece cannot be.
            StorageError: the attempt has too many bytes, or the disk is full.
        """
        attempt_id = checks.check_name(request.attempt_id, "attempt_id")
        if len(request.data) > CHUNK_BYTES:
            raise ProtocolError(f"A piece of {len(request.data)} bytes is larger than {CHUNK_BYTES}.")
        if request.size_bytes < 0:
            # It would make room for other files.
            raise ProtocolError(f"A file of {request.size_bytes} bytes cannot be.")
        upload = (device_id, attempt_id)
        # Asked once for all pieces; what the attempt has become is for its commit to find out.
        if upload not in self._uploads and not await self._frame.store.ask(
            lambda store: store.attempt_open_on(device_id, attempt_id)
        ):
            raise ProtocolError(
                f"Attempt {attempt_id} is unknown here, not of {device_id}, or needs no more files."
            )
        with self._reserved(upload, request.sha256, request.size_bytes):
            state = await asyncio.to_thread(
                self._frame.blobs.put_chunk,
                request.sha256,
                request.size_bytes,
                request.offset_bytes,
                request.data,
            )
        return pb.PutChunkResponse(stored_bytes=state.stored_bytes, complete=state.complete)

    def _missing(self, request: pb.CommitResultRequest) -> list[str]:
        hashes = {file.sha256 for file in request.manifest.files}
        return sorted(sha256 for sha256 in hashes if not self._frame.blobs.has(sha256))

    def _read_files(self, request: pb.CommitResultRequest) -> list[ItemScore]:
        """Checks that result.json says the same as the message, and reads the item scores."""
        blobs = self._frame.blobs
        scores: list[ItemScore] = []
        for file in request.manifest.files:
            if blobs.size_bytes(file.sha256) != file.size_bytes:
                raise ProtocolError(f"File {file.path} has another size than the manifest says.")
            if file.path == "result.json":
                text = blobs.read(file.sha256, 0, _RESULT_JSON_MAX_BYTES)
                stored = documents.from_json(text, AttemptResult(), what="result.json")
                if _bytes(stored) != _bytes(request.result):
                    raise ProtocolError("result.json says something else than the result that came with it.")
            if file.path == "scores.jsonl":
                with blobs.open(file.sha256) as opened:
                    scores = read_scores(opened)
        return scores

    @contextmanager
    def _reserved(self, upload: tuple[str, str], sha256: str, size_bytes: int) -> Iterator[None]:
        """Counts a file against what its attempt may have, unless its piece is refused."""
        uploads = self._uploads.setdefault(upload, {})
        before = uploads.get(sha256)
        if sum(uploads.values()) - (before or 0) + size_bytes > checks.ATTEMPT_QUOTA_BYTES:
            raise StorageError(
                f"The files of attempt {upload[1]} have more than {checks.ATTEMPT_QUOTA_BYTES} bytes."
            )
        uploads[sha256] = size_bytes
        try:
            yield
        except EdgerigError:
            # Only that: a call that is cancelled has its piece written all the same.
            uploads.pop(sha256, None)
            if before is not None:
                # Earlier pieces of it lie there.
                uploads[sha256] = before
            raise


def _check_commit(request: pb.CommitResultRequest) -> None:
    checks.check_name(request.attempt_id, "attempt_id")
    if request.kind != checks.RESULT_KIND:
        raise ProtocolError(f"Results of kind {request.kind[:40]!r} are not known.")
    if request.result.attempt_id != request.attempt_id:
        raise ProtocolError("The result is of another attempt.")
    for item in request.result.measurements:
        if not all(math.isfinite(value) for value in (item.value, item.low, item.high)):
            raise ProtocolError(f"Figure {item.name[:80]!r} of the result is not finite.")
    checks.check_manifest(request.manifest, request.sha256, request.attempt_id)


def _bytes(result: AttemptResult) -> bytes:
    return result.SerializeToString(deterministic=True)
