"""The attempt folder as the daemon sees it: what it prepares, and which marks it reads.

The layout is fixed in docs/reference/interfaces.md. Knows nothing of gRPC or
of how an attempt is run and measured.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from google.protobuf import json_format

from edgerig import durable
from edgerig.documents import canonical_bytes, from_json, to_json
from edgerig.errors import ProtocolError, StorageError
from edgerig.v1.agent_service_pb2 import Lease
from edgerig.v1.attempt_pb2 import (
    STATUS_FAILED,
    AttemptResult,
    FailureClass,
    Manifest,
)
from edgerig.v1.trial_pb2 import FileRef, Model, Trial
from edgerig.version import VERSION
from edgerig_agent.processes import ProcessRef
from edgerig_agent.transfer import BlobCache

_ATTEMPT_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
_PATH_LENGTH = 512
# Files of a dead attempt that are worth sending when only the daemon can finish it.
_RESULT_FILES = ("trial.json", "worker.log", "result.json")
# One document of an attempt folder; a larger one was not written by an attempt process.
_DOCUMENT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Began:
    """Which process began the attempt, and in which boot."""

    process: ProcessRef
    boot_id: str


@dataclass(frozen=True)
class AttemptFolder:
    """One attempt's folder below `attempts/`."""

    path: Path

    @property
    def attempt_id(self) -> str:
        return self.path.name

    @property
    def life_lock(self) -> Path:
        """The file whose lock the attempt process holds while it lives."""
        return self.path / "life.lock"

    @property
    def process_log(self) -> Path:
        """What the attempt process itself printed."""
        return self.path / "attempt.log"

    def has_manifest(self) -> bool:
        return (self.path / "manifest.json").is_file()

    def has_begun(self) -> bool:
        return (self.path / "began").exists()

    def began(self) -> Began | None:
        """Reads the `began` mark; None when there is no readable one."""
        try:
            document = json.loads(_read(self.path / "began"))
            process = ProcessRef(int(document["pid"]), int(document["start_ticks"]))
            return Began(process, str(document["boot_id"]))
        except (ValueError, KeyError, TypeError, StorageError):
            return None

    def manifest(self) -> Manifest:
        """Reads the manifest. Raises ProtocolError or StorageError when it is damaged."""
        return from_json(_read(self.path / "manifest.json"), Manifest(), what="manifest.json")

    def result(self) -> AttemptResult:
        """Reads the result. Raises ProtocolError or StorageError when it is damaged."""
        return from_json(_read(self.path / "result.json"), AttemptResult(), what="result.json")

    def lease(self) -> Lease:
        """Reads back what `make` noted. Raises ProtocolError or StorageError when it is damaged."""
        return from_json(_read(self.path / "lease.json"), Lease(), what="lease.json")

    def file(self, reference: FileRef) -> Path:
        """Returns the place of a file of the manifest, inside this folder."""
        return self.path / safe_relative(reference.path)

    def log_tail(self, limit_bytes: int = 2000) -> str:
        """Returns the end of what the attempt process printed, '' when nothing."""
        try:
            return self.process_log.read_bytes()[-limit_bytes:].decode(errors="replace").strip()
        except OSError:
            return ""

    def delete(self) -> None:
        """Removes the folder; idempotent. The links go, the cached blobs stay."""
        try:
            shutil.rmtree(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"cannot delete {self.path}: {error}", hint=f"ls -ld {self.path}") from error


def check_attempt_id(attempt_id: str) -> str:
    """Returns the id when it can name a folder. Raises ProtocolError otherwise."""
    if not _ATTEMPT_ID.fullmatch(attempt_id):
        raise ProtocolError(f"{attempt_id[:80]!r} cannot be the id of an attempt")
    return attempt_id


def safe_relative(path: str) -> PurePosixPath:
    """Returns a path that stays below the folder it is joined to. Raises ProtocolError otherwise."""
    parts = path.split("/")
    bad = not path or len(path) > _PATH_LENGTH or "\0" in path or "\\" in path
    if bad or any(part in ("", ".", "..") for part in parts):
        raise ProtocolError(f"{path[:80]!r} is not a plain relative path")
    return PurePosixPath(path)


def wanted_files(trial: Trial) -> list[FileRef]:
    """Lists the blobs that a trial needs, each once."""
    references = [*trial.model.files, *trial.encoder.files, *trial.teacher.files]
    if trial.task.data.sha256:
        references.append(trial.task.data)
    return list({reference.sha256: reference for reference in references}.values())


