"""Task data: reads the questions of many users, each with a profile, from JSON lines.

Checks shape and size and nothing else: it does not know what a task asks or
how an answer is scored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LINE_BYTES = 64 * 1024 * 1024
PROFILE_ITEMS = 100_000
FAULTS_SHOWN = 20


class DataFault(Exception):  # noqa: N818 - it names what is wrong with the data
    """Task data that cannot be used; the message has a line for every fault found."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True)
class ProfileItem:
    """One thing that a user wrote before: a text and what the user made of it."""

    id: str
    text: str
    output: str
    date: str = ""
    # A heading that is searched and not shown.
    title: str = ""


@dataclass(frozen=True)
class Item:
    """One question of one user with the expected output."""

    id: str
    user: str
    input: str
    output: str
    profile: tuple[ProfileItem, ...]


def load(path: Path) -> list[Item]:
    """Read all items of a JSON-lines file; blank lines are skipped.

    Raises:
        DataFault: the file cannot be read, is empty or has faulty lines. The
            first 20 faults are given, each with its line and the item's id.
    """
    items: list[Item] = []
    faults: list[str] = []
    # Questions of one user repeat the profile: each of its items is held once.
    seen: dict[ProfileItem, ProfileItem] = {}
    lines_of_ids: dict[str, int] = {}
    for number, line in _lines(path):
        try:
            item = _item(line, seen)
        except _LineFault as fault:
            faults.append(f"line {number}{_named(fault.item_id)}: {fault}")
            continue
        first = lines_of_ids.setdefault(item.id, number)
        if first != number:
            faults.append(f"line {number}{_named(item.id)}: the id was used before, on line {first}")
            continue
        items.append(item)
    if faults:
        raise DataFault(_summary(path, faults))
    if not items:
        raise DataFault(f"{path.name} holds no items; one JSON object a line is expected")
    return items


class _LineFault(Exception):  # noqa: N818 - private twin of DataFault
    def __init__(self, message: str, item_id: str = "") -> None:
        super().__init__(message)
        self.item_id = item_id


def _named(item_id: str) -> str:
    return f" (item {item_id!r})" if item_id else ""


def _summary(path: Path, faults: list[str]) -> str:
    shown = faults[:FAULTS_SHOWN]
    hidden = len(faults) - len(shown)
    tail = [f"and {hidden} more"] if hidden else []
    return "\n".join([f"{path.name} has {len(faults)} faulty line(s)", *shown, *tail])


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields numbered lines and never holds more than one of them."""
    try:
        with path.open("rb") as stream:
            number = 0
            while line := stream.readline(LINE_BYTES + 1):
                number += 1
                if len(line) > LINE_BYTES:
                    raise DataFault(f"{path.name} line {number} is longer than {LINE_BYTES} bytes")
                if line.strip():
                    yield number, line
    except OSError as error:
        raise DataFault(f"{path.name} cannot be read: {error.strerror}") from error


def _item(line: bytes, seen: dict[ProfileItem, ProfileItem]) -> Item:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _LineFault(f"not JSON in UTF-8: {error}") from error
    if not isinstance(row, dict):
        raise _LineFault("not a JSON object")
    item_id = _text(row, "id", "")
    if not item_id:
        raise _LineFault("`id` is empty")
    _only(row, {"id", "user", "input", "output", "profile"}, item_id)
    profile = row.get("profile")
    if not isinstance(profile, list):
        raise _LineFault("`profile` must be a list", item_id)
    if len(profile) > PROFILE_ITEMS:
        raise _LineFault(f"`profile` has {len(profile)} items; {PROFILE_ITEMS} is the most", item_id)
    user, question = _text(row, "user", item_id), _text(row, "input", item_id)
    for key, value in (("user", user), ("input", question)):
        if not value.strip():
            raise _LineFault(f"`{key}` is empty", item_id)
    return Item(
        id=item_id,
        user=user,
        input=question,
        output=_text(row, "output", item_id),
        profile=tuple(
            _shared(_profile_item(entry, place, item_id), seen) for place, entry in enumerate(profile)
        ),
    )


def _shared(entry: ProfileItem, seen: dict[ProfileItem, ProfileItem]) -> ProfileItem:
    return seen.setdefault(entry, entry)


def _profile_item(entry: Any, place: int, item_id: str) -> ProfileItem:
    where = f"profile[{place}]"
    if not isinstance(entry, dict):
        raise _LineFault(f"{where} is not a JSON object", item_id)
    _only(entry, {"id", "text", "output", "date", "title"}, item_id, where)
    return ProfileItem(
        id=_text(entry, "id", item_id, where),
        text=_text(entry, "text", item_id, where),
        output=_text(entry, "output", item_id, where),
        date=_text({"date": "", **entry}, "date", item_id, where),
        title=_text({"title": "", **entry}, "title", item_id, where),
    )


def _only(row: dict[str, Any], known: set[str], item_id: str, where: str = "") -> None:
    unknown = sorted(set(row) - known)
    if unknown:
        place = f"{where}: " if where else ""
        names = ", ".join(f"`{name}`" for name in unknown)
        raise _LineFault(f"{place}unknown key(s) {names}; known are {', '.join(sorted(known))}", item_id)


def _text(row: dict[str, Any], key: str, item_id: str, where: str = "") -> str:
    place = f"{where}: " if where else ""
    if key not in row:
        raise _LineFault(f"{place}`{key}` is missing", item_id)
    value = row[key]
    # A score or an id may stand as a number; anything else would hide a mistake.
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _LineFault(f"{place}`{key}` must be text", item_id)
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
