"""The files that all controllers of one store share: is this folder theirs?

Blobs, traces, reports and the certificate authority are files. Several
controllers must find the same ones, on a file system that all of them mount. A
word in the folder and the same word in the database keep two stores from
working in one folder, and one store from working in two.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from edgerig.errors import StorageError, UsageError
from edgerig_controller.fleet import identity
from edgerig_controller.fleet.identity import Authority
from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository

_MARK = "store.id"
_MARK_MAX_BYTES = 256
_HINT = "edgerig serve --store ... --shared DIR, with the folder that the other controllers use"


def settle(home: Home, repository: Repository) -> Authority:
    """Checks that the folder belongs to the store, and opens the authority that lies in it.

    A folder without a mark and a database without one become each other's. One
    controller at a time does this, in its turn as a writer.

    Raises:
        UsageError: they do not belong together.
        StorageError: the folder or the authority in it cannot be used.
    """
    opened: list[Authority] = []

    def prepare(known: str | None) -> str:
        found = _claimed(home, known)
        opened.append(
            identity.open_authority(home.authority_dir, identity.utc_now(), in_use=known is not None)
        )
        return found

    repository.controllers.settle_files(prepare)
    authority = opened[0]
    if home.authority_dir != home.ca_dir:
        _copy_certificate(home, authority)
    return authority


def _claimed(home: Home, known: str | None) -> str:
    path = home.files / _MARK
    found = _read(path)
    if known is not None and found == known:
        return known
    if known is not None:
        there = "another store's" if found else "not marked as its own"
        raise UsageError(
            f"The files of this store do not lie in {home.files}: the folder is {there}.", hint=_HINT
        )
    # A mark alone is what a crash leaves between the two writes; then nothing lies beside it.
    if found and any(home.blobs_dir.glob("[0-9a-f][0-9a-f]/*")):
        raise UsageError(f"{home.files} holds the files of another store.", hint=_HINT)
    mark = found or uuid.uuid4().hex
    if not found:
        _write(path, mark)
    return mark


def _read(path: Path) -> str:
    try:
        with path.open(encoding="ascii") as file:
            return file.read(_MARK_MAX_BYTES).strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path} cannot be read: {error}.", hint=f"ls -l {path}") from error


def _write(path: Path, mark: str) -> None:
    try:
        identity.write_private(path, f"{mark}\n".encode())
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error}.", hint=f"ls -ld {path.parent}") from error


def _copy_certificate(home: Home, authority: Authority) -> None:
    """Leaves the authority's certificate, not its key, where commands on this data folder look for it."""
    own = home.ca_dir / "ca.pem"
    if (home.ca_dir / "ca.key").exists():
        raise UsageError(
            f"The data folder {home.root} has a certificate authority of its own.",
            hint="name another data folder with --data DIR",
        )
    try:
        home.ca_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not own.exists() or own.read_bytes() != authority.ca_pem:
            identity.write_private(own, authority.ca_pem)
    except OSError as error:
        raise StorageError(f"{own} cannot be written: {error}.", hint=f"ls -ld {home.root}") from error