def prepare(
    folder: AttemptFolder,
    lease: Lease,
    cache: BlobCache,
    *,
    worker_python: str,
    own_pids: Sequence[int],
) -> None:
    """Writes what the attempt process reads; every blob must be in the cache. Can be repeated.

    Raises:
        ProtocolError: a path of the trial would leave its folder, or is not absolute where it must be.
        StorageError: the disk is full or refuses.
    """
    trial = lease.trial
    data = folder.path / "data"
    try:
        model = _provide_model(trial.model, folder.path / "model", cache)
        encoder = ""
        if trial.HasField("encoder"):
            encoder = str(_provide_model(trial.encoder, folder.path / "encoder", cache))
        teacher = ""
        if trial.HasField("teacher"):
            teacher = str(_provide_model(trial.teacher, folder.path / "teacher", cache))
        data_file = data / "none"
        if trial.task.data.sha256:
            data_file = data / safe_relative(trial.task.data.path or "data.jsonl")
            _link(cache.path(trial.task.data.sha256), data_file)
        durable.replace(folder.path / "trial.json", canonical_bytes(to_json(trial)))
        attempt = {
            "attempt_id": folder.attempt_id,
            "model_dir": str(model),
            "data_file": str(data_file),
            "encoder_dir": encoder,
            "teacher_dir": teacher,
            "worker_python": worker_python,
            "sysfs_root": "/",
            "own_pids": list(own_pids),
            "home": str(folder.path.parent.parent),
        }
        durable.replace(folder.path / "attempt.json", canonical_bytes(attempt))
    except OSError as error:
        raise _disk_error(folder.path, error) from error


def _provide_model(model: Model, place: Path, cache: BlobCache) -> Path:
    """Links a model's files into a folder, or names the folder of the device that holds them."""
    if model.device_path:
        # Whether it is there, and fit to be used, is for the attempt to find out and record.
        place = Path(model.device_path)
        if not place.is_absolute():
            raise ProtocolError(f"the model folder {str(place)[:80]!r} is not an absolute path")
        return place
    place.mkdir(exist_ok=True)
    for reference in model.files:
        _link(cache.path(reference.sha256), place / safe_relative(reference.path))
    return place


def make(folder: AttemptFolder, lease: Lease) -> None:
    """Makes the folder and notes the lease in it, durably, before the spool's row is written.

    Raises:
        ProtocolError: the lease holds a value that has no place in a document.
        StorageError: the disk is full or refuses.
    """
    try:
        if not folder.path.parent.is_dir():
            folder.path.parent.mkdir(parents=True, mode=0o700)
            durable.sync(folder.path.parent.parent)
        folder.path.mkdir(exist_ok=True, mode=0o700)
        durable.replace(folder.path / "lease.json", canonical_bytes(to_json(lease)))
        # The row that follows must not outlive the folder that it names.
        durable.sync(folder.path.parent)
    except (ValueError, json_format.Error) as error:
        raise ProtocolError(f"the offer of attempt {folder.attempt_id} is no document: {error}") from error
    except OSError as error:
        raise _disk_error(folder.path, error) from error


def write_failure(
    folder: AttemptFolder, trial_digest: str, failure_class: FailureClass, reason: str, boot_id: str
) -> None:
    """Finishes an attempt that has no attempt process to do it: status failed, nothing measured.

    Raises:
        StorageError: the disk is full or refuses.
    """
    result = AttemptResult(
        attempt_id=folder.attempt_id,
        trial_digest=trial_digest,
        status=STATUS_FAILED,
        failure_class=failure_class,
        failure_message=reason[:4000],
        boot_id=boot_id,
        agent_version=VERSION,
    )
    try:
        folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        durable.replace(folder.path / "result.json", canonical_bytes(to_json(result)))
        names = [name for name in _RESULT_FILES if (folder.path / name).is_file()]
        manifest = Manifest(
            attempt_id=folder.attempt_id, files=[_reference(folder.path, name) for name in names]
        )
        durable.replace(folder.path / "manifest.json", canonical_bytes(to_json(manifest)))
    except OSError as error:
        raise _disk_error(folder.path, error) from error


def _reference(folder: Path, name: str) -> FileRef:
    content = (folder / name).read_bytes()
    return FileRef(path=name, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def _link(blob: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(blob, target)
    except OSError:
        # Another file system, or one without hard links.
        target.symlink_to(blob)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _DOCUMENT_BYTES:
            raise StorageError(f"{path} is larger than any attempt writes", hint=f"ls -l {path}")
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error}", hint=f"ls -l {path.parent}") from error


def _disk_error(path: Path, error: OSError) -> StorageError:
    return StorageError(f"cannot write the attempt folder {path}: {error}", hint=f"df -h {path.parent}")
