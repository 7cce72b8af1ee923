"""The folder in which a batch travels, as the controller's side writes and reads it.

    batch.json, batch.sig        the leases, and the CA's signature of the file
    blobs/ab/abcdef...           models and data, by sha256
    results/ATTEMPT/             what the device brings back:
        commit.json, commit.sig, certificate.pem, lease.json
        files/...                the files of the manifest

What comes back may have passed through many hands: names, sizes and kinds of
files are checked here, contents by the controller.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from edgerig import documents
from edgerig.channel import CHUNK_BYTES
from edgerig.errors import EdgerigError, ProtocolError, StorageError, UsageError
from edgerig.v1 import agent_service_pb2 as wire
from edgerig.v1 import batch_service_pb2 as pb
from edgerig.v1.batch_service_pb2_grpc import BatchServiceStub
from edgerig.v1.trial_pb2 import FileRef
from edgerig.words import word
from edgerig_controller.cli.control import CALL_S, channel, error_of
from edgerig_controller.rpc.checks import check_path

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from edgerig_controller.home import Home

_ATTEMPT = re.compile(r"[0-9a-f]{12}-[0-9]{4}")
_RESULTS_MOST = 5000
_COMMIT_BYTES = 900 * 1024
_SMALL_BYTES = 16 * 1024
_EXPORT_S = 600.0


@dataclass(frozen=True)
class Written:
    """A batch that lies in a folder."""

    batch_id: str
    trial_count: int
    blob_bytes: int


@dataclass(frozen=True)
class Imported:
    """What became of one result: canonical, superseded, already_have, conflict, discarded or rejected."""

    attempt_id: str
    outcome: str
    problem: str = ""


async def call(home: Home, method: str, request: Message) -> Any:
    """Makes one call of BatchService; raises as the controller refuses."""
    async with channel(home) as opened:
        return await _call(BatchServiceStub(opened), home, method, request)


async def write(home: Home, study: str, device_id: str, folder: Path, trial_limit: int) -> Written:
    """Leases trials to a device and writes them into a new folder.

    Raises:
        UsageError: the folder is in use.
        StorageError: it cannot be written; the batch is withdrawn then.
        EdgerigError: the controller refused.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", hint="name a new folder with --to")
    async with channel(home) as opened:
        stub = BatchServiceStub(opened)
        text, signature, batch_id = await _export(stub, home, study, device_id, trial_limit)
        document = documents.from_json(text, pb.BatchDocument(), what="the batch")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            blob_bytes = 0
            for reference in _blobs(document):
                blob_bytes += await _fetch(stub, home, batch_id, reference.sha256, folder / "blobs")
            _write(folder / "batch.sig", signature)
            # Last: a folder with batch.json is whole.
            _write(folder / "batch.json", text)
        except (OSError, EdgerigError) as error:
            await _call(stub, home, "WithdrawBatch", pb.WithdrawBatchRequest(batch_id=batch_id))
            if isinstance(error, EdgerigError):
                raise
            raise StorageError(f"cannot write {folder}: {error}", hint=f"df -h {folder}") from error
    return Written(batch_id, len(document.leases), blob_bytes)


async def read(home: Home, folder: Path) -> list[Imported]:
    """Hands every result of a batch folder to the controller, in the order of their names.

    Raises:
        UsageError: it is no folder of a batch, or holds more results than a batch has trials.
        UnreachableError: the controller does not answer; import again.
    """
    results = folder / "results"
    if not (folder / "batch.json").is_file():
        raise UsageError(f"{folder} holds no batch", hint="edgerig batch import DIR, the folder of the batch")
    names = sorted(path.name for path in results.iterdir()) if results.is_dir() else []
    names = [name for name in names if _ATTEMPT.fullmatch(name)]
    if len(names) > _RESULTS_MOST:
        raise UsageError(f"{results} holds {len(names)} results; a batch has {_RESULTS_MOST} trials at most")
    async with channel(home) as opened:
        stub = BatchServiceStub(opened)
        return [await _import(stub, home, results / name) for name in names]


