"""Files named by their content: models, task data and the files of attempts.

A blob appears under its name only when it is complete and durable (temporary
file, fsync, rename, fsync of the folder). Knows nothing of what refers to a
blob; the store decides what may be deleted.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgerig.durable import sync
from edgerig.errors import NotFoundError, ProtocolError, StorageError

# One blob; the largest shard of a hub model is about 10 GB.
MAX_BLOB_BYTES = 64 * 1024**3
_COPY_BYTES = 1024 * 1024
_NAME = re.compile(r"[0-9a-f]{64}")
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class ChunkState:
    """How much of a blob is stored without a gap, and whether that is all of it."""

    stored_bytes: int
    complete: bool


def is_sha256(text: str) -> bool:
    """Tells whether the text is a lower-case hexadecimal sha256."""
    return _NAME.fullmatch(text) is not None


class BlobStore:
    """A folder of blobs. Safe for several threads of one process.

    Processes may share it when each has another name for its pieces.
    """

    def __init__(self, root: Path, *, partial: str = "partial") -> None:
        self._root = root
        self._partial = root / partial
        # Two uploads of the same content must not write into each other.
        self._locks = tuple(threading.Lock() for _ in range(16))

    def path(self, sha256: str) -> Path:
        """Returns where a blob lies or would lie.

        Raises:
            ProtocolError: the name is not a sha256, so it could point anywhere.
        """
        if not is_sha256(sha256):
            raise ProtocolError(f"{sha256[:80]!r} is not a lower-case hexadecimal sha256.")
        return self._root / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Tells whether the whole blob is here."""
        return self.path(sha256).is_file()

    def size_bytes(self, sha256: str) -> int:
        """Returns the size of a blob.

        Raises:
            NotFoundError: the blob is not here.
        """
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError as error:
            raise _absent(sha256) from error

    def open(self, sha256: str) -> BinaryIO:
        """Opens a blob for reading.

        Raises:
            NotFoundError: the blob is not here.
        """
        try:
            return self.path(sha256).open("rb")
        except FileNotFoundError as error:
            raise _absent(sha256) from error

    def read(self, sha256: str, offset_bytes: int, size_bytes: int) -> bytes:
        """Reads at most `size_bytes` from an offset; empty at and after the end."""
        with self.open(sha256) as file:
            file.seek(offset_bytes)
            return file.read(size_bytes)

    def put_bytes(self, data: bytes) -> str:
        """Stores bytes and returns their sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        with self._lock(sha256), _disk(self._root):
            if not self.has(sha256):
                temporary = self._temporary(sha256)
                temporary.write_bytes(data)
                self._settle(temporary, sha256)
        return sha256

    def put_file(self, path: Path) -> str:
        """Stores a copy of a file and returns its sha256.

        Raises:
            StorageError: the disk is full, or the file changed while it was copied.
        """
        with path.open("rb") as source:
            sha256 = _hash(source)
            with self._lock(sha256), _disk(self._root):
                if self.has(sha256):
                    return sha256
                source.seek(0)
                temporary = self._temporary(sha256)
                if _copy(source, temporary) != sha256:
                    temporary.unlink()
                    raise StorageError(f"{path} changed while it was copied.", hint="try again")
                self._settle(temporary, sha256)
        return sha256

    def put_chunk(self, sha256: str, size_bytes: int, offset_bytes: int, data: bytes) -> ChunkState:
        """Appends a piece of a blob; the answer says where to go on.

        A piece that does not begin where the stored part ends changes nothing:
        the sender resumes from the answer.

        Raises:
            ProtocolError: sizes that cannot be, or content that is not the name's.
            StorageError: the disk is full.
        """
        if not 0 <= size_bytes <= MAX_BLOB_BYTES or not 0 <= offset_bytes <= size_bytes:
            raise ProtocolError(f"A blob of {size_bytes} bytes has no offset {offset_bytes}.")
        if offset_bytes + len(data) > size_bytes:
            raise ProtocolError(f"A piece reaches past the end of a blob of {size_bytes} bytes.")
        with self._lock(sha256), _disk(self._root):
            if self.has(sha256):
                return ChunkState(self.size_bytes(sha256), True)
            return self._append(sha256, size_bytes, offset_bytes, data)

    def delete(self, sha256: str) -> int:
        """Removes a blob and returns the bytes it had; 0 when it was not here."""
        path = self.path(sha256)
        try:
            size_bytes = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size_bytes

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Lists every complete blob with its size in bytes."""
        for folder in sorted(self._root.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.iterdir()):
                if is_sha256(path.name) and path.is_file():
                    yield path.name, path.stat().st_size

    def recover(self) -> None:
        """Makes what a killed controller left fit to be relied on; nobody may be uploading.

        Pieces of uploads are begun anew. A blob that was renamed into place just
        before the kill may have a name that is not durable yet, and it is there
        for everybody to see: results must not be committed on it before it is.
        """
        self.discard_partials()
        with _disk(self._root):
            for folder in (self._root, *self._root.glob("[0-9a-f][0-9a-f]")):
                sync(folder)

    def discard_partials(self) -> int:
        """Removes pieces of unfinished uploads and returns their bytes; nobody may be uploading."""
        freed_bytes = 0
        for path in sorted(self._partial.glob("*")):
            freed_bytes += path.stat().st_size
            path.unlink()
        return freed_bytes

    def discard_stale(self, before_unix_s: float, *, dry_run: bool = False) -> int:
        """Removes the pieces of uploads that went on last before then, and returns their bytes.

        Who goes on with one afterwards is told to begin anew.
        """
        freed_bytes = 0
        for path in sorted(self._partial.glob("*.upload")):
            sha256 = path.name.removesuffix(".upload")
            if not is_sha256(sha256):
                continue
            with self._lock(sha256), suppress(FileNotFoundError):
                status = path.stat()
                if status.st_mtime >= before_unix_s:
                    continue
                freed_bytes += status.st_size
                if not dry_run:
                    path.unlink()
        return freed_bytes

    def _append(self, sha256: str, size_bytes: int, offset_bytes: int, data: bytes) -> ChunkState:
        temporary = self._temporary(sha256, "upload")
        stored_bytes = temporary.stat().st_size if temporary.exists() else 0
        if stored_bytes > size_bytes:
            # An earlier upload under this name claimed another size.
            temporary.unlink()
            stored_bytes = 0
        if offset_bytes == stored_bytes:
            with temporary.open("ab") as file:
                file.write(data)
            stored_bytes += len(data)
        if stored_bytes < size_bytes:
            return ChunkState(stored_bytes, False)
        with temporary.open("rb") as file:
            if _hash(file) != sha256:
                temporary.unlink()
                raise ProtocolError(f"The uploaded bytes are not those of blob {sha256}.")
        self._settle(temporary, sha256)
        return ChunkState(size_bytes, True)

    def _temporary(self, sha256: str, kind: str = "copy") -> Path:
        self._partial.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._partial / f"{sha256}.{kind}"

    def _settle(self, temporary: Path, sha256: str) -> None:
        final = self.path(sha256)
        if not final.parent.is_dir():
            final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A folder's name is durable only when the folder above it is synced.
            sync(self._root)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(final)
        sync(final.parent)

    def _lock(self, sha256: str) -> threading.Lock:
        self.path(sha256)
        return self._locks[int(sha256[0], 16)]


def _hash(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := file.read(_COPY_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _copy(source: BinaryIO, target: Path) -> str:
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while piece := source.read(_COPY_BYTES):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _absent(sha256: str) -> NotFoundError:
    return NotFoundError(f"Blob {sha256} is not stored here.")


@contextmanager
def _disk(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageError(
                f"The disk of {root} is full.", hint="edgerig gc, or free space on that disk"
            ) from error
        raise StorageError(f"The blob store {root} cannot be written: {error}.") from error
