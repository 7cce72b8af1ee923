"""An export read back is the study it was made of; a damaged one says all that is wrong with it."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from edgerig.errors import DataError, NotFoundError
from edgerig_controller.evidence import exported
from edgerig_controller.export import export
from edgerig_controller.report.data import DeviceSummary
from edgerig_controller.store.rows import PointRow
from tests.controller.report.rows import study_data

DEVICE = DeviceSummary("local", "box", 16 * 2**30, "", 0, "")


def test_an_export_read_back_is_the_study(tmp_path: Path) -> None:
    point = PointRow("a1s1", 1, 0.5, 120, 1.25, {"module_in": 3.5}, 0.25)
    data = dataclasses.replace(
        study_data(), devices=(DEVICE,), points=(point,), histories={"lamp-2": {"u0": 3}}
    )
    open_trial = dataclasses.replace(data.trials[0], state="queued", canonical_attempt_id=None)
    data = dataclasses.replace(data, trials=(open_trial, *data.trials[1:]), attempts=data.attempts[1:])
    export(data, "parquet", tmp_path)
    assert exported.read(tmp_path) == data


def test_an_attempt_without_a_result_stays_one(tmp_path: Path) -> None:
    data = study_data()
    lost = dataclasses.replace(data.attempts[0], status="", state="lost", canonical=False)
    data = dataclasses.replace(data, attempts=(lost, *data.attempts[1:]))
    export(data, "parquet", tmp_path)
    assert exported.read(tmp_path).attempts[0] == lost


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    export(study_data(), "parquet", tmp_path)
    (tmp_path / "scores.parquet").write_bytes(b"PAR1 no more")
    attempts = pq.read_table(tmp_path / "attempts.parquet").drop_columns(["canonical", "seed"])
    pq.write_table(attempts, tmp_path / "attempts.parquet")
    (tmp_path / "study.json").write_text('{"edgerig_export": 99}')
    with pytest.raises(DataError) as caught:
        exported.read(tmp_path)
    for part in ("scores.parquet cannot be read", "lacks the columns canonical, seed", "version 1"):
        assert part in caught.value.message


def test_tables_of_another_shape_are_a_data_error(tmp_path: Path) -> None:
    export(study_data(), "parquet", tmp_path)
    document = json.loads((tmp_path / "study.json").read_text())
    document["study"]["nonsense"] = 1
    (tmp_path / "study.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="do not fit together"):
        exported.read(tmp_path)


def test_columns_of_another_type_are_named(tmp_path: Path) -> None:
    export(study_data(), "parquet", tmp_path)
    scores = pq.read_table(tmp_path / "scores.parquet")
    at = scores.column_names.index("score")
    text = scores.set_column(at, "score", scores["score"].cast("string"))
    pq.write_table(text, tmp_path / "scores.parquet")
    with pytest.raises(DataError, match="another type: score"):
        exported.read(tmp_path)


def test_a_score_that_is_missing_is_no_number(tmp_path: Path) -> None:
    data = study_data()
    rows = (dataclasses.replace(data.scores[0], score=None), *data.scores[1:])  # type: ignore[arg-type]
    export(dataclasses.replace(data, scores=rows), "parquet", tmp_path)
    assert math.isnan(exported.read(tmp_path).scores[0].score)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("claims", ["x"]),
        ("resolved", []),
        ("digest", 5),
        ("cells", []),
        ("trials", [{}]),
        ("devices", None),
        ("histories", {"lamp-2": 5}),
    ],
)
def test_parts_that_do_not_belong_together_are_a_data_error(tmp_path: Path, part: str, value: object) -> None:
    export(study_data(), "parquet", tmp_path)
    document = json.loads((tmp_path / "study.json").read_text())
    (document["study"] if part in document["study"] else document)[part] = value
    (tmp_path / "study.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="do not fit together"):
        exported.read(tmp_path)


def test_a_folder_of_exports_holds_several(tmp_path: Path) -> None:
    for name in ("b", "a"):
        export(study_data(), "parquet", tmp_path / name)
    assert [path.name for path in exported.find(tmp_path)] == ["a", "b"]
    assert exported.find(tmp_path / "a") == [tmp_path / "a"]


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_without_exports_says_how_to_make_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFoundError, match=r"no study\.json") as caught:
        exported.find(tmp_path / name)
    assert "edgerig export" in caught.value.hint
