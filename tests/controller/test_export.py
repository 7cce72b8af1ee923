"""Exports: the same rows in every format, failures and open trials included."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from edgerig.errors import StorageError
from edgerig_controller.export import FORMATS, TABLES, Format, export
from tests.controller.report.rows import NO_SENSOR, study_data


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("to", FORMATS)
def test_every_format_has_every_row_and_column(to: Format, tmp_path: Path) -> None:
    data = study_data()
    expected = {
        "attempts": len(data.attempts),
        "measurements": len(data.measurements),
        "scores": len(data.scores),
    }
    for table in export(data, to, tmp_path):
        rows = read(table.path)
        assert len(rows) == table.row_count == expected[table.table]
        assert list(rows[0]) == [column.name for column in TABLES[table.table]]


@pytest.mark.parametrize("to", FORMATS)
def test_a_failed_attempt_is_a_row_with_its_class(to: Format, tmp_path: Path) -> None:
    export(study_data(), to, tmp_path)
    failed = [row for row in read(tmp_path / f"attempts.{to}") if row["status"] == "failed"]
    assert [row["failure_class"] for row in failed] == ["oom_host", "oom_host"]
    assert [row["quality"] for row in failed] in ([None, None], ["", ""])


def test_a_trial_without_an_attempt_is_a_row_that_says_not_run(tmp_path: Path) -> None:
    data = study_data()
    export(dataclasses.replace(data, attempts=data.attempts[1:]), "jsonl", tmp_path)
    (row,) = [row for row in read(tmp_path / "attempts.jsonl") if row["status"] == "not_run"]
    assert (row["trial_id"], row["seed"], row["attempt_id"]) == ("t0s1", 1, "")
    assert row["model"] == "starter/small"


def test_an_unavailable_figure_is_empty_and_says_why(tmp_path: Path) -> None:
    export(study_data(), "parquet", tmp_path)
    energy = [row for row in read(tmp_path / "measurements.parquet") if row["name"] == "energy_j"]
    assert {(row["value"], row["unavailable_reason"]) for row in energy} == {(None, NO_SENSOR)}


def test_how_a_figure_was_measured_does_not_hide_the_factor_method(tmp_path: Path) -> None:
    data = study_data()
    rows = tuple(dataclasses.replace(row, method="order statistics") for row in data.measurements)
    export(dataclasses.replace(data, measurements=rows), "jsonl", tmp_path)
    row = read(tmp_path / "measurements.jsonl")[-1]
    assert (row["method"], row["measured_by"]) == ("rag k=4 retriever=bm25", "order statistics")


def test_parquet_columns_carry_their_description(tmp_path: Path) -> None:
    export(study_data(), "parquet", tmp_path)
    field = pq.read_schema(tmp_path / "scores.parquet").field("score")
    assert field.metadata[b"description"] == b"Score in [0, 1], larger is better."


def test_a_folder_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        export(study_data(), "csv", tmp_path / "file")


def test_only_the_tables_and_the_study_lie_in_the_folder(tmp_path: Path) -> None:
    export(study_data(), "csv", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "attempts.csv",
        "measurements.csv",
        "scores.csv",
        "study.json",
    ]
