"""Results as tables for other programs: Parquet, CSV or JSON lines.

Three tables, and the study itself as `study.json` (registration, cells, trials,
devices), so that guidelines can be derived from the folder alone. `attempts`
has a row for every attempt and one for every trial that has none yet (status
`not_run`): what failed is never dropped. `measurements` and `scores` belong to
attempts by `attempt_id`. Every row repeats study and factors, so that each file
can be read alone. Rows that answer the study carry `canonical` true.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from edgerig.errors import StorageError
from edgerig_controller.report.data import StudyData, factor_words, protocol

Format = Literal["parquet", "csv", "jsonl"]
FORMATS: tuple[Format, ...] = ("parquet", "csv", "jsonl")
STUDY_NAME = "study.json"
EXPORT_VERSION = 1
Kind = Literal["text", "integer", "number", "flag", "list"]


@dataclass(frozen=True)
class Column:
    """A column of an export: its name (with the unit), type and meaning."""

    name: str
    kind: Kind
    meaning: str


@dataclass(frozen=True)
class ExportedTable:
    """A table that was written."""

    table: str
    path: Path
    row_count: int


STUDY_COLUMNS = (
    Column("study_id", "text", "Study: first 12 characters of its digest."),
    Column("study", "text", "Name of the study."),
    Column("protocol", "text", "Measuring protocol: quick, standard, publishable. Never pool them."),
    Column("attempt_id", "text", "Attempt; empty in the row of a trial that has none."),
    Column("cell", "text", "Cell, by its label in the study."),
    Column("cell_index", "integer", "Number of the cell in the study, from 0."),
    Column("task", "text", "Factor task."),
    Column("model", "text", "Factor model."),
    Column("method", "text", "Factor method with its parameters."),
    Column("compression", "text", "Factor compression with its parameters."),
    Column("factors_json", "text", "All factors as JSON."),
    Column("seed", "integer", "Seed of the trial."),
    Column("repeat", "integer", "Repeat of the cell and seed, from 1."),
)
ATTEMPT_COLUMNS = (
    *STUDY_COLUMNS,
    Column("trial_id", "text", "Trial that the attempt answers."),
    Column("device_id", "text", "Device that ran it."),
    Column("status", "text", "ok, failed, invalid or not_run."),
    Column("state", "text", "State of the attempt's lease, for example committed; empty without attempt."),
    Column("epoch", "integer", "Which attempt of its trial it is, from 1."),
    Column("has_result", "flag", "False for an attempt that still runs, got lost or was never begun."),
    Column("failure_class", "text", "Class of the failure, for example oom_host; empty if ok."),
    Column("failure_phase", "text", "Phase in which it failed."),
    Column("failure_message", "text", "What happened, in words."),
    Column("quality", "number", "Mean item score in [0, 1]; empty when nothing was evaluated."),
    Column("item_count", "integer", "Items that were scored."),
    Column("duration_s", "number", "Wall time of the attempt."),
    Column("canonical", "flag", "True for the attempt whose result counts."),
    Column("reused", "flag", "True when the result was measured for an earlier study."),
    Column("created_unix_s", "number", "Start of the lease."),
    Column("ended_unix_s", "number", "End of the attempt."),
    Column("environment_digest", "text", "Hardware and software environment; equal = comparable."),
    Column("flags", "list", "Flags of the whole attempt."),
    Column("worker_json", "text", "What the worker found itself to be, as JSON."),
    Column("last_available_bytes", "integer", "Last MemAvailable seen, for runs out of memory."),
    Column("last_rss_bytes", "integer", "Last resident set of the worker seen."),
)
MEASUREMENT_COLUMNS = (
    *STUDY_COLUMNS,
    Column("device_id", "text", "Device that ran it."),
    Column("canonical", "flag", "True for the attempt whose result counts."),
    Column("name", "text", "Figure; its unit is in the name (SI)."),
    Column("phase", "text", "Phase it belongs to; empty = whole attempt."),
    Column("statistic", "text", "mean, p50, sum, peak, ratio ..."),
    Column("value", "number", "The figure; empty when unavailable."),
    Column("unavailable_reason", "text", "Why there is no value."),
    Column("low", "number", "Lower end of the interval within the attempt."),
    Column("high", "number", "Upper end of the interval within the attempt."),
    Column("interval_kind", "text", "What kind of interval low and high are."),
    Column("boundary", "text", "What a power figure covers. Never average over boundaries."),
    Column("source", "text", "Sensor or program that the figure comes from."),
    Column("measured_by", "text", "How it was measured."),
    Column("sample_count", "integer", "Samples or requests behind it."),
    Column("effective_rate_hz", "number", "Sampling rate that was reached."),
    Column("coverage", "number", "Share of the window that samples cover."),
    Column("flags", "list", "indicative, self_disturbed, low_coverage ..."),
)
SCORE_COLUMNS = (
    *STUDY_COLUMNS,
    Column("device_id", "text", "Device that ran it."),
    Column("canonical", "flag", "True for the attempt whose result counts."),
    Column("user_id", "text", "User whose item it is."),
    Column("item_id", "text", "Item of the task; the same for all cells of a task."),
    Column("score", "number", "Score in [0, 1], larger is better."),
    Column("output", "text", "What the model answered."),
    Column("expected", "text", "What was right."),
    Column("retrieved_count", "integer", "Profile items in the prompt."),
    Column("truncated", "flag", "True when the prompt was cut."),
    Column("tokens_in", "integer", "Tokens of the prompt."),
)
TABLES: dict[str, tuple[Column, ...]] = {
    "attempts": ATTEMPT_COLUMNS,
    "measurements": MEASUREMENT_COLUMNS,
    "scores": SCORE_COLUMNS,
}


def export(data: StudyData, to: Format, folder: Path) -> list[ExportedTable]:
    """Writes the three tables of a study into a folder, replacing older ones.

    Raises:
        StorageError: the folder cannot be written.
    """
    rows: dict[str, Callable[[StudyData], Iterator[dict[str, Any]]]] = {
        "attempts": _attempts,
        "measurements": _measurements,
        "scores": _scores,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_study(data, folder / STUDY_NAME)
        return [
            _write_table(name, columns, rows[name](data), to, folder / f"{name}.{to}")
            for name, columns in TABLES.items()
        ]
    except OSError as error:
        raise StorageError(
            f"the export cannot be written to {folder}: {error.strerror}",
            hint="free some space, or choose another folder with --out",
        ) from error


def _write_study(data: StudyData, path: Path) -> None:
    """Writes what the tables cannot hold: the registration, and cells and trials that never ran."""
    document = {
        "edgerig_export": EXPORT_VERSION,
        "study": asdict(data.study),
        "cells": [asdict(row) for row in data.cells],
        "trials": [asdict(row) for row in data.trials],
        "devices": [asdict(row) for row in data.devices],
        "points": [asdict(row) for row in data.points],
        "histories": {name: dict(sizes) for name, sizes in data.histories.items()},
        "difficulty": {name: dict(found) for name, found in data.difficulty.items()},
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _attempts(data: StudyData) -> Iterator[dict[str, Any]]:
    shared = _Shared(data)
    for row in data.attempts:
        facts = asdict(row)
        facts["worker_json"] = _json(facts.pop("worker"))
        # An attempt that still runs or got lost has no status of its own.
        facts["has_result"] = bool(row.status)
        facts["status"] = row.status or "not_run"
        yield {**shared.of(row.cell_index), **facts}
    with_attempt = {row.trial_id for row in data.attempts}
    for trial in data.trials:
        if trial.trial_id not in with_attempt:
            yield {
                **shared.of(trial.cell_index),
                "attempt_id": "",
                "trial_id": trial.trial_id,
                "seed": trial.seed,
                "repeat": trial.repeat,
                "status": "not_run",
                "state": "",
                "has_result": False,
                "canonical": False,
                "reused": False,
                "item_count": 0,
                "flags": [],
            }


def _measurements(data: StudyData) -> Iterator[dict[str, Any]]:
    shared = _Shared(data)
    for row in data.measurements:
        facts = asdict(row)
        facts["measured_by"] = facts.pop("method")
        yield {**facts, **shared.of(row.cell_index), **shared.attempt(row.attempt_id)}


def _scores(data: StudyData) -> Iterator[dict[str, Any]]:
    shared = _Shared(data)
    for row in data.scores:
        yield {**asdict(row), **shared.of(row.cell_index), **shared.attempt(row.attempt_id)}


class _Shared:
    """The columns that every row repeats, made once per cell and attempt."""

    def __init__(self, data: StudyData) -> None:
        study = data.study
        self._cells: dict[int, dict[str, Any]] = {
            cell.cell_index: {
                "study_id": study.study_id,
                "study": study.name,
                "protocol": protocol(study),
                "cell": cell.label,
                "cell_index": cell.cell_index,
                "factors_json": _json(cell.factors),
                **{
                    name: factor_words(cell.factors.get(name, ""))
                    for name in ("task", "model", "method", "compression")
                },
            }
            for cell in data.cells
        }
        self._attempts = {
            row.attempt_id: {"device_id": row.device_id, "canonical": row.canonical} for row in data.attempts
        }

    def of(self, cell_index: int) -> Mapping[str, Any]:
        return self._cells[cell_index]

    def attempt(self, attempt_id: str) -> Mapping[str, Any]:
        return self._attempts.get(attempt_id, {})


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _write_table(
    name: str, columns: tuple[Column, ...], rows: Iterator[dict[str, Any]], to: Format, path: Path
) -> ExportedTable:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    writers = {"parquet": _write_parquet, "csv": _write_csv, "jsonl": _write_jsonl}
    kept = ({column.name: row.get(column.name) for column in columns} for row in rows)
    try:
        count = writers[to](temporary, columns, kept)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return ExportedTable(name, path, count)


def _write_jsonl(path: Path, columns: tuple[Column, ...], rows: Iterable[dict[str, Any]]) -> int:
    del columns
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for count, row in enumerate(rows, start=1):  # noqa: B007 - counts the lines
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return count


def _write_csv(path: Path, columns: tuple[Column, ...], rows: Iterable[dict[str, Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [column.name for column in columns])
        writer.writeheader()
        for count, row in enumerate(rows, start=1):  # noqa: B007 - counts the lines
            writer.writerow({name: _csv_cell(value) for name, value in row.items()})
    return count


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ";".join(value) if isinstance(value, list) else value


def _write_parquet(path: Path, columns: tuple[Column, ...], rows: Iterable[dict[str, Any]]) -> int:
    # pyarrow takes half a second to import: only this format pays for it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "flag": pa.bool_(),
        "list": pa.list_(pa.string()),
    }
    schema = pa.schema(
        [
            pa.field(column.name, kinds[column.kind], metadata={"description": column.meaning})
            for column in columns
        ]
    )
    table = pa.Table.from_pylist(list(rows), schema=schema)
    pq.write_table(table, path, compression="zstd")
    return int(table.num_rows)
