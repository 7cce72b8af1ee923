"""The dry-run document says what would run, and on what each prediction is based."""

from __future__ import annotations

import json
from pathlib import Path

from edgerig_controller.study.dry_run import dry_run
from tests.controller.study.building import STUDY, planned


def test_unknown_figures_are_null(tmp_path: Path) -> None:
    document = dry_run(planned(tmp_path))
    assert document["cells"][0]["duration_s"] == {
        "value": None,
        "basis": "unknown",
        "low": None,
        "high": None,
    }
    assert document["totals"]["duration_s"] == {
        "value": None,
        "basis": "unknown",
        "low": None,
        "high": None,
    }


def test_totals_count_cells_and_trials(tmp_path: Path) -> None:
    text = STUDY + "exclude: [{method: rag, reason: not now}]\n"
    totals = dry_run(planned(tmp_path, text))["totals"]
    assert (totals["cells"], totals["trials"], totals["excluded"], totals["does_not_fit"]) == (2, 4, 1, 0)


def test_measured_durations_add_up_over_trials(tmp_path: Path) -> None:
    document = dry_run(planned(tmp_path, durations=lambda digest: 2.5))
    assert document["totals"]["duration_s"] == {
        "value": 15.0,
        "basis": "measured",
        "low": None,
        "high": None,
    }


def test_cells_that_do_not_fit_are_left_out_of_the_totals(tmp_path: Path) -> None:
    study = planned(tmp_path, accelerator=False, device_memory_bytes=20_000)
    totals = dry_run(study)["totals"]
    assert totals["does_not_fit"] == 1
    assert totals["ram_peak_bytes"]["value"] == study.cells[0].ram_peak_bytes.value


def test_the_document_is_json(tmp_path: Path) -> None:
    document = dry_run(planned(tmp_path))
    assert json.loads(json.dumps(document, allow_nan=False)) == {
        **document,
        "devices": {"names": [], "labels": ["local"]},
    }
