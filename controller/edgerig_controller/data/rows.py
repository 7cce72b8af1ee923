"""Checks a user's own task data, line by line, before any device sees it.

The worker checks the same shape again; here every fault is found while the
person who can mend it is still at the keyboard. Does not know tasks, prompts
or scores, other than that some outputs must be of a set or on a scale.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerig.errors import DataError

FILE_BYTES = 1024 * 1024 * 1024
LINE_BYTES = 16 * 1024 * 1024
PROFILE_ITEMS = 100_000
FAULTS_SHOWN = 20
_ROW_KEYS = ("id", "user", "input", "output", "profile")
_ITEM_KEYS = ("id", "text", "output", "date", "title")

# Says what is wrong with an expected output; '' when nothing is.
OutputCheck = Callable[[str], str]


@dataclass(frozen=True)
class Summary:
    """What a checked file holds."""

    item_count: int
    user_count: int
    # Distinct outputs in sorted order, counted up to `OUTPUTS_KEPT`.
    outputs: tuple[str, ...]
    longest_profile: int


OUTPUTS_KEPT = 10_001


def check(path: Path, output_fault: OutputCheck) -> Summary:
    """Check all lines of a JSON-lines file.

    Raises:
        DataError: the file cannot be read, is too large, holds no items or has
            faults. Up to 20 faults are given, each with line and item id.
    """
    hint = "docs/how-to/own-task.md shows the form of each line"
    seen = _Seen()
    faults: list[str] = []
    fault_count = 0
    try:
        with path.open("rb") as file:
            if path.stat().st_size > FILE_BYTES:
                raise DataError(
                    f"{path} is larger than {FILE_BYTES} bytes", hint="split it into several tasks"
                )
            number = 0
            while line := file.readline(LINE_BYTES + 1):
                number += 1
                found = _line_faults(line, number, seen, output_fault)
                fault_count += len(found)
                faults += found[: FAULTS_SHOWN - len(faults)]
                if len(line) > LINE_BYTES:
                    break
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    if faults:
        more = f"\nand {fault_count - len(faults)} more" if fault_count > len(faults) else ""
        raise DataError(f"{path} has {fault_count} fault(s):\n" + "\n".join(faults) + more, hint=hint)
    if not seen.lines_of_ids:
        raise DataError(f"{path} holds no items", hint=hint)
    return Summary(len(seen.lines_of_ids), len(seen.users), tuple(sorted(seen.outputs)), seen.longest_profile)


class _Seen:
    """What earlier lines held."""

    def __init__(self) -> None:
        self.lines_of_ids: dict[str, int] = {}
        self.users: set[str] = set()
        self.outputs: set[str] = set()
        self.longest_profile = 0


def _line_faults(line: bytes, number: int, seen: _Seen, output_fault: OutputCheck) -> list[str]:
    """Lists the faults of one line and remembers what later lines are checked against."""
    if not line.strip():
        return []
    if len(line) > LINE_BYTES:
        return [f"line {number}: longer than {LINE_BYTES} bytes"]
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return [f"line {number}: not JSON in UTF-8: {error}"]
    if not isinstance(row, dict):
        return [f"line {number}: not a JSON object"]
    item_id = str(row.get("id", ""))[:80]
    named = f"line {number} (item {item_id!r})" if item_id else f"line {number}"
    faults = _text_faults(row, _ROW_KEYS[:4], _ROW_KEYS) + _profile_faults(row.get("profile"))
    if not faults:
        first = seen.lines_of_ids.setdefault(item_id, number)
        if first != number:
            faults.append(f"the id was used before, on line {first}")
        output = _as_text(row["output"])
        if wrong := output_fault(output):
            faults.append(wrong)
        seen.users.add(_as_text(row["user"]))
        seen.longest_profile = max(seen.longest_profile, len(row["profile"]))
        if len(seen.outputs) < OUTPUTS_KEPT:
            seen.outputs.add(output)
    return [f"{named}: {fault}" for fault in faults]


def _text_faults(row: dict[str, Any], needed: tuple[str, ...], known: tuple[str, ...]) -> list[str]:
    faults = [
        f"unknown key `{key[:80]}`; known are {', '.join(known)}" for key in sorted(set(row) - set(known))
    ]
    for key in needed:
        value = row.get(key)
        if key not in row:
            faults.append(f"`{key}` is missing")
        elif isinstance(value, bool) or not isinstance(value, (str, int, float)):
            faults.append(f"`{key}` must be text")
        elif not str(value).strip() and key != "output":
            faults.append(f"`{key}` is empty")
    return faults


def _profile_faults(profile: Any) -> list[str]:
    if not isinstance(profile, list):
        return ["`profile` must be a list; write [] for a user without history"]
    if len(profile) > PROFILE_ITEMS:
        return [f"`profile` has {len(profile)} items; {PROFILE_ITEMS} is the most"]
    faults = []
    for place, entry in enumerate(profile):
        if not isinstance(entry, dict):
            faults.append(f"profile[{place}] is not a JSON object")
            continue
        missing = _text_faults({"date": "", **entry}, ("id", "text", "output"), _ITEM_KEYS)
        faults += [f"profile[{place}]: {fault}" for fault in missing]
        faults += [
            f"profile[{place}]: `{key}` must be text"
            for key in ("date", "title")
            if not isinstance(entry.get(key, ""), (str, int, float))
        ]
    return faults


def _as_text(value: str | int | float) -> str:
    """Reads a number the way the worker does, so that labels made here match there."""
    return f"{value:g}" if isinstance(value, float) else str(value)
