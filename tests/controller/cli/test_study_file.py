"""`init`, `check`, `schema` and the dry run of `run`."""

from __future__ import annotations

from pathlib import Path

from tests.controller.cli.conftest import Edgerig
from tests.controller.cli.stored import STUDY, write_study


def test_init_writes_a_study_that_passes_check(edgerig: Edgerig, tmp_path: Path) -> None:
    made = edgerig("init", str(tmp_path / "new"), "--json")
    assert made.code == 0
    assert edgerig("check", made.document["path"]).code == 0


def test_init_never_replaces_a_file_unasked(edgerig: Edgerig, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("mine")
    ran = edgerig("init", str(tmp_path))
    assert ran.code == 2
    assert "--force" in ran.stderr
    assert (tmp_path / "study.yaml").read_text() == "mine"


def test_check_lists_all_problems_with_their_places(edgerig: Edgerig, tmp_path: Path) -> None:
    path = write_study(
        tmp_path, STUDY.replace("seeds:", "sedes:").replace("protocol: quick", "protocol: fast")
    )
    ran = edgerig("check", str(path), "--json")
    assert ran.code == 2
    problems = ran.document["error"]["problems"]
    assert len(problems) >= 2
    assert {problem["place"].split(":")[0] for problem in problems} == {"tiny.yaml"}


def test_check_of_a_missing_file_says_so(edgerig: Edgerig, tmp_path: Path) -> None:
    ran = edgerig("check", str(tmp_path / "nothing.yaml"))
    assert ran.code == 5
    assert "there is no file" in ran.stderr


def test_check_of_a_binary_file_says_so(edgerig: Edgerig, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert edgerig("check", str(path)).code == 2


def test_the_schema_is_a_json_schema(edgerig: Edgerig) -> None:
    assert edgerig("schema", "--json").document["schema"]["$schema"].startswith("https://json-schema.org")


def test_a_dry_run_predicts_with_a_basis_and_touches_nothing(edgerig: Edgerig, tmp_path: Path) -> None:
    path = write_study(tmp_path)
    ran = edgerig("run", str(path), "--dry-run", "--json")
    assert ran.code == 0
    cell = ran.document["dry_run"]["cells"][0]
    peak = cell["ram_peak_bytes"]
    assert peak["basis"] == "formula"
    assert peak["low"] < peak["value"] < peak["high"]
    assert cell["duration_s"] == {"value": None, "basis": "unknown", "low": None, "high": None}
    assert not (tmp_path / "data").exists()


def test_a_dry_run_for_people_names_cells_and_trials(edgerig: Edgerig, tmp_path: Path) -> None:
    ran = edgerig("run", str(write_study(tmp_path)), "--dry-run")
    assert "2 cells, 4 trials. Nothing was run." in ran.stdout
    assert "(formula)" in ran.stdout
