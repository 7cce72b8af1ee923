"""Reads a stored study with everything that guidelines need, also what lies in its task data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgerig_controller.data.blobs import BlobStore, is_sha256
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
    """Reads a study from the store, and the histories of its users where a claim asks for them."""
    data = StudyData.load(repository, study)
    if not any((cell.factors.get("method") or {}).get("kind") == COLD_START_KIND for cell in data.cells):
        return data
    tasks: Mapping[str, Any] = study.resolved.get("resolved_tasks") or {}
    found = {}
    for name, facts in tasks.items():
        sha256 = str((facts.get("data") or {}).get("sha256") or "")
        blobs = BlobStore(home.blobs_dir)
        if is_sha256(sha256) and blobs.has(sha256):
            found[name] = histories(blobs.path(sha256))
    return replace(data, histories={name: sizes for name, sizes in found.items() if sizes})


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
