"""Traces become Parquet, whole and with their channels; what is no trace is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from edgerig.errors import ProtocolError
from edgerig.v1.trial_pb2 import FileRef
from edgerig_agent.measure.tracefile import TraceWriter
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.traces import (
    UNREAD,
    TraceFile,
    TraceKeeper,
    convert_study,
    is_trace,
    write_parquet,
)
from tests.controller.store.building import T0, create, study, submission_of, take

FIELDS = [
    {
        "name": "VDD_IN",
        "unit": "power_w",
        "scale": 0.001,
        "source": "ina3221:1-0040:1:VDD_IN",
        "boundary": "module_in",
    },
    {"name": "temp", "unit": "temperature_c", "scale": 0.5, "source": "thermal:0", "boundary": ""},
]


def trace_bytes(records: list[tuple[int, int, int]], **header: Any) -> bytes:
    document = {"schema": 1, "name": "board", "fields": FIELDS, "record_bytes": 24, **header}
    return (
        json.dumps(document).encode().ljust(4095)
        + b"\n"
        + b"".join(struct.pack("<3q", *item) for item in records)
    )


def rows_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def test_samples_become_rows_with_unit_source_and_boundary(tmp_path: Path) -> None:
    (tmp_path / "board.trace").write_bytes(trace_bytes([(10, 5000, 80), (20, UNREAD, 81)]))
    write_parquet([TraceFile("board", tmp_path / "board.trace")], tmp_path / "t.parquet")
    rows = rows_of(tmp_path / "t.parquet")
    assert [(row["channel"], row["t_mono_ns"], row["value"]) for row in rows] == [
        ("VDD_IN", 10, 5.0),
        ("VDD_IN", 20, None),
        ("temp", 10, 40.0),
        ("temp", 20, 40.5),
    ]
    assert rows[0]["boundary"] == "module_in"
    assert rows[0]["unit"] == "power_w"
    assert rows[0]["source"] == "ina3221:1-0040:1:VDD_IN"


def test_several_traces_share_a_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(trace_bytes([(1, 1, 1)]))
    write_parquet([TraceFile(name, tmp_path / name) for name in ("a", "b")], tmp_path / "t.parquet")
    assert [row["trace"] for row in rows_of(tmp_path / "t.parquet")] == ["a", "a", "b", "b"]


def test_half_a_record_at_the_end_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(trace_bytes([(1, 1, 1)]) + b"\0" * 11)
    write_parquet([TraceFile("a", tmp_path / "a")], tmp_path / "t.parquet")
    assert len(rows_of(tmp_path / "t.parquet")) == 2


def test_a_board_with_dozens_of_channels_has_a_header_of_several_pages(tmp_path: Path) -> None:
    fields: list[dict[str, object]] = [{**FIELDS[0], "name": f"rail{index}"} for index in range(300)]
    header: dict[str, object] = {"schema": 1, "name": "board", "interval_ns": 1}
    writer = TraceWriter(str(tmp_path / "board.trace"), header, fields)
    writer.append(10, list(range(300)))
    writer.close()
    write_parquet([TraceFile("board", tmp_path / "board.trace")], tmp_path / "t.parquet")
    rows = rows_of(tmp_path / "t.parquet")
    assert [(row["channel"], row["t_mono_ns"]) for row in rows] == [
        (f"rail{index}", 10) for index in range(300)
    ]
    assert rows[250]["value"] == 0.25


def test_the_empty_rest_of_a_killed_samplers_file_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(trace_bytes([(1, 1, 1), (2, 0, 0)]) + b"\0" * 24 * 100)
    write_parquet([TraceFile("a", tmp_path / "a")], tmp_path / "t.parquet")
    assert [row["t_mono_ns"] for row in rows_of(tmp_path / "t.parquet")] == [1, 2, 1, 2]


def test_a_damaged_trace_keeps_no_other_from_an_export(repository: Repository, home: Home) -> None:
    study_id = create(repository, study(cells=2, seeds=(1,)))
    for data in (b"bad", trace_bytes([(1, 1, 1)])):
        sha256 = BlobStore(home.blobs_dir).put_bytes(data)
        file = FileRef(path="trace/board.trace", sha256=sha256, size_bytes=len(data))
        repository.commit_result(submission_of(take(repository), files=[file]), now_unix_s=T0)
    paths, problems = convert_study(home, repository, study_id)
    assert (len(paths), len(problems)) == (1, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b"[" * 100_000 + b"\n",
        trace_bytes([], record_bytes=16),
        trace_bytes([], fields=[{"name": "x"}]),
        b"[]" + b" " * 4094,
    ],
)
def test_what_is_no_trace_is_refused_and_leaves_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ProtocolError):
        write_parquet([TraceFile("a", tmp_path / "a")], tmp_path / "t.parquet")
    assert {path.name for path in tmp_path.iterdir()} == {"a"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [("trace/a.trace", True), ("trace/a.csv", False), ("a.trace", False), ("trace/x/a.trace", False)],
)
def test_traces_are_known_by_their_place(path: str, expected: bool) -> None:
    assert is_trace(path) is expected


def test_what_waits_is_converted_and_a_damaged_trace_is_only_reported(home: Home) -> None:
    blobs = BlobStore(home.blobs_dir)
    keeper = TraceKeeper(home, blobs)
    good, bad = blobs.put_bytes(trace_bytes([(1, 1, 1)])), blobs.put_bytes(b"bad")
    keeper.remember("s", "a1", [("trace/board.trace", bad), ("result.json", good)])
    keeper.remember("s", "a2", [("trace/board.trace", good)])
    problems = keeper.convert_pending()
    assert len(problems) == 1
    assert "a1" in problems[0]
    assert home.trace_path("s", "a2").exists()
    assert not keeper.waiting


def test_traces_that_lack_are_converted_for_an_export(repository: Repository, home: Home) -> None:
    study_id = create(repository, study(cells=1, seeds=(1,)))
    offer = take(repository)
    data = trace_bytes([(1, 1, 1)])
    sha256 = BlobStore(home.blobs_dir).put_bytes(data)
    file = FileRef(path="trace/board.trace", sha256=sha256, size_bytes=len(data))
    repository.commit_result(submission_of(offer, files=[file]), now_unix_s=T0)
    paths, problems = convert_study(home, repository, study_id)
    assert problems == []
    assert paths == [home.trace_path(study_id, offer.lease.attempt_id)]
    assert len(rows_of(paths[0])) == 2
