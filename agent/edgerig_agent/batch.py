"""Batches: trials that came by hand to a device without a network, and go back so.

A folder stands where a connected agent has its controller (`calls.Controller`);
everything else is the daemon's: spool, attempt processes, quiet, restarts. What is
run again after any interruption goes on where it was. The layout of the folder is
in docs/reference/interfaces.md.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgerig import documents
from edgerig.channel import CHUNK_BYTES
from edgerig.durable import sync
from edgerig.errors import DataError, ProtocolError, StorageError, UsageError
from edgerig.v1 import agent_service_pb2 as wire
from edgerig.v1.batch_service_pb2 import BatchDocument
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig_agent import attempt_files as files
from edgerig_agent import folder as folders
from edgerig_agent import processes
from edgerig_agent.conductor import Conductor, Limits, Rest
from edgerig_agent.daemon import Settings, logged, read_settings, sole_agent
from edgerig_agent.identity import Identity
from edgerig_agent.identity import load as load_identity
from edgerig_agent.runner import Runner, programs
from edgerig_agent.signals import Signals
from edgerig_agent.spool import Spool, open_spool
from edgerig_agent.transfer import BlobCache

_BATCH_BYTES = 64 * 1024 * 1024
_SIGNATURE = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True)
class Batch:
    """A batch that was checked to be this fleet's, for this device."""

    folder: Path
    document: BatchDocument

    def result(self, attempt_id: str) -> Path:
        """Returns the folder of a result; it is there when it is whole."""
        return self.folder / "results" / folders.check_attempt_id(attempt_id)

    def is_done(self, attempt_id: str) -> bool:
        return (self.result(attempt_id) / "commit.json").is_file()

    @property
    def done_count(self) -> int:
        return sum(self.is_done(lease.attempt_id) for lease in self.document.leases)


def open_batch(folder: Path, identity: Identity) -> Batch:
    """Reads a batch and checks who made it, and for whom.

    Raises:
        DataError: it is damaged, or not signed by this device's fleet.
        UsageError: there is no batch, or it is for another device.
    """
    try:
        with (folder / "batch.json").open("rb") as file:
            text = file.read(_BATCH_BYTES + 1)
        signature = (folder / "batch.sig").read_bytes()[:1024]
    except OSError as error:
        raise UsageError(
            f"{folder} holds no batch: {error}", hint="edgerig batch export STUDY --device NAME --to DIR"
        ) from error
    key = x509.load_pem_x509_certificate(identity.ca_pem).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    try:
        key.verify(signature, text, _SIGNATURE)
    except InvalidSignature as error:
        raise DataError(
            f"the batch in {folder} was not signed by this device's fleet, or was changed",
            hint="edgerig batch export again, on the controller's machine",
        ) from error
    document = documents.from_json(text, BatchDocument(), what="batch.json")
    mine = identity.enrollment
    if (document.fleet_id, document.device_id) != (mine.fleet_id, mine.device_id):
        raise UsageError(f"the batch in {folder} is for {document.device_id}, this is {mine.device_id}")
    return Batch(folder, document)


