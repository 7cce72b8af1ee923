"""`edgerig guide`, `replay` and `report` on a store that was filled through the real repository."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from edgerig_controller.evidence import contamination, hardness
from edgerig_controller.export import export
from edgerig_controller.guidelines.contamination import ItemLosses, probe
from edgerig_controller.guidelines.document import DOCUMENT_SCHEMA
from edgerig_controller.home import Home
from edgerig_controller.report.data import StudyData
from tests.controller.cli.conftest import Edgerig
from tests.controller.cli.stored import STUDY, finished, register, write_study
from tests.controller.evidence import made
from tests.controller.evidence.schema import check

CLAIM = "claims: [{id: rag-helps, better: {method.kind: rag}, than: {method.kind: none}, metric: accuracy}]\n"


@pytest.fixture
def claimed(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Stores the finished tiny study with a claim; returns its id."""
    monkeypatch.setattr("tests.controller.cli.stored.STUDY", STUDY + CLAIM)
    monkeypatch.setattr("tests.controller.cli.stored.write_study.__defaults__", (STUDY + CLAIM,))
    return finished(home, tmp_path).study_id


def exported(folder: Path, data: StudyData) -> str:
    export(data, "parquet", folder)
    return str(folder)


def test_guide_gives_every_registered_claim_a_verdict(edgerig: Edgerig, claimed: str, home: Home) -> None:
    ran = edgerig("guide", "tiny", "--json")
    assert ran.code == 0
    document = ran.document
    (found,) = [g for g in document["guidelines"] if g["origin"]["family"] == "study file"]
    assert (found["claim_id"], found["label"]) == ("rag-helps", "instrument check")
    assert found["verdict"] != "not tested" and len(found["origin"]["run_ids"]) == 4
    folder = home.report_dir(claimed) / "guide"
    assert sorted(path.name for path in folder.iterdir()) == ["guidelines.json", "report.html", "report.md"]
    assert check(json.loads((folder / "guidelines.json").read_text()), DOCUMENT_SCHEMA) == []


def test_guide_for_a_person_shows_verdicts_and_the_next_step(edgerig: Edgerig, claimed: str) -> None:
    ran = edgerig("guide", "tiny")
    assert "rag-helps" in ran.stdout and "instrument check" in ran.stdout
    assert "not tested: these records lack cells" in ran.stdout
    assert "edgerig replay" in ran.stderr
    assert "one task (lamp-2)" in ran.stderr


def test_replay_finds_every_guideline_identical(edgerig: Edgerig, claimed: str, home: Home) -> None:
    edgerig("guide", "tiny")
    path = home.report_dir(claimed) / "guide" / "guidelines.json"
    ran = edgerig("replay", str(path), "--json")
    assert ran.code == 0 and ran.document["identical"]
    assert all(one["identical"] for one in ran.document["guidelines"])


def test_replay_from_an_export_needs_no_store(
    edgerig: Edgerig, claimed: str, home: Home, tmp_path: Path
) -> None:
    edgerig("guide", "tiny")
    edgerig("export", "tiny", "--to", "parquet", "--out", str(tmp_path / "out"))
    path = home.report_dir(claimed) / "guide" / "guidelines.json"
    ran = edgerig("replay", str(path), "--from", str(tmp_path / "out"), "--data", str(tmp_path / "none"))
    assert (ran.code, "13 of 13" in ran.stdout or "identical" in ran.stdout) == (0, True)


def test_replay_says_what_differs(edgerig: Edgerig, claimed: str, home: Home) -> None:
    edgerig("guide", "tiny")
    path = home.report_dir(claimed) / "guide" / "guidelines.json"
    document = json.loads(path.read_text())
    document["guidelines"][0]["n_items"] += 1
    path.write_text(json.dumps(document))
    ran = edgerig("replay", str(path))
    assert ran.code == 1
    assert "rag-helps (study file): differs" in ran.stdout
    assert "n_items: 13 recorded, 12 recomputed" in ran.stdout


def test_replay_without_the_records_says_where_to_look(
    edgerig: Edgerig, claimed: str, home: Home, tmp_path: Path
) -> None:
    edgerig("guide", "tiny")
    path = home.report_dir(claimed) / "guide" / "guidelines.json"
    other = exported(tmp_path / "other", made.study())
    ran = edgerig("replay", str(path), "--from", other)
    assert ran.code == 5 and "--data DIR" in ran.stderr


