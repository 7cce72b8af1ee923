"""A controller on another machine: where it is, and the certificate by which a person is known there.

    remote.json           {"control", "fleet_id", "name", "role"}
    person/               key.pem (0600), certificate.pem, ca.pem

They lie in the data folder; a folder that has them is of that controller alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from edgerig.errors import StorageError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from edgerig_controller.home import Home

_FILE = "remote.json"


@dataclass(frozen=True)
class Remote:
    """How a person reaches a controller; `control` is host:port."""

    control: str
    fleet_id: str
    name: str
    role: str


def folder(home: Home) -> Path:
    """Returns the folder of the person's key and certificates."""
    return home.root / "person"


def load(home: Home) -> Remote | None:
    """Returns the remote controller of a data folder; None when it has none.

    Raises:
        StorageError: remote.json cannot be understood.
    """
    path = home.root / _FILE
    try:
        document = json.loads(path.read_text())
        return Remote(*(str(document[key]) for key in ("control", "fleet_id", "name", "role")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} is damaged: {error}", hint="edgerig join ... --replace") from error


def save(home: Home, remote: Remote, *, key_pem: bytes, certificate_pem: bytes, ca_pem: bytes) -> None:
    """Writes a joined controller; remote.json, which makes it count, comes last.

    Raises:
        StorageError: the disk is full or refuses.
    """
    from edgerig_controller.fleet.identity import write_private

    place = folder(home)
    try:
        home.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.mkdir(exist_ok=True, mode=0o700)
        (home.root / _FILE).unlink(missing_ok=True)
        write_private(place / "key.pem", key_pem)
        write_private(place / "certificate.pem", certificate_pem)
        write_private(place / "ca.pem", ca_pem)
        write_private(home.root / _FILE, json.dumps(asdict(remote), indent=1).encode())
    except OSError as error:
        raise StorageError(f"cannot write {place}: {error}", hint=f"df -h {home.root}") from error


def check_free(home: Home, *, replace: bool) -> None:
    """Refuses to join in a folder that is in use.

    Raises:
        UsageError: it holds a store of its own, or has joined already and `replace` is not given.
    """
    if home.has_store:
        raise UsageError(
            f"{home.root} is the data folder of a controller on this machine",
            hint="name another folder for the remote one: --data DIR",
        )
    known = load(home)
    if known is not None and not replace:
        raise UsageError(
            f"{home.root} has joined fleet {known.fleet_id} already, as {known.name}",
            hint="add --replace, or name another folder with --data DIR",
        )
