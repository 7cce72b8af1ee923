"""Takes users and their latest history out of files of LaMP, as task data; the files were checked before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgerig.errors import DataError
from edgerig_controller.data.json_stream import Stream
from edgerig_controller.data.lamp import Findings, date_of, read_golds, text_of, user_of
from edgerig_controller.data.lamp_shapes import SHAPES, Files, Shape


def rows(
    files: Files, name: str, users: Collection[str] | None, history: int | None
) -> Iterator[dict[str, Any]]:
    """Yield the questions of some users as task data, each with the latest items of its profile.

    Args:
        files: must be sound but for empty histories.
        name: the task.
        users: whose questions; None = all.
        history: profile items to keep of each, the latest; None = all.
    """
    shape = SHAPES[name]
    golds = read_golds(files.outputs, name, Findings())
    for record in Stream(files.questions):
        value = record.value
        user = user_of(value)
        if users is not None and user not in users:
            continue
        item_id = str(value["id"])
        profile = bydate_of(value["profile"])
        kept = profile if history is None else profile[max(0, len(profile) - history) :]
        yield {
            "id": item_id,
            "user": user,
            "input": value["input"],
            "output": golds[item_id][1],
            "profile": [_entry(entry, shape) for entry in kept],
        }


def chosen_users(users: Collection[str], count: int, seed: int) -> frozenset[str]:
    """Return `count` of the users, the same ones in whatever order they come.

    A larger count keeps those of a smaller one.
    """

    def drawn(user: str) -> bytes:
        return hashlib.sha256(f"{seed}/{user}".encode()).digest()

    return frozenset(sorted(users, key=drawn)[:count])


def bydate_of(profile: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Order a profile from old to new; where an item has no date it keeps the order of its file."""
    dates = [date_of(entry.get("date")) for entry in profile]
    if any(date is None for date in dates):
        return profile
    order = sorted(range(len(profile)), key=lambda place: (dates[place] or (), place))
    return [profile[place] for place in order]


def write(rows_made: Iterator[dict[str, Any]], path: Path) -> int:
    """Write task data as JSON lines and return how many.

    Raises:
        DataError: the file cannot be written.
    """
    count = 0
    try:
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            for row in rows_made:
                stream.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
                count += 1
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}", hint=f"df -h {path.parent}") from error
    return count


def _entry(entry: Mapping[str, Any], shape: Shape) -> dict[str, str]:
    made = {
        "id": str(entry["id"]),
        "text": str(entry[shape.text]),
        "output": text_of(entry[shape.output]) if shape.output else "",
    }
    if shape.title:
        made["title"] = str(entry[shape.title])
    if "date" in entry:
        made["date"] = str(entry["date"])
    return made