def test_several_studies_from_store_and_exports_are_one_evidence(
    edgerig: Edgerig, claimed: str, tmp_path: Path
) -> None:
    folder = exported(tmp_path / "more", made.study("more"))
    ran = edgerig("guide", "tiny", "--from", folder, "--out", str(tmp_path / "g"), "--json")
    studies = ran.document["guidelines"][0]["origin"]["studies"]
    assert {study["name"] for study in studies} == {"tiny", "more"}
    # One has starter models, the other has not.
    assert ran.document["guidelines"][0]["label"] == ""


def test_guide_without_a_study_says_what_to_type(edgerig: Edgerig) -> None:
    ran = edgerig("guide")
    assert ran.code == 2 and "edgerig guide STUDY" in ran.stderr


def test_a_claim_without_evidence_is_exit_1_with_a_report(edgerig: Edgerig, tmp_path: Path) -> None:
    folder = exported(tmp_path / "x", made.study(users=1))
    ran = edgerig("guide", "--from", folder, "--out", str(tmp_path / "g"), "--json")
    assert (ran.code, ran.document["exit_code"]) == (1, 1)
    assert "Read this first" in (tmp_path / "g" / "report.html").read_text()


def test_rejected_scores_are_exit_7_with_a_report(edgerig: Edgerig, tmp_path: Path) -> None:
    data = made.study(users=40)
    bad = dataclasses.replace(data.scores[0], score=math.nan)
    folder = exported(tmp_path / "x", dataclasses.replace(data, scores=(bad, *data.scores[1:])))
    ran = edgerig("guide", "--from", folder, "--out", str(tmp_path / "g"))
    assert ran.code == 7
    assert "not finite numbers" in ran.stderr
    assert "not finite numbers" in (tmp_path / "g" / "report.md").read_text()


def test_all_cells_failed_is_exit_1_with_a_report(edgerig: Edgerig, tmp_path: Path) -> None:
    folder = exported(tmp_path / "x", made.study(fails=lambda factors: "oom_host"))
    ran = edgerig("guide", "--from", folder, "--out", str(tmp_path / "g"))
    assert ran.code == 1 and "no run of these studies gave a result" in ran.stderr
    assert "oom\\_host × 3" in (tmp_path / "g" / "report.md").read_text()


def test_a_damaged_export_is_exit_2(edgerig: Edgerig, tmp_path: Path) -> None:
    folder = exported(tmp_path / "x", made.study())
    (tmp_path / "x" / "scores.parquet").write_bytes(b"no")
    ran = edgerig("guide", "--from", folder, "--json")
    assert ran.code == 2 and "scores.parquet" in ran.document["error"]["message"]


def test_a_study_without_results_is_a_report_too(edgerig: Edgerig, home: Home, tmp_path: Path) -> None:
    register(home, write_study(tmp_path))
    ran = edgerig("guide", "tiny")
    assert ran.code == 1 and "no run of these studies" in ran.stderr


@pytest.mark.parametrize(
    "text", ["[]", '{"lamp-2": 1}', '{"lamp-2": {"D1": "x"}}', '{"t": {"D1": NaN}}', "{"]
)
def test_a_wrong_file_of_difficulties_is_exit_2(edgerig: Edgerig, tmp_path: Path, text: str) -> None:
    (tmp_path / "d.json").write_text(text)
    folder = exported(tmp_path / "x", made.study())
    ran = edgerig("guide", "--from", folder, "--difficulty", str(tmp_path / "d.json"))
    assert ran.code == 2 and "d.json" in ran.stderr


def test_difficulties_are_kept_for_the_replay(edgerig: Edgerig, tmp_path: Path) -> None:
    tasks = [f"lamp-{n}" for n in (1, 2, 3, 4, 5)]
    (tmp_path / "d.json").write_text(
        json.dumps({t: {"D1": 0.2 * n, "D2": 1.0 * n} for n, t in enumerate(tasks)})
    )
    folder = exported(tmp_path / "x", made.study(tasks=tasks))
    out = str(tmp_path / "g")
    ran = edgerig("guide", "--from", folder, "--difficulty", str(tmp_path / "d.json"), "--out", out, "--json")
    h1 = next(g for g in ran.document["guidelines"] if g["claim_id"] == "H1")
    assert h1["verdict"] != "not tested"
    assert edgerig("replay", f"{out}/guidelines.json", "--from", folder).code == 0
    assert h1["facts"]["cross_fitted"] is False


