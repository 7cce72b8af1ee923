"""Messages as JSON documents: the one schema for wire, disk and worker pipe.

Parsing the proto3 JSON form without ignoring unknown fields is the validator.
Canonical bytes (sorted keys, no spaces) are what digests are taken of.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from edgerig.errors import ProtocolError

M = TypeVar("M", bound=Message)


def to_json(message: Message) -> dict[str, Any]:
    """Returns the proto3 JSON form with the field names of the .proto files.

    Whole numbers are integers in it: protobuf releases differ in whether the
    number 8 of a Struct reads 8 or 8.0, and digests must not.
    """
    document: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    whole: dict[str, Any] = _whole_numbers(document)
    return whole


def from_json(text: str | bytes, into: M, *, what: str) -> M:
    """Parses a JSON document into `into` and returns it.

    Raises:
        ProtocolError: not JSON, an unknown field, or a value of the wrong type.
    """
    try:
        return json_format.Parse(text, into)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"{what} is not a valid {into.DESCRIPTOR.name}: {error}") from error


def canonical_bytes(document: Any) -> bytes:
    """Returns the bytes that digests are taken of: sorted keys, no spaces, UTF-8."""
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(document: Any) -> str:
    """Returns the lower-case hexadecimal sha256 of the canonical bytes."""
    return hashlib.sha256(canonical_bytes(document)).hexdigest()


def _whole_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
