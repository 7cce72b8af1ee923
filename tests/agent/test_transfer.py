"""Blobs come whole or not at all, go on where they stopped, and the cache keeps its bound."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from edgerig.errors import DeviceError, ProtocolError, RejectedError, StorageError
from edgerig.v1.agent_service_pb2 import (
    GetChunkRequest,
    GetChunkResponse,
    PutChunkRequest,
    PutChunkResponse,
)
from edgerig.v1.trial_pb2 import FileRef
from edgerig_agent.transfer import BlobCache, fetch, push

CONTENT = bytes(range(256)) * 40


def reference(content: bytes, path: str = "file") -> FileRef:
    return FileRef(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


class Source:
    """Serves one blob in pieces of 1000 bytes."""

    def __init__(self, content: bytes, size_bytes: int | None = None) -> None:
        self.content = content
        self.size_bytes = len(content) if size_bytes is None else size_bytes
        self.offsets: list[int] = []
        self.fails_at: int | None = None
        self.error: OSError = ConnectionError("the line is cut")

    async def get_chunk(self, request: GetChunkRequest) -> GetChunkResponse:
        if request.offset_bytes == self.fails_at:
            raise self.error
        self.offsets.append(request.offset_bytes)
        piece = self.content[request.offset_bytes : request.offset_bytes + 1000]
        return GetChunkResponse(data=piece, size_bytes=self.size_bytes)


class Sink:
    """Stores one blob; may lie about how much it has."""

    def __init__(self, stored: bytes = b"", stuck: bool = False) -> None:
        self.stored = bytearray(stored)
        self.stuck = stuck
        self.received_bytes = 0

    async def put_chunk(self, request: PutChunkRequest) -> PutChunkResponse:
        self.received_bytes += len(request.data)
        if not self.stuck and request.offset_bytes == len(self.stored):
            self.stored += request.data
        complete = len(self.stored) == request.size_bytes
        return PutChunkResponse(stored_bytes=len(self.stored), complete=complete)


@pytest.fixture
def cache(tmp_path: Path) -> BlobCache:
    return BlobCache(tmp_path / "blobs", limit_bytes=100_000)


def keep(cache: BlobCache, content: bytes, used_unix_s: float) -> Path:
    path = cache.path(reference(content).sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (used_unix_s, used_unix_s))
    return path


async def test_a_blob_arrives_whole_and_cannot_be_written_to(cache: BlobCache) -> None:
    path = await fetch(cache, reference(CONTENT), Source(CONTENT))
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o222 == 0


async def test_an_empty_blob_arrives(cache: BlobCache) -> None:
    path = await fetch(cache, reference(b""), Source(b""))
    assert path.read_bytes() == b""


async def test_a_cached_blob_is_not_fetched_again(cache: BlobCache) -> None:
    await fetch(cache, reference(CONTENT), Source(CONTENT))
    again = Source(CONTENT)
    await fetch(cache, reference(CONTENT), again)
    assert again.offsets == []


async def test_a_transfer_goes_on_where_it_was_cut(cache: BlobCache) -> None:
    cut = Source(CONTENT)
    cut.fails_at = 5000
    with pytest.raises(StorageError):
        await fetch(cache, reference(CONTENT), cut)
    rest = Source(CONTENT)
    path = await fetch(cache, reference(CONTENT), rest)
    assert rest.offsets[0] == 5000
    assert path.read_bytes() == CONTENT


async def test_a_damaged_beginning_is_fetched_anew(cache: BlobCache) -> None:
    target = cache.path(reference(CONTENT).sha256)
    target.parent.mkdir(parents=True)
    target.with_name(f".{target.name}.part").write_bytes(b"\xff" * 3000)
    path = await fetch(cache, reference(CONTENT), Source(CONTENT))
    assert path.read_bytes() == CONTENT


async def test_wrong_content_is_refused_and_not_kept(cache: BlobCache) -> None:
    with pytest.raises(ProtocolError, match="another content"):
        await fetch(cache, reference(CONTENT), Source(CONTENT[::-1]))
    assert list(cache.root.glob("*/*")) == []
    assert list(cache.root.glob("*/.*")) == []


async def test_a_source_with_another_size_is_refused(cache: BlobCache) -> None:
    with pytest.raises(ProtocolError, match="should have"):
        await fetch(cache, reference(CONTENT), Source(CONTENT, size_bytes=len(CONTENT) + 1))


@pytest.mark.parametrize("sha256", ["", "../../etc/passwd", "A" * 64, "0" * 63])
def test_a_name_that_is_no_hash_names_no_file(cache: BlobCache, sha256: str) -> None:
    with pytest.raises(ProtocolError):
        cache.path(sha256)


def test_what_was_used_longest_ago_makes_room(cache: BlobCache) -> None:
    oldest = keep(cache, b"a" * 40_000, 1.0)
    newer = keep(cache, b"b" * 40_000, 2.0)
    cache.make_room([reference(b"c" * 40_000)])
    assert (oldest.exists(), newer.exists()) == (False, True)


def test_nothing_goes_while_there_is_room(cache: BlobCache) -> None:
    kept = keep(cache, b"a" * 40_000, 1.0)
    cache.make_room([reference(b"c" * 40_000)])
    assert kept.exists()


def test_what_is_wanted_or_protected_is_not_evicted(cache: BlobCache) -> None:
    wanted = keep(cache, b"a" * 40_000, 1.0)
    protected = keep(cache, b"b" * 30_000, 2.0)
    free = keep(cache, b"c" * 20_000, 3.0)
    cache.make_room(
        [reference(b"a" * 40_000), reference(b"d" * 25_000)],
        protected=[reference(b"b" * 30_000).sha256],
    )
    assert (wanted.exists(), protected.exists(), free.exists()) == (True, True, False)


def test_the_reserve_of_the_disk_bounds_the_cache_too(cache: BlobCache) -> None:
    oldest = keep(cache, b"a" * 40_000, 1.0)
    newer = keep(cache, b"b" * 40_000, 2.0)
    cache.make_room([reference(b"c" * 10_000)], free_bytes=30_000, reserve_bytes=25_000)
    assert (oldest.exists(), newer.exists()) == (False, True)


def test_nothing_goes_where_that_would_not_be_enough(cache: BlobCache) -> None:
    kept = keep(cache, b"a" * 40_000, 1.0)
    with pytest.raises(DeviceError, match="need 60000 bytes more, 30000 are free"):
        cache.make_room(
            [FileRef(sha256="0" * 64, size_bytes=60_000)], free_bytes=30_000, reserve_bytes=25_000
        )
    assert kept.exists()


def test_what_has_come_already_takes_no_room_again(cache: BlobCache) -> None:
    kept = keep(cache, b"a" * 40_000, 1.0)
    part = cache.part("0" * 64)
    part.parent.mkdir()
    part.write_bytes(b"x" * 50_000)
    cache.make_room([FileRef(sha256="0" * 64, size_bytes=60_000)])
    assert (kept.exists(), part.exists()) == (True, True)


async def test_a_disk_that_fills_up_keeps_no_unfinished_blob(cache: BlobCache) -> None:
    full = Source(CONTENT)
    full.fails_at, full.error = 5000, OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StorageError, match="No space left"):
        await fetch(cache, reference(CONTENT), full)
    assert not cache.part(reference(CONTENT).sha256).exists()


def test_what_can_never_fit_is_said_with_the_setting(cache: BlobCache) -> None:
    with pytest.raises(DeviceError, match="100000 are allowed") as caught:
        cache.make_room([FileRef(sha256="0" * 64, size_bytes=100_001)])
    assert "cache_bytes" in caught.value.hint


async def test_a_file_is_uploaded_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT * 200)
    sink = Sink()
    await push(path, reference(CONTENT * 200), "a", sink)
    assert sink.stored == CONTENT * 200


async def test_an_upload_goes_on_where_the_sink_says(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT * 200)
    sink = Sink(stored=(CONTENT * 200)[:1_900_000])
    await push(path, reference(CONTENT * 200), "a", sink)
    assert sink.stored == CONTENT * 200
    assert sink.received_bytes < len(CONTENT * 200)


async def test_an_empty_file_is_uploaded(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    sink = Sink()
    await push(tmp_path / "file", reference(b""), "a", sink)
    assert sink.stored == b""


async def test_a_sink_that_takes_nothing_is_not_asked_for_ever(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    with pytest.raises(ProtocolError, match="no progress"):
        await push(tmp_path / "file", reference(CONTENT), "a", Sink(stuck=True))


async def test_a_file_that_changed_since_its_manifest_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT + b"more")
    with pytest.raises(RejectedError, match="another size"):
        await push(tmp_path / "file", reference(CONTENT), "a", Sink())
