"""Files of an attempt folder, written so that a power cut leaves either the old or the new.

Order matters: `began` before the worker exists, every file before the manifest
that names it. Knows the layout of docs/reference/interfaces.md and nothing of
processes or figures. Imports nothing heavy: the daemon buries attempts with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf.message import Message

from edgerig import durable
from edgerig.documents import canonical_bytes, from_json, to_json
from edgerig.errors import ProtocolError, StorageError
from edgerig.v1.attempt_pb2 import AttemptResult, Manifest
from edgerig.v1.trial_pb2 import FileRef, Trial

BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")

_MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
_HASH_CHUNK_BYTES = 1024 * 1024
# Files of the manifest besides the traces, in its order.
_LISTED = (
    *("trial.json", "events.jsonl", "scores.jsonl", "worker.log", "result.json"),
    # Item scores at points of a training budget.
    "points.jsonl",
    # With the traces and events these are all that the figures are reduced from.
    *("sampler.json", "cpu.json"),
)


@dataclass(frozen=True)
class Settings:
    """What `attempt.json` says; paths are absolute, empty = not given."""

    attempt_id: str
    model_dir: str
    data_file: str
    worker_python: str
    # The folder that stands for `/` where sensors are looked for.
    sysfs_root: str
    # Other processes of edgerig on this machine, whose processor time is counted too.
    own_pids: tuple[int, ...]
    # Where the agent keeps what outlives an attempt: the idle base, settings to be put back.
    home: str
    # External meters to read beside the device's own sensors, besides those of the home's agent.json.
    meters: tuple[str, ...] = ()
    # Folder of the sentence encoder that retrieves; empty = not given.
    encoder_dir: str = ""
    # Folder of the model that a distillation learns from; empty = not given.
    teacher_dir: str = ""


def read_settings(folder: Path) -> Settings:
    """Reads attempt.json.

    Raises:
        ProtocolError: it is not what the interface says.
        StorageError: it cannot be read.
    """
    try:
        document = json.loads(_read(folder / "attempt.json"))
        return Settings(
            attempt_id=_text(document, "attempt_id") or folder.name,
            model_dir=_text(document, "model_dir"),
            data_file=_text(document, "data_file"),
            encoder_dir=_text(document, "encoder_dir"),
            teacher_dir=_text(document, "teacher_dir"),
            worker_python=_text(document, "worker_python"),
            sysfs_root=_text(document, "sysfs_root") or "/",
            own_pids=tuple(int(pid) for pid in document.get("own_pids", [])),
            home=_text(document, "home") or str(folder),
            meters=tuple(str(address) for address in document.get("meters", [])),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise ProtocolError(f"attempt.json cannot be understood: {error}") from error


def read_trial(folder: Path) -> Trial:
    """Reads trial.json.

    Raises:
        ProtocolError: it is not a Trial.
        StorageError: it cannot be read.
    """
    return from_json(_read(folder / "trial.json"), Trial(), what="trial.json")


def write_began(folder: Path) -> None:
    """Writes the durable mark that the attempt runs, and which process it is.

    Raises:
        StorageError: the disk refuses.
    """
    pid = os.getpid()
    document = {
        "pid": pid,
        "start_ticks": start_ticks(pid),
        "boot_id": boot_id(),
        "t_mono_ns": time.monotonic_ns(),
    }
    write_durably(folder / "began", canonical_bytes(document) + b"\n")


def read_began(folder: Path) -> dict[str, Any] | None:
    """Reads the `began` mark; None where there is none or it is damaged."""
    try:
        document = json.loads(_read(folder / "began"))
    except (StorageError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def write_message(path: Path, message: Message) -> None:
    """Writes a message in its JSON form, durably.

    Raises:
        StorageError: the disk refuses.
    """
    write_durably(path, canonical_bytes(to_json(message)) + b"\n")


def write_manifest(folder: Path, attempt_id: str) -> None:
    """Names every file of the result by its hash; the attempt is finished when this returns.

    Raises:
        StorageError: a file cannot be read, or the disk refuses.
    """
    names = [name for name in _LISTED if (folder / name).is_file()]
    traces = sorted((folder / "trace").glob("*.trace"))
    paths = [folder / name for name in names] + traces
    try:
        for path in paths:
            durable.sync(path)
        durable.sync(folder)
        files = [_file_ref(folder, path) for path in paths]
    except OSError as error:
        raise StorageError(f"cannot finish the attempt folder: {error}", hint=f"df -h {folder}") from error
    write_message(folder / "manifest.json", Manifest(attempt_id=attempt_id, files=files))


def is_finished(folder: Path) -> bool:
    """Tells whether the attempt has its manifest."""
    return (folder / "manifest.json").is_file()


def read_result(folder: Path) -> AttemptResult:
    """Reads result.json.

    Raises:
        ProtocolError: it is not an AttemptResult.
        StorageError: it cannot be read.
    """
    return from_json(_read(folder / "result.json"), AttemptResult(), what="result.json")


def write_durably(path: Path, content: bytes) -> None:
    """Replaces a file as a whole and durably.

    Raises:
        StorageError: the disk refuses.
    """
    try:
        durable.replace(path, content)
    except OSError as error:
        raise StorageError(f"cannot write {path.name}: {error}", hint=f"df -h {path.parent}") from error


def safe_path(text: str) -> PurePosixPath:
    """Returns a relative path that stays below the folder it is joined to.

    Raises:
        ProtocolError: it is absolute, empty, or leads out.
    """
    parts = text.split("/")
    if len(text) > 512 or "\0" in text or any(part in ("", ".", "..") for part in parts):
        raise ProtocolError(f"{text[:80]!r} is not a plain relative path")
    return PurePosixPath(text)


def boot_id() -> str:
    """Returns the kernel's name of this boot."""
    return BOOT_ID_PATH.read_text().strip()


def start_ticks(pid: int) -> int:
    """Returns when a process started, in clock ticks since boot; with its pid this names it.

    Raises:
        StorageError: there is no such process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError as error:
        raise StorageError(f"process {pid} is not in /proc: {error.strerror}") from error
    # The second field, the name, may hold spaces and brackets.
    return int(stat.rpartition(")")[2].split()[19])


def hash_file(path: Path) -> str:
    """Returns the lower-case hexadecimal sha256 of a file. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _file_ref(folder: Path, path: Path) -> FileRef:
    size_bytes = path.stat().st_size
    return FileRef(path=path.relative_to(folder).as_posix(), sha256=hash_file(path), size_bytes=size_bytes)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_DOCUMENT_BYTES:
            raise StorageError(f"{path.name} is larger than any attempt writes")
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}", hint=f"ls -l {path.parent}") from error


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise TypeError(f"{key} is not a text")
    return value
