"""Moves blobs by sha256: from the controller into a bounded cache, and results back.

Both directions resume at the byte where they stopped. Knows nothing of
leases or processes; who may read or write what is the controller's decision.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgerig.channel import CHUNK_BYTES
from edgerig.durable import sync
from edgerig.errors import DeviceError, ProtocolError, RejectedError, StorageError
from edgerig.v1.agent_service_pb2 import (
    GetChunkRequest,
    GetChunkResponse,
    PutChunkRequest,
    PutChunkResponse,
)
from edgerig.v1.trial_pb2 import FileRef

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ChunkSource(Protocol):
    """Whoever serves blobs piece by piece."""

    async def get_chunk(self, request: GetChunkRequest) -> GetChunkResponse: ...


class ChunkSink(Protocol):
    """Whoever stores blobs piece by piece."""

    async def put_chunk(self, request: PutChunkRequest) -> PutChunkResponse: ...


@dataclass(frozen=True)
class BlobCache:
    """Content-addressed files under `root`, together at most `limit_bytes`."""

    root: Path
    limit_bytes: int

    def path(self, sha256: str) -> Path:
        """Returns where a blob lies or would lie.

        Raises:
            ProtocolError: not a sha256 in lower-case hexadecimal.
        """
        if not _SHA256.fullmatch(sha256):
            raise ProtocolError(f"{sha256[:80]!r} is not a sha256 in lower-case hexadecimal")
        return self.root / sha256[:2] / sha256

    def has(self, reference: FileRef) -> bool:
        """Says whether the blob is here in full size; its hash was checked when it came."""
        try:
            return self.path(reference.sha256).stat().st_size == reference.size_bytes
        except FileNotFoundError:
            return False

    def touch(self, sha256: str) -> None:
        """Marks a blob as used now."""
        os.utime(self.path(sha256))

    def make_room(
        self,
        wanted: Sequence[FileRef],
        protected: Iterable[str] = (),
        *,
        free_bytes: int | None = None,
        reserve_bytes: int = 0,
    ) -> None:
        """Evicts the blobs used longest ago until everything wanted fits.

        Neither what is wanted nor what is protected is evicted, and nothing at all where that would not
        be enough; then what has come of the wanted goes, as the rest never will.

        Args:
            wanted: what the cache must hold.
            protected: hashes of blobs that are in use.
            free_bytes: free space of the disk; None: it is not looked at.
            reserve_bytes: how much of that must stay free.

        Raises:
            DeviceError: it cannot fit, even in a cache that holds nothing else.
        """
        keep = {reference.sha256 for reference in wanted} | set(protected)
        entries = sorted(self._entries(), key=lambda entry: entry[1])
        cached_bytes = sum(size for _, _, size in entries)
        missing_bytes = sum(
            max(size - self._part_bytes(sha256), 0)
            for sha256, size in {ref.sha256: ref.size_bytes for ref in wanted if not self.has(ref)}.items()
        )
        limit_bytes = self.limit_bytes
        if free_bytes is not None:
            limit_bytes = min(limit_bytes, cached_bytes + free_bytes - reserve_bytes)
        total_bytes = cached_bytes + missing_bytes
        evicted = []
        for path, _, size in entries:
            if total_bytes <= limit_bytes:
                break
            if path.name.removeprefix(".").removesuffix(".part") not in keep:
                evicted.append(path)
                total_bytes -= size
        if total_bytes > limit_bytes:
            for reference in wanted:
                self.part(reference.sha256).unlink(missing_ok=True)
            raise self._too_much(total_bytes, missing_bytes, free_bytes, reserve_bytes)
        for path in evicted:
            path.unlink(missing_ok=True)

    def part(self, sha256: str) -> Path:
        """Returns where an unfinished blob lies or would lie."""
        target = self.path(sha256)
        return target.with_name(f".{target.name}.part")

    def _part_bytes(self, sha256: str) -> int:
        try:
            return self.part(sha256).stat().st_size
        except FileNotFoundError:
            return 0

    def _too_much(
        self, total_bytes: int, missing_bytes: int, free_bytes: int | None, reserve_bytes: int
    ) -> DeviceError:
        if total_bytes > self.limit_bytes or free_bytes is None:
            return DeviceError(
                f"the trial's files need {total_bytes} bytes of cache, {self.limit_bytes} are allowed",
                hint='set "cache_bytes" in agent.json of the agent\'s home',
            )
        return DeviceError(
            f"the trial's files need {missing_bytes} bytes more, {free_bytes} are free on the disk of "
            f"{self.root}, of which {reserve_bytes} stay free, and the rest of the cache is not enough",
            hint=f"df -h {self.root}",
        )

    def _entries(self) -> list[tuple[Path, float, int]]:
        found = []
        for path in self.root.glob("??/*") if self.root.is_dir() else ():
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((path, status.st_mtime, status.st_size))
        return found


async def fetch(cache: BlobCache, reference: FileRef, source: ChunkSource) -> Path:
    """Brings one blob into the cache and returns its path; goes on where it stopped.

    Raises:
        ProtocolError: the source sends another size or content than was promised.
        StorageError: the disk is full or refuses.
    """
    target = cache.path(reference.sha256)
    if cache.has(reference):
        cache.touch(reference.sha256)
        return target
    partial = cache.part(reference.sha256)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = partial.exists() and partial.stat().st_size > 0
        complete = await _download(partial, reference, source)
        if not complete and resumed:
            # A part from an earlier, interrupted transfer may be what is wrong.
            complete = await _download(partial, reference, source)
        if not complete:
            raise ProtocolError(f"blob {reference.sha256} arrived with another content than its name says")
        partial.chmod(0o444)
        partial.rename(target)
        sync(target.parent)
    except OSError as error:
        if error.errno in _FULL:
            # It would keep the disk full, so that not even the failure could be written down.
            partial.unlink(missing_ok=True)
        raise StorageError(
            f"cannot store blob {reference.sha256[:12]}: {error}", hint=f"df -h {cache.root}"
        ) from error
    return target


async def _download(partial: Path, reference: FileRef, source: ChunkSource) -> bool:
    """Completes a partial file; False, and the file removed, when its hash is wrong."""
    hasher = hashlib.sha256()
    with partial.open("ab+") as file:
        if file.tell() > reference.size_bytes:
            file.truncate(0)
        await asyncio.to_thread(_hash_existing, partial, hasher)
        offset = partial.stat().st_size
        while offset < reference.size_bytes:
            reply = await source.get_chunk(GetChunkRequest(sha256=reference.sha256, offset_bytes=offset))
            if reply.size_bytes != reference.size_bytes or not reply.data:
                raise ProtocolError(
                    f"blob {reference.sha256[:12]} should have {reference.size_bytes} bytes, "
                    f"the controller has {reply.size_bytes}"
                )
            data = reply.data[: reference.size_bytes - offset]
            file.write(data)
            hasher.update(data)
            offset += len(data)
        file.flush()
        os.fsync(file.fileno())
    if hasher.hexdigest() == reference.sha256:
        return True
    partial.unlink()
    return False


async def push(path: Path, reference: FileRef, attempt_id: str, sink: ChunkSink) -> None:
    """Uploads one file of an attempt; the sink says at which byte to go on.

    Raises:
        ProtocolError: the sink makes no progress.
        RejectedError: the file has changed its size since it was named.
        StorageError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != reference.size_bytes:
                raise RejectedError(
                    f"{path} has another size than its manifest says", hint=f"ls -l {path.parent}"
                )
            offset, stalls = 0, 0
            while True:
                file.seek(offset)
                reply = await sink.put_chunk(
                    PutChunkRequest(
                        attempt_id=attempt_id,
                        sha256=reference.sha256,
                        size_bytes=reference.size_bytes,
                        offset_bytes=offset,
                        data=file.read(CHUNK_BYTES),
                    )
                )
                if reply.complete:
                    return
                # A sink may ask to go back, when what it stored was damaged, but not for ever.
                stalls = stalls + 1 if reply.stored_bytes <= offset else 0
                if stalls > 3 or not 0 <= reply.stored_bytes <= reference.size_bytes:
                    raise ProtocolError(f"the controller does not take {path.name}: no progress at {offset}")
                offset = reply.stored_bytes
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error}", hint=f"ls -l {path.parent}") from error


def _hash_existing(path: Path, hasher: hashlib._Hash) -> None:
    with path.open("rb") as file:
        while piece := file.read(1024 * 1024):
            hasher.update(piece)
