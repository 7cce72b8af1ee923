"""Turns uploaded traces into Parquet: one file per attempt, one row per sample and channel.

Works on blobs and paths only. The caller decides when: conversion costs
processor time, and none may be spent on a machine where something is measured.
Whatever was not converted in time is converted when it is exported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from edgerig.errors import EdgerigError, ProtocolError
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository

# A header takes one page, or several for a board with dozens of channels; it is one line.
_HEADER_MAX_BYTES = 64 * 4096
# A field that could not be read: this, or this plus an errno.
UNREAD = -(2**63)
LAST_UNREAD = UNREAD + 4095
_MAX_FIELDS = 1024
_BATCH_RECORDS = 65_536


@dataclass(frozen=True)
class Channel:
    """One field of a trace; value = raw × scale."""

    name: str
    unit: str
    scale: float
    source: str
    boundary: str


@dataclass(frozen=True)
class TraceFile:
    """A trace of an attempt and where its bytes lie."""

    name: str
    path: Path


class TraceKeeper:
    """Remembers which attempts wait for conversion, and converts them when asked."""

    def __init__(self, home: Home, blobs: BlobStore) -> None:
        self._home = home
        self._blobs = blobs
        self._pending: list[tuple[str, str, tuple[tuple[str, str], ...]]] = []

    def remember(self, study_id: str, attempt_id: str, files: Sequence[tuple[str, str]]) -> None:
        """Notes an attempt with its manifest's (path, sha256) pairs."""
        traces = tuple((path, sha256) for path, sha256 in files if is_trace(path))
        if traces:
            self._pending.append((study_id, attempt_id, traces))

    @property
    def waiting(self) -> bool:
        return bool(self._pending)

    def convert_pending(self) -> list[str]:
        """Converts what waits; returns what went wrong, which is not worth failing for."""
        problems = []
        while self._pending:
            study_id, attempt_id, files = self._pending.pop(0)
            try:
                _convert_attempt(self._home, self._blobs, study_id, attempt_id, files)
            except (EdgerigError, OSError) as error:
                problems.append(f"trace of attempt {attempt_id}: {error}")
        return problems


def convert_study(home: Home, repository: Repository, study_id: str) -> tuple[list[Path], list[str]]:
    """Converts the traces of a study's canonical attempts that lack, for example since a restart.

    Returns all Parquet files that there are now, and what went wrong with others.
    """
    blobs = BlobStore(home.blobs_dir)
    files: dict[str, list[tuple[str, str]]] = {}
    for attempt_id, path, sha256 in repository.trace_files(study_id):
        files.setdefault(attempt_id, []).append((path, sha256))
    paths, problems = [], []
    for attempt_id, pairs in files.items():
        try:
            paths.append(_convert_attempt(home, blobs, study_id, attempt_id, pairs))
        except (EdgerigError, OSError) as error:  # noqa: PERF203 - one damaged trace spoils no other
            problems.append(f"trace of attempt {attempt_id}: {error}")
    return paths, problems


def is_trace(path: str) -> bool:
    """Tells whether a file of a manifest is a trace."""
    pure = PurePosixPath(path)
    return pure.parent == PurePosixPath("trace") and pure.suffix == ".trace"


def write_parquet(traces: Sequence[TraceFile], target: Path) -> None:
    """Writes the samples of several traces to one file, in bounded memory.

    Columns: trace, t_mono_ns, channel, unit, source, boundary, value (null where
    a channel could not be read).

    Raises:
        ProtocolError: a trace is not in the documented form.
    """
    import pyarrow as pa  # heavy: a controller that never converts never loads it
    import pyarrow.parquet as pq

    names = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [
            ("trace", names),
            ("t_mono_ns", pa.int64()),
            ("channel", names),
            ("unit", names),
            ("source", names),
            ("boundary", names),
            ("value", pa.float64()),
        ]
    )
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A controller and an export may convert the same one at the same time.
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for trace in traces:
                with trace.path.open("rb") as file:
                    for columns in _batches(trace.name, file):
                        writer.write_table(pa.table(_arrays(pa, columns), schema=schema))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def read_header(file: BinaryIO, name: str) -> list[Channel]:
    """Reads the channels of a trace and leaves the file at its first record.

    Raises:
        ProtocolError: not the header of a trace.
    """
    try:
        header = json.loads(file.readline(_HEADER_MAX_BYTES))
        channels = [
            Channel(
                str(field["name"]),
                str(field["unit"]),
                float(field["scale"]),
                str(field["source"]),
                str(field["boundary"]),
            )
            for field in header["fields"]
        ]
        record_bytes = int(header["record_bytes"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProtocolError(f"{name} does not begin with the header of a trace: {error!r}.") from error
    if len(channels) > _MAX_FIELDS or record_bytes != 8 * (1 + len(channels)):
        raise ProtocolError(f"{name}: {len(channels)} fields do not make records of {record_bytes} bytes.")
    return channels


@dataclass(frozen=True)
class _Columns:
    trace: str
    channel: Channel
    t_mono_ns: np.ndarray[Any, np.dtype[np.int64]]
    raw: np.ndarray[Any, np.dtype[np.int64]]


def _batches(name: str, file: BinaryIO) -> Iterator[_Columns]:
    channels = read_header(file, name)
    width = 1 + len(channels)
    while data := file.read(8 * width * _BATCH_RECORDS):
        # A sampler that was killed may have left half a record.
        whole = len(data) // (8 * width)
        records = np.frombuffer(data, dtype="<i8", count=whole * width).reshape(whole, width)
        # And behind what it wrote the empty rest of a file whose space was taken in advance.
        records = records[: 1 + np.flatnonzero(records[:, 0]).max(initial=-1)]
        for index, channel in enumerate(channels):
            yield _Columns(name, channel, records[:, 0], records[:, index + 1])


def _arrays(pa: Any, columns: _Columns) -> dict[str, Any]:
    count = len(columns.raw)

    def constant(text: str) -> Any:
        return pa.DictionaryArray.from_arrays(np.zeros(count, dtype=np.int32), [text])

    values = columns.raw.astype(np.float64) * columns.channel.scale
    return {
        "trace": constant(columns.trace),
        "t_mono_ns": pa.array(np.ascontiguousarray(columns.t_mono_ns)),
        "channel": constant(columns.channel.name),
        "unit": constant(columns.channel.unit),
        "source": constant(columns.channel.source),
        "boundary": constant(columns.channel.boundary),
        "value": pa.array(values, mask=np.ascontiguousarray(columns.raw <= LAST_UNREAD)),
    }


def _convert_attempt(
    home: Home, blobs: BlobStore, study_id: str, attempt_id: str, files: Sequence[tuple[str, str]]
) -> Path:
    target = home.trace_path(study_id, attempt_id)
    if not target.exists():
        write_parquet(
            [TraceFile(PurePosixPath(path).stem, blobs.path(sha256)) for path, sha256 in sorted(files)],
            target,
        )
    return target