def test_the_difficulties_of_the_command_keep_their_users_out_of_h1(edgerig: Edgerig, tmp_path: Path) -> None:
    tasks = [f"lamp-{n}" for n in (1, 2, 3, 4, 5)]
    users = [f"u{n}" for n in range(12)]
    document = {
        "tasks": [
            {
                "task": task,
                "development_users": users[:4],
                "measures": {"D1": {"value": 0.2 * n}, "D2": {"value": None, "unavailable_reason": "x"}},
            }
            for n, task in enumerate(tasks)
        ]
    }
    (tmp_path / "d.json").write_text(json.dumps(document))
    folder, out = exported(tmp_path / "x", made.study(tasks=tasks)), str(tmp_path / "g")
    ran = edgerig("guide", "--from", folder, "--difficulty", str(tmp_path / "d.json"), "--out", out, "--json")
    h1 = next(g for g in ran.document["guidelines"] if g["claim_id"] == "H1")
    assert h1["facts"]["cross_fitted"] is True
    # Eight of twelve users on each of five tasks are left for the contrast.
    assert h1["n_users"] == 40
    recorded = h1["origin"]["difficulty"]["lamp-2"]
    assert (recorded["measures"], recorded["development_users"]) == ({"D1": 0.2}, users[:4])
    assert edgerig("replay", f"{out}/guidelines.json", "--from", folder).code == 0


def test_what_the_command_prints_can_be_given_to_guide(edgerig: Edgerig, tmp_path: Path) -> None:
    printed = edgerig("task", "difficulty", "lamp-2", "--json")
    found = hardness.parse(printed.document)
    assert set(found["lamp-2"].measures) >= {"D2", "D3"}
    assert found["lamp-2"].development_users


def test_report_rebuilds_several_and_their_guidelines(edgerig: Edgerig, claimed: str, home: Home) -> None:
    edgerig("guide", "tiny")
    page = home.report_dir(claimed) / "guide" / "report.html"
    page.unlink()
    ran = edgerig("report", "tiny", claimed, "--json")
    assert [one["study_id"] for one in ran.document["studies"]] == [claimed, claimed]
    assert page.is_file() and Path(ran.document["studies"][0]["report"]["html"]).is_file()


def test_the_schema_of_guidelines_is_printed(edgerig: Edgerig) -> None:
    ran = edgerig("schema", "--guideline")
    assert json.loads(ran.stdout) == DOCUMENT_SCHEMA


def test_limits_and_prices_are_recorded_and_kept_when_the_report_is_written_again(
    edgerig: Edgerig, claimed: str, home: Home
) -> None:
    options = (
        "--max-ram",
        "4GiB",
        "--max-latency-ms",
        "500",
        "--points-per-joule",
        "0.5",
        "--requests",
        "100",
    )
    ran = edgerig("guide", "tiny", *options, "--json")
    utility = {key: value for key, value in ran.document["utility"].items() if key != "words"}
    assert utility == {
        "ram_bytes": 4 * 2**30,
        "latency_s": 0.5,
        "energy_j": None,
        "points_per_joule": 0.5,
        "requests": 100.0,
        "ram_margin": 0.1,
    }
    path = home.report_dir(claimed) / "guide" / "guidelines.json"
    before = json.loads(path.read_text())
    assert edgerig("report", "tiny").code == 0
    after = json.loads(path.read_text())
    assert {**after, "written_unix_s": 0} == {**before, "written_unix_s": 0}
    assert "minus 0.5 points per joule" in after["utility"]["words"]


def test_requests_without_a_price_are_refused(edgerig: Edgerig, claimed: str) -> None:
    ran = edgerig("guide", "tiny", "--requests", "100")
    assert ran.code == 2 and "--points-per-joule" in ran.stderr


def test_results_of_the_probe_beside_the_report_are_taken_up(
    edgerig: Edgerig, claimed: str, home: Home, tmp_path: Path
) -> None:
    assert "contamination was not probed" in guide_text(edgerig, home, claimed)
    losses = [ItemLosses(f"u{n}", 1.0, 3.0 + 0.1 * n, 1.0, 3.0, None, None) for n in range(6)]
    rows = [probe("starter/small", "lamp-2", losses)]
    file = home.report_dir(claimed) / contamination.FILE_NAME
    contamination.write(file, rows, now_unix_s=1.0)
    text = guide_text(edgerig, home, claimed)
    assert "contamination was not probed" not in text
    assert "cannot be excluded" in text and "starter/small on lamp-2" in text
    file.write_text("{}")
    assert edgerig("guide", "tiny").code == 2
    # Another file may be named instead.
    other = tmp_path / "other.json"
    contamination.write(other, rows, now_unix_s=1.0)
    assert edgerig("guide", "tiny", "--contamination", str(other)).code == 0


def guide_text(edgerig: Edgerig, home: Home, study_id: str) -> str:
    assert edgerig("guide", "tiny").code == 0
    return (home.report_dir(study_id) / "guide" / "report.md").read_text()
