"""How hard tasks are, as `edgerig task difficulty --json` measured it, or as a person wrote it down.

Two shapes are read: the document of that command, and {TASK: {D1: number, ...}}.
The first also says on which users difficulty was measured: contrasts that it is
to explain are then taken on the others, because regression to the mean would
make an inverted U of nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerig.errors import DataError

MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Hardness:
    """D1 to D5 of a task, as far as known, and the users that they were measured on."""

    measures: Mapping[str, float]
    development_users: tuple[str, ...] = ()
    # Quality of the best answer that is the same for all, on these users; D1 needs it.
    chance: float | None = None
    # The model whose zero-shot quality D1 rests on; '' = not known, or no D1.
    reference: str = ""


def read(path: Path) -> dict[str, Hardness]:
    """Reads a file of difficulties.

    Raises:
        DataError: it is not there, too large, or of neither shape.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} is larger than {MOST_BYTES >> 20} MiB; that is no file of difficulties")
        return parse(json.loads(path.read_bytes()))
    except (OSError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} holds no difficulties: {error}", hint="edgerig task difficulty TASK --json > FILE"
        ) from error


def parse(document: Any) -> dict[str, Hardness]:
    """Reads either shape.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: it is neither.
    """
    if isinstance(document.get("tasks"), list):
        return {str(entry["task"]): _of_command(entry) for entry in document["tasks"]}
    return {str(task): Hardness(_numbers(measures)) for task, measures in document.items()}


def recorded(document: Mapping[str, Mapping[str, Any]]) -> dict[str, Hardness]:
    """Returns the difficulties that a guideline was judged with."""
    return {
        str(task): Hardness(
            _numbers(entry["measures"]),
            tuple(map(str, entry["development_users"])),
            None if entry.get("chance") is None else float(entry["chance"]),
            str(entry.get("reference") or ""),
        )
        for task, entry in document.items()
    }


def _of_command(entry: Mapping[str, Any]) -> Hardness:
    known = {name: found["value"] for name, found in entry["measures"].items() if found["value"] is not None}
    return Hardness(_numbers(known), tuple(map(str, entry["development_users"])))


def _numbers(measures: Mapping[str, Any]) -> dict[str, float]:
    found = {str(name): float(value) for name, value in measures.items()}
    wrong = [name for name, value in found.items() if not math.isfinite(value)]
    if wrong:
        raise ValueError(f"{wrong[0]} is no finite number")
    return found