async def _import(stub: Any, home: Home, place: Path) -> Imported:
    try:
        commit_json = _read(place / "commit.json", _COMMIT_BYTES)
        request = pb.ImportBatchResultRequest(
            commit_json=commit_json,
            signature=_read(place / "commit.sig", _SMALL_BYTES),
            certificate_pem=_read(place / "certificate.pem", _SMALL_BYTES).decode("ascii"),
            attempt_id=place.name,
        )
        commit = documents.from_json(commit_json, wire.CommitResultRequest(), what="commit.json")
        if commit.attempt_id != place.name:
            raise ProtocolError(f"the result in {place} is of another attempt")
        reply = await _call(stub, home, "ImportBatchResult", request)
        if reply.commit.outcome == wire.COMMIT_OUTCOME_INCOMPLETE:
            await _upload(stub, home, place, commit, set(reply.commit.missing_sha256))
            reply = await _call(stub, home, "ImportBatchResult", request)
    except (ProtocolError, OSError, UnicodeDecodeError) as error:
        message = error.message if isinstance(error, EdgerigError) else str(error)
        return Imported(place.name, "rejected", message)
    return Imported(place.name, word(wire.CommitOutcome, reply.commit.outcome), reply.commit.reason)


async def _upload(
    stub: Any, home: Home, place: Path, commit: wire.CommitResultRequest, missing: set[str]
) -> None:
    for reference in commit.manifest.files:
        if reference.sha256 not in missing:
            continue
        missing.discard(reference.sha256)
        path = place / "files" / check_path(reference.path)
        with _open(path) as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes != reference.size_bytes:
                raise ProtocolError(f"{path} has another size than the manifest says")
            offset = 0
            while True:
                file.seek(offset)
                chunk = wire.PutChunkRequest(
                    attempt_id=commit.attempt_id,
                    sha256=reference.sha256,
                    size_bytes=size_bytes,
                    offset_bytes=offset,
                    data=file.read(CHUNK_BYTES),
                )
                request = pb.PutBatchChunkRequest(chunk=chunk)
                answer = (await _call(stub, home, "PutBatchChunk", request)).chunk
                if answer.complete:
                    break
                if answer.stored_bytes <= offset and offset:
                    raise ProtocolError(f"the controller does not take {path}")
                offset = answer.stored_bytes


async def _export(
    stub: Any, home: Home, study: str, device_id: str, trial_limit: int
) -> tuple[bytes, bytes, str]:
    request = pb.ExportBatchRequest(study_id=study, device_id=device_id, trial_limit=trial_limit)
    text, signature, batch_id = b"", b"", ""
    try:
        async for piece in stub.ExportBatch(request, timeout=_EXPORT_S):
            text += piece.data
            signature, batch_id = piece.signature or signature, piece.batch_id or batch_id
    except grpc.aio.AioRpcError as error:
        raise error_of(error, home) from error
    return text, signature, batch_id


def _blobs(document: pb.BatchDocument) -> list[FileRef]:
    """Lists the blobs that the trials need, each once."""
    references: list[FileRef] = []
    for lease in document.leases:
        trial = lease.trial
        for model in (trial.model, trial.encoder, trial.teacher):
            references += model.files
        if trial.task.data.sha256:
            references.append(trial.task.data)
    return list({reference.sha256: reference for reference in references}.values())


async def _fetch(stub: Any, home: Home, batch_id: str, sha256: str, root: Path) -> int:
    target = root / sha256[:2] / sha256
    target.parent.mkdir(parents=True, exist_ok=True)
    hasher = hashlib.sha256()
    offset = 0
    with target.open("wb") as file:
        while True:
            request = pb.ReadBatchBlobRequest(batch_id=batch_id, sha256=sha256, offset_bytes=offset)
            reply = await _call(stub, home, "ReadBatchBlob", request)
            file.write(reply.data)
            hasher.update(reply.data)
            offset += len(reply.data)
            if offset >= reply.size_bytes or not reply.data:
                break
        file.flush()
        os.fsync(file.fileno())
    if hasher.hexdigest() != sha256:
        raise StorageError(f"blob {sha256[:12]} arrived damaged", hint="edgerig batch export again")
    return offset


async def _call(stub: Any, home: Home, method: str, request: Message) -> Any:
    try:
        return await getattr(stub, method)(request, timeout=CALL_S)
    except grpc.aio.AioRpcError as error:
        raise error_of(error, home) from error


def _open(path: Path) -> Any:
    """Opens a plain file that is no link. Raises OSError, ProtocolError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ProtocolError(f"{path} is not a plain file")
    return os.fdopen(descriptor, "rb")


def _read(path: Path, limit_bytes: int) -> bytes:
    with _open(path) as file:
        content: bytes = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise ProtocolError(f"{path} is larger than any device writes")
    return content


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
