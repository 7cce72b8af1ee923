"""The content-addressed store: nothing half, nothing outside, nothing under a wrong name."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from edgerig.errors import NotFoundError, ProtocolError, StorageError
from edgerig_controller.data.blobs import BlobStore

DATA = b"twelve bytes"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def test_bytes_are_found_under_their_hash(blobs: BlobStore) -> None:
    assert blobs.put_bytes(DATA) == SHA256
    assert blobs.read(SHA256, 0, 100) == DATA
    assert blobs.size_bytes(SHA256) == len(DATA)


def test_a_file_is_copied(blobs: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.write_bytes(DATA)
    assert blobs.put_file(source) == SHA256
    source.write_bytes(b"changed later")
    assert blobs.read(SHA256, 0, 100) == DATA


def test_chunks_make_a_blob_when_the_last_has_come(blobs: BlobStore) -> None:
    assert not blobs.put_chunk(SHA256, 12, 0, DATA[:5]).complete
    assert not blobs.has(SHA256)
    assert blobs.put_chunk(SHA256, 12, 5, DATA[5:]).complete
    assert blobs.read(SHA256, 0, 100) == DATA


def test_an_upload_resumes_where_it_stopped_in_another_process(blobs: BlobStore, tmp_path: Path) -> None:
    blobs.put_chunk(SHA256, 12, 0, DATA[:5])
    reopened = BlobStore(tmp_path / "blobs")
    assert reopened.put_chunk(SHA256, 12, 0, DATA[:5]).stored_bytes == 5
    assert reopened.put_chunk(SHA256, 12, 5, DATA[5:]).complete


def test_a_chunk_out_of_order_changes_nothing(blobs: BlobStore) -> None:
    assert blobs.put_chunk(SHA256, 12, 5, DATA[5:]).stored_bytes == 0


def test_a_repeated_last_chunk_is_answered_as_complete(blobs: BlobStore) -> None:
    blobs.put_bytes(DATA)
    assert blobs.put_chunk(SHA256, 12, 5, DATA[5:]).complete


def test_wrong_content_is_refused_and_the_upload_begins_anew(blobs: BlobStore) -> None:
    with pytest.raises(ProtocolError, match="not those of blob"):
        blobs.put_chunk(SHA256, 12, 0, b"other bytes!")
    assert not blobs.has(SHA256)
    assert blobs.put_chunk(SHA256, 12, 0, DATA).complete


def test_an_empty_file_is_a_blob(blobs: BlobStore) -> None:
    empty = hashlib.sha256(b"").hexdigest()
    assert blobs.put_chunk(empty, 0, 0, b"").complete
    assert blobs.read(empty, 0, 10) == b""


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "g" * 64, SHA256 + "/x", "a" * 63])
def test_names_that_are_no_hash_cannot_point_anywhere(blobs: BlobStore, name: str) -> None:
    for use in (blobs.path, blobs.has, blobs.open, blobs.delete):
        with pytest.raises(ProtocolError):
            use(name)
    with pytest.raises(ProtocolError):
        blobs.put_chunk(name, 1, 0, b"x")


@pytest.mark.parametrize(("size", "offset"), [(-1, 0), (12, -1), (12, 13), (2**60, 0), (4, 0)])
def test_sizes_that_cannot_be_are_refused(blobs: BlobStore, size: int, offset: int) -> None:
    with pytest.raises(ProtocolError):
        blobs.put_chunk(SHA256, size, offset, DATA)


def test_a_missing_blob_is_named(blobs: BlobStore) -> None:
    with pytest.raises(NotFoundError, match=SHA256):
        blobs.open(SHA256)


def test_delete_returns_the_bytes_and_sizes_lists_the_rest(blobs: BlobStore) -> None:
    other = blobs.put_bytes(b"other")
    blobs.put_bytes(DATA)
    assert blobs.delete(SHA256) == 12
    assert blobs.delete(SHA256) == 0
    assert list(blobs.sizes()) == [(other, 5)]


def test_pieces_of_uploads_are_not_listed_and_can_be_discarded(blobs: BlobStore) -> None:
    blobs.put_chunk(SHA256, 12, 0, DATA[:5])
    assert list(blobs.sizes()) == []
    assert blobs.discard_partials() == 5
    assert blobs.put_chunk(SHA256, 12, 5, b"").stored_bytes == 0


def test_a_full_disk_says_what_to_do(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: Path, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="edgerig gc"):
        blobs.put_bytes(DATA)
    assert not blobs.has(SHA256)
