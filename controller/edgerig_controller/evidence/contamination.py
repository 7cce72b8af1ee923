"""Asks the workload whether the models of a study know its test answers, and keeps what it said.

The probe runs in an interpreter with torch (`python -m edgerig_workload.contamination`), one
process per model and task, on this machine: it says something of a model and a task, and
nothing of a device. What cannot be probed is a row with its reason. The file beside the
study's report is input like any other when it is read back.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

from edgerig.errors import DataError, DeviceError, EdgerigError, ProtocolError, StorageError
from edgerig_controller.data import models
from edgerig_controller.data.blobs import BlobStore, is_sha256
from edgerig_controller.guidelines.contamination import Contamination, ItemLosses, State, probe
from edgerig_controller.guidelines.estimate import MeanEstimate, mean_interval
from edgerig_controller.report.data import StudyData

SCHEMA_VERSION = 1
FILE_NAME = "contamination.json"
MOST_BYTES = 16 * 2**20
MOST_ANSWER_BYTES = 256 * 2**20
MOST_SECONDS = 3600.0
ITEMS = 200
# Carries out one request on a model's folder and a data file; returns the document that it printed.
Ask = Callable[[Path, Path, Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Wanted:
    """One model on one task of a study."""

    model: str
    task: str


def wanted(data: StudyData) -> list[Wanted]:
    """Lists the models and tasks that a study brings together, each pair once."""
    pairs = {(str(cell.factors.get("model", "")), str(cell.factors.get("task", ""))) for cell in data.cells}
    return [Wanted(model, task) for model, task in sorted(pairs) if model and task]


def probed(
    data: StudyData,
    blobs_dir: Path,
    folder: Path,
    *,
    items: int = ITEMS,
    seed: int = 1,
    ask: Ask | None = None,
    offline: bool = False,
    heard: Callable[[Contamination], None] | None = None,
) -> list[Contamination]:
    """Probes every model on every task of a study.

    Args:
        data: the study.
        blobs_dir: where the task data lie, by sha256.
        folder: that relative paths of models are meant from.
        items: the most per task.
        seed: of the choice of users and of other answers.
        ask: another way to carry out a request.
        offline: fetch nothing from the hub.
        heard: is told every row as it comes.
    """
    tasks: Mapping[str, Any] = data.study.resolved.get("resolved_tasks") or {}
    found = []
    for pair in wanted(data):
        try:
            place = _folder_of(pair.model, folder, offline)
            request = {"task": tasks.get(pair.task) or {}, "items": items, "seed": seed}
            answer = (ask or asked)(place, _data_of(tasks, pair.task, blobs_dir), request)
            row = probe(pair.model, pair.task, _losses(answer))
        except EdgerigError as error:
            row = _unknown(pair, error.message)
        if heard is not None:
            heard(row)
        found.append(row)
    return found


def asked(model: Path, data: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Carries out a request in a process of its own.

    Raises:
        DeviceError: the workload is not installed, or failed.
        ProtocolError: its answer is no document.
    """
    command = [sys.executable, "-m", "edgerig_workload.contamination", str(model), str(data)]
    hint = f"{sys.executable} -m pip install 'edgerig[workload,torch]'"
    try:
        # Not in the caller's folder: `-m` would import modules that lie there.
        done = subprocess.run(
            command,
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=MOST_SECONDS,
            check=False,
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"the probe did not run: {error}", hint=hint) from error
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise DeviceError(f"the probe failed: {tail[0] if tail else 'no reason given'}", hint=hint)
    if len(done.stdout) > MOST_ANSWER_BYTES:
        raise ProtocolError(f"the probe's answer is larger than {MOST_ANSWER_BYTES >> 20} MiB")
    try:
        document = json.loads(done.stdout)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the probe's answer is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ProtocolError("the probe's answer is not a JSON object")
    return document


def _folder_of(model: str, folder: Path, offline: bool) -> Path:
    found = models.find(model, folder=folder, offline=offline)
    if found.device_path:
        raise DataError(f"{model} lies on a device only; the probe needs it on this machine")
    config = next((path for name, path in found.files if name == "config.json"), None)
    if config is None:
        raise DataError(f"{model} has no config.json")
    return config.parent


def _data_of(tasks: Mapping[str, Any], task: str, blobs_dir: Path) -> Path:
    sha256 = str(((tasks.get(task) or {}).get("data") or {}).get("sha256") or "")
    store = BlobStore(blobs_dir)
    if not is_sha256(sha256) or not store.has(sha256):
        raise DataError(f"the data of {task} are not in the data folder any more")
    return store.path(sha256)


def _losses(document: Mapping[str, Any]) -> list[ItemLosses]:
    try:
        return [
            ItemLosses(
                user_id=str(row["user_id"]),
                own=float(row["own"]),
                other=float(row["other"]),
                own_k=float(row["own_k"]),
                other_k=float(row["other_k"]),
                own_reordered=_maybe(row["own_reordered"]),
                other_reordered=_maybe(row["other_reordered"]),
            )
            for row in document["losses"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"the probe's answer is not usable: {error}") from error


def _maybe(value: Any) -> float | None:
    return None if value is None else float(value)


def _unknown(pair: Wanted, reason: str) -> Contamination:
    nothing = mean_interval([])
    return Contamination(pair.model, pair.task, "unknown", nothing, nothing, None, 0, reason)


def write(path: Path, found: Sequence[Contamination], *, now_unix_s: float) -> None:
    """Writes the rows of a study beside its report.

    Raises:
        StorageError: the folder cannot be written.
    """
    document = {
        "edgerig_contamination": SCHEMA_VERSION,
        "written_unix_s": now_unix_s,
        "rows": [asdict(row) for row in found],
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror}", hint="free some space, or choose --out"
        ) from error


def read(path: Path) -> list[Contamination]:
    """Reads what `write` wrote.

    Raises:
        DataError: it is not there, too large, or something else.
    """
    hint = "edgerig task contamination STUDY --out FILE"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} is larger than {MOST_BYTES >> 20} MiB", hint=hint)
        document = json.loads(path.read_bytes())
        if document["edgerig_contamination"] != SCHEMA_VERSION:
            raise ValueError("another version")
        return [_row(entry) for entry in document["rows"]]
    except (OSError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint=hint) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} holds no results of the contamination probe: {error}", hint=hint) from error


def _row(entry: Mapping[str, Any]) -> Contamination:
    if entry["state"] not in get_args(State):
        raise ValueError(f"the state {entry['state']!r} is unknown")
    figures = {
        name: None if entry[name] is None else replace(mean_interval([]), **entry[name])
        for name in ("gap", "gap_k", "wording")
    }
    for found in figures.values():
        if found is not None and not all(
            value is None or isinstance(value, (int, float))
            for value in (found.estimate, found.low, found.high)
        ):
            raise ValueError("an interval is not of numbers")
    gap, gap_k = figures["gap"], figures["gap_k"]
    if not isinstance(gap, MeanEstimate) or not isinstance(gap_k, MeanEstimate):
        raise ValueError("a difference is missing")
    return Contamination(
        model=str(entry["model"]),
        task=str(entry["task"]),
        state=entry["state"],
        gap=gap,
        gap_k=gap_k,
        wording=figures["wording"],
        n_items=int(entry["n_items"]),
        reason=str(entry["reason"]),
    )
