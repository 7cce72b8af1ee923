"""Reads a stored study with everything that guidelines need, also what lies in its task data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgerig_controller.data.blobs import BlobStore, is_sha256
from edgerig_controller.evidence import difficulties
from edgerig_controller.report.data import StudyData

if TYPE_CHECKING:
    from edgerig_controller.home import Home
    from edgerig_controller.store.repository import Repository
    from edgerig_controller.store.rows import StudyRow

# Task data beyond this are not read: counting profiles would take longer than judging.
MOST_BYTES = 256 * 2**20
# The method that claims on users with little history are about.
COLD_START_KIND = "rag-lora"


def stored(home: Home, repository: Repository, study: StudyRow) -> StudyData:
    """Reads a study from the store, and what claims need to know of its task data.

    That is the size of each user's history where a claim on users with little of it could
    be tested, and D2 to D5 where one on difficulty could.
    """
    data = StudyData.load(repository, study)
    kinds = {(cell.factors.get("method") or {}).get("kind") for cell in data.cells}
    sizes: dict[str, dict[str, int]] = {}
    hard: dict[str, dict[str, Any]] = {}
    for name, facts, path in _task_data(home, study):
        if COLD_START_KIND in kinds and (found := histories(path)):
            sizes[name] = found
        kind = str(facts.get("kind", "")).removeprefix("TASK_KIND_").lower()
        if difficulties.asked_for(data) and (measured := difficulties.of_data(kind, path)):
            hard[name] = measured
    return replace(data, histories=sizes, difficulty=hard)


def _task_data(home: Home, study: StudyRow) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
    """Yields the tasks whose data still lie in the data folder and are not too large to be read."""
    tasks: Mapping[str, Any] = study.resolved.get("resolved_tasks") or {}
    blobs = BlobStore(home.blobs_dir)
    for name, facts in tasks.items():
        sha256 = str((facts.get("data") or {}).get("sha256") or "")
        if is_sha256(sha256) and blobs.has(sha256) and blobs.path(sha256).stat().st_size <= MOST_BYTES:
            yield name, facts, blobs.path(sha256)


def histories(path: Path) -> dict[str, int]:
    """Counts the profile items of every user of a task's data; empty where it is too large or damaged."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return {}
        sizes: dict[str, int] = {}
        with path.open("rb") as file:
            for line in file:
                row = json.loads(line)
                user = str(row["user"])
                sizes[user] = max(sizes.get(user, 0), len(row.get("profile") or ()))
        return sizes
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
