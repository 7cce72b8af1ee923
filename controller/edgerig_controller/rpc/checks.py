"""Bounds on what peers may send, checked before anything is done with it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from edgerig import documents
from edgerig.errors import ProtocolError
from edgerig.v1.agent_service_pb2 import Hello
from edgerig.v1.attempt_pb2 import Manifest
from edgerig.version import OLDEST_MINOR, PROTOCOL_MAJOR, PROTOCOL_MINOR, VERSION
from edgerig_controller.data.blobs import is_sha256

RESULT_KIND = "attempt"
# Bytes that all files of one attempt may have together.
ATTEMPT_QUOTA_BYTES = 1024**3
_MAX_FILES = 1000
_MAX_CAPABILITIES = 100
_MAX_PATH_CHARS = 300
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TEXT_MAX_CHARS = 200


def check_name(value: str, what: str) -> str:
    """Returns an id of a peer's when it is one.

    Raises:
        ProtocolError: empty, too long, or with characters that ids do not have.
    """
    if _NAME.fullmatch(value) is None:
        raise ProtocolError(f"{what} {value[:_TEXT_MAX_CHARS]!r} is not an id.")
    return value


def check_seconds(value: float, what: str) -> float:
    """Returns a duration when it is a number that is not negative.

    Raises:
        ProtocolError: negative, infinite or not a number.
    """
    if not math.isfinite(value) or value < 0:
        raise ProtocolError(f"{what} of {value} s cannot be.")
    return value


def check_count(items: Sequence[object], limit: int, what: str) -> None:
    """Refuses lists that are longer than any honest one.

    Raises:
        ProtocolError: too long.
    """
    if len(items) > limit:
        raise ProtocolError(f"{len(items)} {what} are more than the {limit} allowed.")


def check_protocol(hello: Hello) -> None:
    """Refuses an agent of another protocol, or of one older than the minor before ours.

    A newer minor is let in: it looks at our capabilities and holds back.

    Raises:
        ProtocolError: neither side would understand the other.
    """
    if hello.protocol_major != PROTOCOL_MAJOR:
        raise ProtocolError(
            f"The agent speaks protocol {hello.protocol_major}, this controller {PROTOCOL_MAJOR}.",
            hint=f"install edgerig {VERSION} on the device",
        )
    if hello.protocol_minor < OLDEST_MINOR:
        raise ProtocolError(
            f"The agent speaks protocol {PROTOCOL_MAJOR}.{hello.protocol_minor}, this controller serves "
            f"{PROTOCOL_MAJOR}.{OLDEST_MINOR} to {PROTOCOL_MAJOR}.{PROTOCOL_MINOR}.",
            hint=f"install edgerig {VERSION} on the device",
        )
    check_count(hello.capabilities, _MAX_CAPABILITIES, "capabilities")


def check_manifest(manifest: Manifest, sha256: str, attempt_id: str) -> None:
    """Checks that a manifest is the one its hash says, and that its files are named safely.

    Raises:
        ProtocolError: it is not.
    """
    if manifest.attempt_id != attempt_id:
        raise ProtocolError("The manifest is of another attempt.")
    if not is_sha256(sha256) or documents.digest(documents.to_json(manifest)) != sha256:
        raise ProtocolError("The manifest does not have the sha256 that was sent with it.")
    check_count(manifest.files, _MAX_FILES, "files of an attempt")
    seen: set[str] = set()
    for file in manifest.files:
        check_path(file.path)
        if not is_sha256(file.sha256) or file.size_bytes < 0:
            raise ProtocolError(f"File {file.path} of the manifest has no valid sha256 and size.")
        if file.path in seen:
            raise ProtocolError(f"File {file.path} stands in the manifest twice.")
        seen.add(file.path)
    if sum(file.size_bytes for file in manifest.files) > ATTEMPT_QUOTA_BYTES:
        raise ProtocolError(f"The files of one attempt have more than {ATTEMPT_QUOTA_BYTES} bytes.")


def check_path(path: str) -> str:
    """Returns a path when it is relative and stays where it begins.

    Raises:
        ProtocolError: absolute, leaving its folder, or not a path of files.
    """
    parts = path.split("/")
    if (
        not path
        or len(path) > _MAX_PATH_CHARS
        or PurePosixPath(path).is_absolute()
        or any(part in ("", ".", "..") for part in parts)
        or any(ord(character) < 32 or character == "\\" for character in path)
    ):
        raise ProtocolError(f"{path[:_TEXT_MAX_CHARS]!r} is not the path of a file of an attempt.")
    return path
