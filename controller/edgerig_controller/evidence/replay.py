"""Recomputes guidelines from their records and says, field by field, what is not the same.

Bit for bit: numbers are compared as the JSON documents hold them, without a
tolerance. The code that judged is reported and not compared: that another
version finds the same is what a replay is to show.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgerig.errors import DataError, NotFoundError, UsageError
from edgerig_controller.evidence.hardness import Hardness, recorded
from edgerig_controller.evidence.judge import Guide, as_document
from edgerig_controller.guidelines.utility import Utility

MOST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Difference:
    """One field that the recomputed guideline has otherwise; `place` is dotted."""

    place: str
    recorded: Any
    recomputed: Any


@dataclass(frozen=True)
class Replayed:
    """What became of one guideline."""

    family: str
    claim_id: str
    verdict: str
    differences: tuple[Difference, ...]
    # Parts of the code that are not those which judged first.
    other_code: tuple[Difference, ...]

    @property
    def identical(self) -> bool:
        """Tells whether every compared field is the same."""
        return not self.differences


def read(path: Path) -> list[dict[str, Any]]:
    """Reads the guidelines of guidelines.json, or of a file that holds one guideline.

    Raises:
        NotFoundError: there is no such file.
        DataError: it holds no guideline of this version.
    """
    found: list[dict[str, Any]] = whole(path)["guidelines"]
    return found


def whole(path: Path) -> dict[str, Any]:
    """Reads guidelines.json with everything in it; a file of one guideline is a document of one.

    Raises:
        NotFoundError: there is no such file.
        DataError: it holds no guideline of this version.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} is larger than {MOST_BYTES >> 20} MiB; that is no list of guidelines")
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}", hint="edgerig guide STUDY") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="edgerig guide STUDY") from error
    entries = document.get("guidelines") if isinstance(document, dict) else None
    found = entries if isinstance(entries, list) else [document]
    if not found or not all(_is_guideline(entry) for entry in found):
        raise DataError(f"{path} holds no guideline of version 1", hint="edgerig guide STUDY")
    return {**document, "guidelines": found}


def utility_of(document: Mapping[str, Any]) -> Utility:
    """Returns the limits and prices that fronts and the rule of a document kept to.

    Raises:
        DataError: they are not as a document holds them.
    """
    given = {key: value for key, value in (document.get("utility") or {}).items() if key != "words"}
    try:
        known = {key: None if value is None else float(value) for key, value in given.items()}
        return replace(Utility(), **known)  # type: ignore[arg-type]
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"the limits of the guidelines cannot be read: {error}") from error


def _is_guideline(entry: Any) -> bool:
    if not isinstance(entry, dict) or entry.get("guideline") != 1:
        return False
    origin = entry.get("origin")
    if not isinstance(origin, dict) or not isinstance(origin.get("studies"), list):
        return False
    named = all(
        isinstance(study, dict) and isinstance(study.get("digest"), str) for study in origin["studies"]
    )
    return bool(origin["studies"]) and named and isinstance(entry.get("claim_id"), str)


def studies_of(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, str]]:
    """Returns the studies that all guidelines of a file were derived from.

    Raises:
        UsageError: they come from different studies; one evidence cannot replay them.
    """
    first = entries[0]["origin"]["studies"]
    if any(entry["origin"]["studies"] != first for entry in entries):
        raise UsageError(
            "the guidelines of this file come from different studies", hint="replay one guideline a time"
        )
    return list(first)


def difficulty_of(entries: Sequence[Mapping[str, Any]]) -> dict[str, Hardness]:
    """Returns the difficulties that the guidelines were judged with.

    Raises:
        DataError: they are not as a guideline holds them.
    """
    try:
        return recorded(entries[0]["origin"].get("difficulty") or {})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"the difficulties of the guidelines cannot be read: {error}") from error


def compare(entries: Sequence[Mapping[str, Any]], guide: Guide) -> list[Replayed]:
    """Compares recorded guidelines with those of a recomputed guide, in the file's order."""
    again = {(found.origin.family, found.claim_id): as_document(found) for found in guide.guidelines}
    return [_compared(entry, again) for entry in entries]


def _compared(entry: Mapping[str, Any], again: Mapping[tuple[str, str], Mapping[str, Any]]) -> Replayed:
    family, claim_id = str(entry["origin"].get("family", "")), str(entry["claim_id"])
    verdict = str(entry.get("verdict", ""))
    fresh = again.get((family, claim_id))
    if fresh is None:
        gone = Difference("", "a guideline", "the studies have no such claim")
        return Replayed(family, claim_id, verdict, (gone,), ())
    differences = list(_differences("", entry, fresh))
    other = tuple(row for row in differences if row.place.startswith("origin.code."))
    kept = tuple(row for row in differences if row not in other)
    return Replayed(family, claim_id, verdict, kept, other)


def _differences(place: str, recorded: Any, recomputed: Any) -> list[Difference]:
    if isinstance(recorded, Mapping) and isinstance(recomputed, Mapping):
        return [
            row
            for key in sorted({*recorded, *recomputed})
            for row in _differences(f"{place}.{key}".lstrip("."), recorded.get(key), recomputed.get(key))
        ]
    # 1 and 1.0 are one number in JSON; true and 1 are not one value.
    same = recorded == recomputed and isinstance(recorded, bool) == isinstance(recomputed, bool)
    return [] if same else [Difference(place, recorded, recomputed)]
