"""Reads a folder that `edgerig export --to parquet` wrote back into rows.

The folder is input from outside: sizes are bounded, every column and field is
checked, and all that is wrong with it is said at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args

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
    TrialState,
)

MOST_STUDY_BYTES = 512 * 2**20
MOST_ROWS = 20_000_000
BATCH_ROWS = 65_536
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
    if not problems:
        try:
            data = _data(document, rows)
            _fit(data)
            return data
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            problems.append(f"{STUDY_NAME} and the tables do not fit together ({error})")
    raise DataError(
        f"{folder} is not a usable export: " + "; ".join(problems),
        hint=f"edgerig export STUDY --to parquet --out {folder}",
    )


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


def _table(path: Path, name: str, problems: list[str]) -> list[Any]:
    """Reads the rows of a table, batch by batch: a million scores are no million dictionaries at once."""
    # pyarrow takes half a second to import: only this command pays for it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        lacking = sorted({column.name for column in TABLES[name]} - set(file.schema_arrow.names))
        if lacking:
            problems.append(f"{path.name} lacks the columns {', '.join(lacking)}")
            return []
        wrong = _wrong_types(file.schema_arrow, name)
        if wrong:
            problems.append(f"{path.name} has columns of another type: {', '.join(wrong)}")
            return []
        if file.metadata.num_rows > MOST_ROWS:
            problems.append(f"{path.name} has {file.metadata.num_rows} rows; {MOST_ROWS} are the most")
            return []
        columns = _columns(name)
        return [
            _MAKE[name](dict(zip(columns, values, strict=True)))
            for batch in file.iter_batches(BATCH_ROWS, columns=columns)
            for values in zip(*(batch.column(column).to_pylist() for column in columns), strict=True)
        ]
    except (OSError, pa.ArrowException, TypeError, KeyError, ValueError) as error:
        problems.append(f"{path.name} cannot be read: {error}")
        return []


def _wrong_types(schema: Any, name: str) -> list[str]:
    """Names the columns whose values are not of the kind that the export writes."""
    from pyarrow import types

    fits: dict[str, Callable[[Any], bool]] = {
        "text": lambda kind: types.is_string(kind) or types.is_large_string(kind),
        "integer": types.is_integer,
        "number": lambda kind: types.is_floating(kind) or types.is_integer(kind),
        "flag": types.is_boolean,
        "list": lambda kind: types.is_list(kind) or types.is_large_list(kind),
    }
    return [column.name for column in TABLES[name] if not fits[column.kind](schema.field(column.name).type)]


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


def _data(document: Mapping[str, Any], rows: Mapping[str, list[Any]]) -> StudyData:
    return StudyData(
        study=StudyRow(**document["study"]),
        cells=_rows(CellRow, document["cells"]),
        trials=_rows(TrialRow, document["trials"]),
        attempts=tuple(row for row in rows["attempts"] if row.attempt_id),
        measurements=tuple(rows["measurements"]),
        scores=tuple(rows["scores"]),
        devices=_rows(DeviceSummary, document["devices"]),
        points=_rows(PointRow, document["points"]),
        histories={
            str(name): {str(user): int(size) for user, size in sizes.items()}
            for name, sizes in document["histories"].items()
        },
        # Exports of earlier versions have none.
        difficulty={
            str(name): {
                "measures": dict(found["measures"]),
                "development_users": list(found["development_users"]),
                "chance": found["chance"],
            }
            for name, found in (document.get("difficulty") or {}).items()
        },
    )


def _fit(data: StudyData) -> None:
    """Checks what later steps rely on.

    Raises:
        ValueError: the parts of the export do not belong together.
    """
    study = data.study
    if not isinstance(study.resolved, dict):
        raise ValueError("the resolved study is no object")
    parts = (*study.claims, *study.exclusions, *(cell.factors for cell in data.cells))
    if not all(isinstance(part, dict) for part in parts):
        raise ValueError("a claim, an exclusion or the factors of a cell are no object")
    if not all(isinstance(text, str) for text in (study.study_id, study.name, study.digest)):
        raise ValueError("id, name or digest of the study is no text")
    known = {cell.cell_index for cell in data.cells}
    used = {row.cell_index for row in data.trials} | {row.cell_index for row in data.attempts}
    strange = sorted(str(index) for index in used - known)
    if strange:
        raise ValueError(f"there is no cell {strange[0]}")
    unknown = {row.state for row in data.trials} - set(get_args(TrialState))
    if unknown:
        raise ValueError(f"a trial has the unknown state {sorted(unknown)[0]!r}")


def _rows(kind: type[Row], documents: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    return tuple(kind(**document) for document in documents)


def _attempt(found: dict[str, Any]) -> AttemptRow:
    if not found.pop("has_result"):
        found["status"] = ""
    found["worker"] = json.loads(found.pop("worker_json") or "{}")
    return AttemptRow(**found)


def _measurement(found: dict[str, Any]) -> MeasurementRow:
    found["method"] = found.pop("measured_by")
    return MeasurementRow(**found)


def _score(found: dict[str, Any]) -> ScoreRow:
    if found["score"] is None:
        found["score"] = math.nan
    return ScoreRow(**found)


_MAKE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "attempts": _attempt,
    "measurements": _measurement,
    "scores": _score,
}
