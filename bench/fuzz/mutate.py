"""Mutations: of bytes, of messages by their descriptors, and of texts. Pure functions of a random source."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

MAX_BYTES = 1024 * 1024
_INTEGERS = (0, 1, -1, 2, 127, 128, 255, 2**16, 2**31 - 1, -(2**31), 2**32, 2**53, 2**62, 2**63 - 1, -(2**63))
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"), 90.0)
_TEXTS = (
    "", " ", "\0", "../../../etc/passwd", "/etc/passwd", "..", "a/../b", "a\\b", "a\nb", "%s%n", "${HOME}",
    "'; DROP TABLE study; --", "{}", "[]", "null", "-1", "A" * 64, "a" * 64, "0" * 64, "é\u202e\U0001f4a5",
    "x" * 300, "x" * 10_000, "__proto__", "local", "CON", "-----BEGIN CERTIFICATE REQUEST-----\n",
)  # fmt: skip
_BLOWN_UP = 1200


def some_bytes(rng: random.Random) -> bytes:
    """Returns random bytes of a random length, mostly short."""
    return rng.randbytes(int(rng.paretovariate(0.7)) % 4096)


def bytes_of(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Mutates a serialised message without knowing its structure."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(changed) + 1)
        kind = rng.randrange(7)
        if kind == 0 and changed:
            changed[place % len(changed)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[place:place] = some_bytes(rng)[:64]
        elif kind == 2:
            del changed[place : place + rng.randint(1, 16)]
        elif kind == 3:
            changed[place:place] = changed[place : place + rng.randint(1, 64)] * rng.randint(1, 8)
        elif kind == 4:
            other = rng.choice(others)
            cut = rng.randrange(len(other) + 1)
            changed[place:] = other[cut:]
        elif kind == 5:
            del changed[place:]
        else:
            # A varint that does not end, or says a huge length.
            changed[place:place] = b"\xff" * rng.randint(1, 11)
    return bytes(changed[:MAX_BYTES])


def message(rng: random.Random, original: Message, words: Sequence[str]) -> Message:
    """Returns a copy with a few fields set to what no honest peer would say.

    `words` are ids and names that mean something to the receiver.
    """
    changed = type(original)()
    changed.CopyFrom(original)
    for _ in range(rng.randint(1, 3)):
        _change(rng, changed, words, depth=0)
    return changed


def text(rng: random.Random, original: str, words: Sequence[str]) -> str:
    """Mutates a JSON, YAML or other text."""
    changed = original
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(changed) + 1)
        kind = rng.randrange(6)
        if kind == 0:
            changed = changed[:place] + rng.choice((*_TEXTS, *words)) + changed[place:]
        elif kind == 1:
            changed = changed[:place] + changed[place + rng.randint(1, 8) :]
        elif kind == 2:
            changed = (
                changed[:place]
                + chr(rng.choice((0, 34, 39, 58, 91, 93, 123, 125, 0x2028, 0x1F4A5)))
                + changed[place:]
            )
        elif kind == 3:
            changed = changed[:place] + changed[place : place + 40] * rng.randint(2, 50) + changed[place:]
        elif kind == 4:
            changed = changed[:place] + rng.choice("[{(&*!") * rng.randint(1, 500) + changed[place:]
        else:
            changed = changed[:place]
    return changed[:MAX_BYTES]


def _change(rng: random.Random, target: Message, words: Sequence[str], depth: int) -> None:
    fields: Any = target.DESCRIPTOR.fields
    if not fields:
        return
    field = rng.choice(fields)
    if field.message_type is not None and field.message_type.full_name.startswith("google.protobuf."):
        return
    if field.is_repeated:
        _change_repeated(rng, target, field, words, depth)
    elif field.message_type is not None:
        if rng.random() < 0.2:
            target.ClearField(field.name)
        elif depth < 6:
            _change(rng, getattr(target, field.name), words, depth + 1)
    else:
        _assign(target, field, _value(rng, field, words))


def _change_repeated(
    rng: random.Random, target: Message, field: FieldDescriptor, words: Sequence[str], depth: int
) -> None:
    items: Any = getattr(target, field.name)
    kind = rng.randrange(4)
    if kind == 0 and len(items):
        del items[rng.randrange(len(items)) :]
    elif kind == 1 and len(items):
        # One item very often: bounds on counts must hold.
        items.extend([items[rng.randrange(len(items))]] * rng.choice((1, 2, _BLOWN_UP)))
    elif field.message_type is not None:
        item = items.add() if kind == 2 or not len(items) else items[rng.randrange(len(items))]
        if depth < 6:
            _change(rng, item, words, depth + 1)
    else:
        try:
            items.append(_value(rng, field, words))
        except ValueError:
            return


def _assign(target: Message, field: FieldDescriptor, value: Any) -> None:
    try:
        setattr(target, field.name, value)
    except (ValueError, TypeError):
        # 64-bit values for 32-bit fields: the library itself refuses them.
        return


def _value(rng: random.Random, field: FieldDescriptor, words: Sequence[str]) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice((*_TEXTS, *words))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rng.randbytes(rng.choice((0, 1, 100, 4096)))
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return rng.choice(_FLOATS)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return rng.choice((0, 1, 2, 3, 4, 99, -1))
    return rng.choice(_INTEGERS)
