"""The probe of a study from outside: requests, failures that become rows, and the file beside the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgerig.errors import DataError, DeviceError
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.evidence import contamination
from edgerig_controller.report.data import StudyData
from tests.controller.evidence.made import study


def with_data(folder: Path, **given: Any) -> StudyData:
    """A study whose task data lie in the blob store."""
    data = study(models=("starter/small",), **given)
    source = folder / "data.jsonl"
    source.write_text('{"any": "thing"}\n')
    sha256 = BlobStore(folder / "blobs").put_file(source)
    tasks = {
        name: {**facts, "data": {"sha256": sha256}}
        for name, facts in data.study.resolved["resolved_tasks"].items()
    }
    resolved = {**data.study.resolved, "resolved_tasks": tasks}
    return replace(data, study=replace(data.study, resolved=resolved))


def said(gap: float) -> dict[str, Any]:
    names = ("own", "own_k", "other", "other_k", "own_reordered", "other_reordered")
    values = (2.0, 2.0, 2.0 + gap, 2.0 + gap, None, None)
    return {
        "losses": [
            {"user_id": f"u{n}", "item_id": str(n)}
            | {k: v and v + 0.01 * n for k, v in zip(names, values, strict=True)}
            for n in range(8)
        ]
    }


def test_every_model_is_probed_on_every_task_and_the_file_can_be_read_back(tmp_path: Path) -> None:
    asked: list[tuple[str, Mapping[str, Any]]] = []

    def ask(model: Path, data: Path, request: Mapping[str, Any]) -> dict[str, Any]:
        asked.append((model.name, request))
        assert data.is_file()
        return said(0.5)

    data = with_data(tmp_path, tasks=("lamp-1", "lamp-2"))
    heard: list[Any] = []
    rows = contamination.probed(data, tmp_path / "blobs", tmp_path, ask=ask, items=50, heard=heard.append)
    assert heard == rows and [(row.model, row.task) for row in rows] == [
        ("starter/small", "lamp-1"),
        ("starter/small", "lamp-2"),
    ]
    assert [name for name, _ in asked] == ["small", "small"] and asked[0][1]["items"] == 50
    path = tmp_path / "deep" / "contamination.json"
    contamination.write(path, rows, now_unix_s=1.0)
    assert contamination.read(path) == rows


def test_what_cannot_be_probed_is_a_row_with_its_reason(tmp_path: Path) -> None:
    def ask(model: Path, data: Path, request: Mapping[str, Any]) -> dict[str, Any]:
        raise DeviceError("the probe failed: not_installed: torch")

    data = with_data(tmp_path)
    (row,) = contamination.probed(data, tmp_path / "blobs", tmp_path, ask=ask)
    assert (row.state, row.reason) == ("unknown", "the probe failed: not_installed: torch")
    (gone,) = contamination.probed(data, tmp_path / "nowhere", tmp_path, ask=ask)
    assert "not in the data folder" in gone.reason
    on_device = study(models=("device:/models/a",))
    (elsewhere,) = contamination.probed(on_device, tmp_path / "blobs", tmp_path, ask=ask)
    assert "device only" in elsewhere.reason
    (odd,) = contamination.probed(
        data, tmp_path / "blobs", tmp_path, ask=lambda *_: {"losses": [{"own": "x"}]}
    )
    assert "not usable" in odd.reason


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"edgerig_contamination": 2, "rows": []}',
        '{"edgerig_contamination": 1, "rows": [1]}',
        '{"edgerig_contamination": 1, "rows": [{"state": "fine"}]}',
    ],
)  # fmt: skip
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(DataError, match="contamination probe"):
        contamination.read(path)


def test_a_damaged_figure_is_refused(tmp_path: Path) -> None:
    data = with_data(tmp_path)
    rows = contamination.probed(data, tmp_path / "blobs", tmp_path, ask=lambda *_: said(0.5))
    path = tmp_path / "c.json"
    contamination.write(path, rows, now_unix_s=1.0)
    document = json.loads(path.read_text())
    document["rows"][0]["gap"]["low"] = "<b>"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError):
        contamination.read(path)
