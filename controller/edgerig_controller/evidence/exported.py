"""Reads a folder that `edgerig export --to parquet` wrote back into rows.

The folder is input from outside: sizes are bounded, every column and field is
checked, and all that is wrong with it is said at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from edgerig.errors import DataError, NotFoundError
from edgerig_controller.export import EXPORT_VERSION, STUDY_NAME, TABLES
from edgerig_controller.report.data import DeviceSummary, StudyData
from edgerig_controller.store.rows import (
    AttemptRow,
    CellRow,
    MeasurementRow,
    PointRow,
    ScoreRow,
    StudyRow,
    TrialRow,
)

MOST_STUDY_BYTES = 512 * 2**20
MOST_ROWS = 20_000_000
Row = TypeVar("Row")


def find(folder: Path) -> list[Path]:
    """Returns the exports in a folder: itself, or its subfolders, in the order of their names.

    Raises:
        NotFoundError: there is none.
    """
    if (folder / STUDY_NAME).is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{STUDY_NAME}")) if folder.is_dir() else []
    if not found:
        raise NotFoundError(
            f"{folder} holds no export of a study (no {STUDY_NAME})",
            hint=f"edgerig export STUDY --to parquet --out {folder}",
        )
    return found


def read(folder: Path) -> StudyData:
    """Reads one export.

    Raises:
        DataError: a file is missing, damaged, too large, or of another version.
    """
    problems: list[str] = []
    document = _document(folder / STUDY_NAME, problems)
    rows = {name: _table(folder / f"{name}.parquet", name, problems) for name in TABLES}
    if problems:
        raise DataError(
            f"{folder} is not a usable export: " + "; ".join(problems),
            hint=f"edgerig export STUDY --to parquet --out {folder}",
        )
    try:
        return _data(document, rows)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise DataError(
            f"{folder} is not a usable export: {STUDY_NAME} and the tables do not fit together ({error})",
            hint=f"edgerig export STUDY --to parquet --out {folder}",
        ) from error


def _document(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_STUDY_BYTES:
            problems.append(f"{path.name} is larger than {MOST_STUDY_BYTES >> 20} MiB")
            return {}
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} cannot be read: {error}")
        return {}
    if not isinstance(document, dict) or document.get("edgerig_export") != EXPORT_VERSION:
        problems.append(f"{path.name} is not of version {EXPORT_VERSION} of the export")
        return {}
    return document


def _table(path: Path, name: str, problems: list[str]) -> list[dict[str, Any]]:
    # pyarrow takes half a second to import: only this command pays for it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        lacking = sorted({column.name for column in TABLES[name]} - set(file.schema_arrow.names))
        if lacking:
            problems.append(f"{path.name} lacks the columns {', '.join(lacking)}")
            return []
        if file.metadata.num_rows > MOST_ROWS:
            problems.append(f"{path.name} has {file.metadata.num_rows} rows; {MOST_ROWS} are the most")
            return []
        rows: list[dict[str, Any]] = file.read(columns=_columns(name)).to_pylist()
        return rows
    except (OSError, pa.ArrowException) as error:
        problems.append(f"{path.name} cannot be read: {error}")
        return []


_READ_AS = {"attempts": AttemptRow, "measurements": MeasurementRow, "scores": ScoreRow}
_RENAMED = {"method": "measured_by", "worker": "worker_json"}


def _columns(name: str) -> list[str]:
    """Lists the columns that make up the rows of a table."""
    known = {column.name for column in TABLES[name]}
    wanted = [_column(name, field.name) for field in fields(_READ_AS[name])]
    extra = ["has_result"] if name == "attempts" else []
    return [*(column for column in wanted if column in known), *extra]


def _column(table: str, field: str) -> str:
    if table == "measurements" and field == "method":
        return _RENAMED["method"]
    return _RENAMED["worker"] if table == "attempts" and field == "worker" else field


def _data(document: Mapping[str, Any], rows: Mapping[str, list[dict[str, Any]]]) -> StudyData:
    return StudyData(
        study=StudyRow(**document["study"]),
        cells=_rows(CellRow, document["cells"]),
        trials=_rows(TrialRow, document["trials"]),
        attempts=tuple(_attempt(row) for row in rows["attempts"] if row["attempt_id"]),
        measurements=tuple(_measurement(row) for row in rows["measurements"]),
        scores=tuple(ScoreRow(**row) for row in rows["scores"]),
        devices=_rows(DeviceSummary, document["devices"]),
        points=_rows(PointRow, document["points"]),
        histories={
            str(name): {str(user): int(size) for user, size in sizes.items()}
            for name, sizes in document["histories"].items()
        },
    )


def _rows(kind: type[Row], documents: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    return tuple(kind(**document) for document in documents)


def _attempt(row: dict[str, Any]) -> AttemptRow:
    found = dict(row)
    if not found.pop("has_result"):
        found["status"] = ""
    found["worker"] = json.loads(found.pop("worker_json") or "{}")
    return AttemptRow(**found)


def _measurement(row: dict[str, Any]) -> MeasurementRow:
    found = dict(row)
    found["method"] = found.pop("measured_by")
    return MeasurementRow(**found)