class FolderController:
    """A controller for as long as a batch lasts: its leases are granted, its results are kept."""

    def __init__(self, batch: Batch, home: Path, identity: Identity, tell: Callable[[str], None]) -> None:
        self._batch = batch
        self._home = home
        self._identity = identity
        self._tell = tell
        self._leases = {lease.attempt_id: lease for lease in batch.document.leases}

    async def sync(self, request: wire.SyncRequest) -> wire.SyncResponse:
        """Answers as a controller does that knows these leases and no others."""
        reply = wire.SyncResponse(request_id=request.request_id)
        for held in request.held:
            reply.verdicts.add(attempt_id=held.attempt_id, verdict=self._verdict(held))
        if request.no_work_reason:
            self._tell(f"no trial is begun: {request.no_work_reason}")
        waiting = [lease for name, lease in self._leases.items() if not self._batch.is_done(name)]
        if request.wants_work and waiting:
            reply.offer.CopyFrom(waiting[0])
        return reply

    def _verdict(self, held: wire.HeldAttempt) -> wire.Verdict:
        if self._batch.is_done(held.attempt_id):
            return wire.VERDICT_ALREADY_HAVE
        return wire.VERDICT_SEND if held.state == wire.HELD_STATE_FINISHED else wire.VERDICT_CONTINUE

    async def accept_lease(self, request: wire.AcceptLeaseRequest) -> wire.AcceptLeaseResponse:
        lease = self._leases.get(request.attempt_id)
        return wire.AcceptLeaseResponse(granted=lease is not None and lease.epoch == request.epoch)

    async def start_attempt(
        self,
        request: wire.StartAttemptRequest,  # noqa: ARG002 - nobody else is to be told
    ) -> wire.StartAttemptResponse:
        return wire.StartAttemptResponse(verdict=wire.VERDICT_CONTINUE)

    async def commit_result(self, request: wire.CommitResultRequest) -> wire.CommitResultResponse:
        """Copies a result out of the home, signed; durable when this returns."""
        attempt = folders.AttemptFolder(self._home / "attempts" / request.attempt_id)
        target = self._batch.result(request.attempt_id)
        try:
            fresh = target.with_name(f".{target.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            for reference in request.manifest.files:
                place = fresh / "files" / folders.safe_relative(reference.path)
                place.parent.mkdir(parents=True, exist_ok=True)
                _copy(attempt.file(reference), place)
            commit_json = documents.canonical_bytes(documents.to_json(request))
            files.write_durably(fresh / "lease.json", (attempt.path / "lease.json").read_bytes())
            files.write_durably(fresh / "certificate.pem", self._identity.certificate_pem)
            files.write_durably(fresh / "commit.sig", _sign(self._identity.key_pem, commit_json))
            files.write_durably(fresh / "commit.json", commit_json)
            shutil.rmtree(target, ignore_errors=True)
            fresh.rename(target)
            sync(target.parent)
        except OSError as error:
            raise StorageError(
                f"cannot write {target}: {error}", hint=f"df -h {self._batch.folder}"
            ) from error
        self._tell(f"{self._batch.done_count} of {len(self._leases)} trials have a result")
        return wire.CommitResultResponse(outcome=wire.COMMIT_OUTCOME_CANONICAL)

    async def put_chunk(self, request: wire.PutChunkRequest) -> wire.PutChunkResponse:
        raise ProtocolError(f"file {request.sha256[:12]} is not asked for: results are copied whole")

    async def get_chunk(self, request: wire.GetChunkRequest) -> wire.GetChunkResponse:
        path = BlobCache(self._batch.folder / "blobs", 0).path(request.sha256)
        try:
            with path.open("rb") as file:
                size_bytes = os.fstat(file.fileno()).st_size
                file.seek(request.offset_bytes)
                return wire.GetChunkResponse(data=file.read(CHUNK_BYTES), size_bytes=size_bytes)
        except OSError as error:
            raise DataError(f"the batch lacks a file that it needs: {error}", hint=f"ls -l {path}") from error

    async def report_inventory(
        self,
        request: wire.ReportInventoryRequest,  # noqa: ARG002
    ) -> wire.ReportInventoryResponse:
        return wire.ReportInventoryResponse()

    async def renew(self, attempt_id: str, epoch: int) -> None:
        """Nothing: a batch does not expire."""

    def set_quiet(self, quiet: bool) -> None:
        """Nothing: there is nobody to be silent towards."""


def run(home: Path, folder: Path, tell: Callable[[str], None]) -> tuple[int, int]:
    """Runs the trials of a batch that have no result yet; returns how many have one now, and of how many.

    A running attempt goes on when this is ended, and is taken up by the next run.

    Raises:
        UsageError: an agent runs in this home, or it holds results for a controller.
        DataError: the batch is not this fleet's.
    """
    home, folder = home.resolve(), folder.resolve()
    settings = read_settings(home)
    with sole_agent(home), logged(home):
        identity = load_identity(home)
        batch = open_batch(folder, identity)
        (folder / "results").mkdir(exist_ok=True)
        spool = open_spool(home / "spool.db")
        try:
            _check_free(spool, batch)
            controller = FolderController(batch, home, identity, tell)
            asyncio.run(_run(home, spool, settings, controller))
        finally:
            spool.close()
    return batch.done_count, len(batch.document.leases)


def deliver(home: Path, folder: Path) -> int:
    """Puts the results of a batch into the home, from where the daemon delivers them; returns how many.

    Results that the controller has already are deleted on its word, as always.

    Raises:
        UsageError: an agent runs in this home.
        StorageError: the disk refuses.
    """
    home, folder = home.resolve(), folder.resolve()
    with sole_agent(home):
        batch = open_batch(folder, load_identity(home))
        done = [lease.attempt_id for lease in batch.document.leases if batch.is_done(lease.attempt_id)]
        try:
            return sum(_put_into_home(batch.result(attempt_id), home / "attempts") for attempt_id in done)
        except OSError as error:
            raise StorageError(f"cannot write {home}: {error}", hint=f"df -h {home}") from error


def _put_into_home(result: Path, attempts: Path) -> bool:
    target = attempts / result.name
    if target.exists():
        return False
    commit = documents.from_json(
        (result / "commit.json").read_bytes(), wire.CommitResultRequest(), what="commit.json"
    )
    attempts.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Beside the attempts: whatever lies among them is taken for one.
    fresh = attempts.with_name(f".{result.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for reference in commit.manifest.files:
        place = fresh / folders.safe_relative(reference.path)
        place.parent.mkdir(parents=True, exist_ok=True)
        _copy(result / "files" / folders.safe_relative(reference.path), place)
    files.write_durably(fresh / "lease.json", (result / "lease.json").read_bytes())
    files.write_message(fresh / "manifest.json", commit.manifest)
    fresh.rename(target)
    sync(attempts)
    return True


async def _run(home: Path, spool: Spool, settings: Settings, controller: FolderController) -> None:
    loop = asyncio.get_running_loop()
    runner = Runner(home, spool, programs(settings.worker_python, home), processes.boot_id())
    conductor = Conductor(
        home,
        controller=controller,
        signals=Signals(),
        spool=spool,
        runner=runner,
        limits=Limits(settings.cache_bytes, settings.spool_bytes),
        worker_python=settings.worker_python,
        collect_facts=_no_facts,
        own_pids=lambda: (os.getpid(),),
    )
    rounds = asyncio.ensure_future(conductor.round())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, rounds.cancel)
    try:
        rest = await rounds
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    if rest is Rest.UNSETTLED and spool.rows():
        raise StorageError("an attempt could not be settled", hint=f"tail {home / 'agent.log'}")


async def _no_facts() -> DeviceFacts:
    return DeviceFacts()


def _check_free(spool: Spool, batch: Batch) -> None:
    """Refuses to touch attempts of a controller. Raises UsageError."""
    mine = {lease.attempt_id for lease in batch.document.leases}
    others = [row.attempt_id for row in spool.rows() if row.attempt_id not in mine]
    if others:
        raise UsageError(
            f"this agent holds {len(others)} attempts of its controller, which it must deliver first",
            hint="edgerig-agent run, with the controller in reach",
        )


def _sign(key_pem: bytes, data: bytes) -> bytes:
    key = serialization.load_pem_private_key(key_pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise DataError("the key of this agent is of another kind than enrolment makes")
    return key.sign(data, _SIGNATURE)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written)
        written.flush()
        os.fsync(written.fileno())
    sync(target.parent)
