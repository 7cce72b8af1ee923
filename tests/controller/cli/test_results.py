"""Reading a store that was filled through the real repository."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from edgerig_controller.cli import summary
from edgerig_controller.cli.reference import open_store
from edgerig_controller.data.blobs import BlobStore
from edgerig_controller.home import Home
from edgerig_controller.report.build import build
from edgerig_controller.report.data import StudyData
from edgerig_controller.report.model import Report
from tests.controller.cli.conftest import Edgerig
from tests.controller.cli.stored import NO_SENSOR, STUDY, answer_trials, finished, register, write_study


def report_of(home: Home, study_id: str) -> Report:
    with open_store(home) as repository:
        return build(StudyData.load(repository, repository.find_study(study_id)), now_unix_s=0.0)


def test_results_show_cells_contrasts_and_what_is_missing(
    edgerig: Edgerig, home: Home, tmp_path: Path
) -> None:
    finished(home, tmp_path)
    ran = edgerig("results", "tiny")
    assert ran.code == 0
    assert "4 of 4 trials ok (indicative, instrument check)" in ran.stdout
    assert "Differences to none" in ran.stdout
    assert NO_SENSOR in ran.stdout


def test_results_as_json_carry_the_report_and_a_record_per_result(
    edgerig: Edgerig, home: Home, tmp_path: Path
) -> None:
    finished(home, tmp_path)
    document = edgerig("results", "tiny", "--json").document
    assert len(document["records"]) == 4
    assert document["report"]["cells"][0]["metric"] == "accuracy"
    (contrast,) = document["report"]["contrasts"]
    difference = contrast["difference"]
    assert (difference["n_users"], difference["n_items"], difference["n_seeds"]) == (6, 12, 2)
    assert difference["low"] < difference["estimate"] < difference["high"]


@pytest.mark.parametrize("reference", ["tiny", "id", "prefix", "file"])
def test_a_study_is_found_by_name_id_prefix_and_file(
    edgerig: Edgerig, home: Home, tmp_path: Path, reference: str
) -> None:
    row = finished(home, tmp_path)
    words = {
        "tiny": "tiny",
        "id": row.study_id,
        "prefix": row.study_id[:5],
        "file": str(tmp_path / "tiny.yaml"),
    }
    document = edgerig("results", words[reference], "--json").document
    assert document["report"]["study_id"] == row.study_id


def test_a_file_that_changed_names_the_newest_study_of_its_name(
    edgerig: Edgerig, home: Home, tmp_path: Path
) -> None:
    row = finished(home, tmp_path)
    path = write_study(tmp_path, STUDY.replace("seeds: [1, 2]", "seeds: [1, 2, 3]"))
    ran = edgerig("results", str(path))
    assert ran.code == 5
    assert "has changed since it was run" in ran.stderr
    assert row.study_id in ran.stderr


def test_a_file_that_never_ran_says_how_to_run_it(edgerig: Edgerig, home: Home, tmp_path: Path) -> None:
    finished(home, tmp_path)
    other = write_study(tmp_path, STUDY.replace("name: tiny", "name: other"))
    ran = edgerig("results", str(other))
    assert ran.code == 5
    assert f"edgerig run {other}" in ran.stderr


def test_a_failed_cell_stays_in_the_results(edgerig: Edgerig, home: Home, tmp_path: Path) -> None:
    finished(home, tmp_path, fail_method="rag")
    ran = edgerig("results", "tiny")
    assert "2 of 4 trials ok" in ran.stdout
    assert "oom_host in train: the kernel killed the worker" in ran.stdout


@pytest.mark.parametrize(
    ("failure", "code"), [("oom_host", 0), ("timeout", 0), ("worker_error", 1), ("killed", 1)]
)
def test_limits_are_results_and_accidents_are_not(
    home: Home, tmp_path: Path, failure: str, code: int
) -> None:
    row = finished(home, tmp_path, fail_method="rag", failure=failure)
    assert summary.exit_code(report_of(home, row.study_id)) == code


def test_a_study_with_open_trials_is_not_a_success(home: Home, tmp_path: Path) -> None:
    row = register(home, write_study(tmp_path))
    answer_trials(home, most=3)
    assert summary.exit_code(report_of(home, row.study_id)) == 1


def test_report_writes_into_the_data_folder(edgerig: Edgerig, home: Home, tmp_path: Path) -> None:
    row = finished(home, tmp_path)
    files = edgerig("report", "tiny", "--json").document["report"]
    assert Path(files["html"]) == home.report_dir(row.study_id) / "report.html"
    assert Path(files["html"]).read_text().startswith("<!doctype html>")
    assert json.loads(Path(files["summary"]).read_text())["name"] == "tiny"


def test_report_writes_where_it_is_told(edgerig: Edgerig, home: Home, tmp_path: Path) -> None:
    finished(home, tmp_path)
    ran = edgerig("report", "tiny", "--out", str(tmp_path / "here"))
    assert ran.stdout.strip() == str(tmp_path / "here" / "report.html")


@pytest.mark.parametrize("to", ["parquet", "csv", "jsonl"])
def test_export_writes_three_tables(edgerig: Edgerig, home: Home, tmp_path: Path, to: str) -> None:
    finished(home, tmp_path)
    document = edgerig("export", "tiny", "--to", to, "--out", str(tmp_path / "out"), "--json").document
    assert [(table["table"], table["row_count"]) for table in document["tables"]] == [
        ("attempts", 4),
        ("measurements", 12),
        ("scores", 48),
    ]
    assert all(Path(table["path"]).stat().st_size for table in document["tables"])


def test_export_converts_traces_that_a_restart_left_behind(
    edgerig: Edgerig, home: Home, tmp_path: Path
) -> None:
    finished(home, tmp_path)
    header = {"fields": [], "record_bytes": 8}
    sha256 = BlobStore(home.blobs_dir).put_bytes(json.dumps(header).encode() + b"\n")
    with sqlite3.connect(home.store_path) as database:
        database.execute(
            "INSERT INTO artifact SELECT result_id, 'trace/board.trace', ?, 1 FROM result LIMIT 1", [sha256]
        )
    document = edgerig("export", "tiny", "--to", "csv", "--out", str(tmp_path / "out"), "--json").document
    assert document["problems"] == []
    (path,) = document["traces"]
    assert Path(path).stat().st_size


def test_studies_lists_what_is_stored(edgerig: Edgerig, home: Home, tmp_path: Path) -> None:
    row = finished(home, tmp_path)
    (found,) = edgerig("studies", "--json").document["studies"]
    assert (found["study_id"], found["state"], found["done_count"]) == (row.study_id, "finished", 4)
    assert "4/4" in edgerig("studies").stdout


def test_studies_of_an_unused_folder_is_empty_and_makes_nothing(edgerig: Edgerig, home: Home) -> None:
    assert edgerig("studies", "--json").document["studies"] == []
    assert not home.root.exists()


def test_watching_a_finished_study_shows_its_results(edgerig: Edgerig, home: Home, tmp_path: Path) -> None:
    finished(home, tmp_path)
    ran = edgerig("watch", "tiny", "--json")
    assert ran.code == 0
    assert ran.document["ok_count"] == 4
    assert Path(ran.document["report"]["markdown"]).exists()


def test_running_a_finished_study_again_starts_nothing(edgerig: Edgerig, home: Home, tmp_path: Path) -> None:
    finished(home, tmp_path)
    ran = edgerig("run", str(tmp_path / "tiny.yaml"), "--json")
    assert (ran.code, ran.document["attached"], ran.document["ok_count"]) == (0, True, 4)
    assert not (home.logs_dir / "controller.out").exists()


def test_watching_an_active_study_without_a_controller_says_what_to_do(
    edgerig: Edgerig, home: Home, tmp_path: Path
) -> None:
    register(home, write_study(tmp_path))
    ran = edgerig("watch", "tiny")
    assert ran.code == 3
    assert "no controller runs" in ran.stderr


def test_cancelling_a_finished_study_changes_nothing(edgerig: Edgerig, home: Home, tmp_path: Path) -> None:
    finished(home, tmp_path)
    ran = edgerig("cancel", "tiny")
    assert (ran.code, "nothing to cancel" in ran.stdout) == (0, True)


def test_rm_needs_a_yes_when_nobody_can_be_asked(edgerig: Edgerig, home: Home, tmp_path: Path) -> None:
    row = finished(home, tmp_path)
    ran = edgerig("rm", "tiny", "--json")
    assert ran.code == 2
    assert ran.document["error"]["hint"] == f"edgerig rm {row.study_id} --yes"


def test_rm_refuses_a_running_study(edgerig: Edgerig, home: Home, tmp_path: Path) -> None:
    register(home, write_study(tmp_path))
    assert edgerig("rm", "tiny", "--yes").code == 2
