"""Where resolved files go: a blob store, or nowhere when only their digests are wanted.

Knows nothing of models, tasks or the layout of a store.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

_PIECE_BYTES = 1024 * 1024


class BlobSink(Protocol):
    """Keeps content under its sha256."""

    def put_file(self, path: Path) -> str:
        """Keep the content of a file and return its lower-case hexadecimal sha256."""
        ...

    def put_bytes(self, data: bytes) -> str:
        """Keep bytes and return their lower-case hexadecimal sha256."""
        ...


class HashOnly:
    """Keeps nothing: for dry runs and checks, which must not fill the disk."""

    def put_file(self, path: Path) -> str:
        sha256 = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                sha256.update(piece)
        return sha256.hexdigest()

    def put_bytes(self, data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()
