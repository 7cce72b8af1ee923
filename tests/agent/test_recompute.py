"""Figures computed again from the files of a real attempt."""

import json
import shutil
from pathlib import Path

import pytest

from edgerig.errors import EXIT_NOT_FOUND, EXIT_OK, EXIT_REJECTED, NotFoundError, ProtocolError
from edgerig_agent.attempt import run_attempt
from edgerig_agent.cli import main
from edgerig_agent.recompute import recompute
from tests.fakes import sysfs_tree
from tests.fakes.worker_program import COMPLETE, attempt_folder, make


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One attempt of a scripted worker on a board with a rail and a processor counter."""
    parent = tmp_path_factory.mktemp("measured")
    root = parent / "root"
    sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 2000)])
    sysfs_tree.rapl_zone(root, "intel-rapl:0", "package-0", 500)
    folder = attempt_folder(parent, sysfs_root=str(root))
    run_attempt(folder, worker_python=make(parent / "worker", COMPLETE))
    return folder


@pytest.fixture
def folder(measured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "copy", symlinks=True))


def edit_result(folder: Path, **fields: object) -> None:
    path = folder / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_every_figure_comes_out_bit_for_bit(folder: Path) -> None:
    found = recompute(folder)
    assert found.differences == ()
    assert found.measurement_count == len(json.loads((folder / "result.json").read_text())["measurements"])


def test_what_goes_to_the_controller_is_enough(folder: Path, tmp_path: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for file in manifest["files"]:
        target = tmp_path / "shipped" / file["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / file["path"], target)
    assert recompute(tmp_path / "shipped").is_identical


def test_the_last_bit_of_a_figure_is_seen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measurements = json.loads((folder / "result.json").read_text())["measurements"]
    energy = next(one for one in measurements if one["name"] == "energy_j" and "value" in one)
    energy["value"] = energy["value"] * (1 + 2**-52)
    edit_result(folder, measurements=measurements)
    assert main(["reduce", str(folder)]) == EXIT_REJECTED
    shown = capsys.readouterr().out
    assert shown.startswith("different") and "energy_j load sum module_in" in shown and ": value:" in shown


def test_figures_that_are_missing_or_invented_are_named(folder: Path) -> None:
    measurements = json.loads((folder / "result.json").read_text())["measurements"]
    gone = measurements.pop(0)
    measurements.append({"name": "invented_j", "statistic": "sum", "value": 1.5})
    edit_result(folder, measurements=measurements)
    found = {one.what: (one.stored, one.computed) for one in recompute(folder).differences}
    assert found["invented_j sum"] == (1.5, None)
    assert any(what.startswith(gone["name"]) and stored is None for what, (stored, _) in found.items())


def test_a_changed_trace_changes_the_figures(folder: Path) -> None:
    path = folder / "trace/ina3221.trace"
    content = bytearray(path.read_bytes())
    # The current of every sample, doubled.
    for offset in range(4096 + 8, len(content), 24):
        content[offset : offset + 8] = (4000).to_bytes(8, "little")
    path.write_bytes(content)
    assert any("energy_j" in one.what for one in recompute(folder).differences)


def test_a_flag_that_was_taken_out_is_missed(folder: Path) -> None:
    edit_result(folder, flags=[])
    (difference,) = recompute(folder).differences
    assert difference.what == "flags" and "indicative" in difference.computed


def test_a_quality_that_its_scores_do_not_have_is_seen(folder: Path) -> None:
    edit_result(folder, quality=0.75)
    assert [(one.what, one.stored, one.computed) for one in recompute(folder).differences] == [
        ("quality", 0.75, 0.5)
    ]


def test_the_json_form_says_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reduce", str(folder), "--json"]) == EXIT_OK
    document = json.loads(capsys.readouterr().out)
    assert document["identical"] is True and document["differences"] == []


def test_all_files_that_are_missing_are_named_at_once(folder: Path) -> None:
    for name in ("events.jsonl", "scores.jsonl"):
        (folder / name).unlink()
    with pytest.raises(NotFoundError, match=r"events\.jsonl, scores\.jsonl"):
        recompute(folder)


def test_no_folder_is_an_error_with_its_own_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reduce", str(tmp_path / "none")]) == EXIT_NOT_FOUND
    assert "there is no folder" in capsys.readouterr().err


def test_a_line_that_is_no_event_is_named(folder: Path) -> None:
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b"garbage\n")
    with pytest.raises(ProtocolError, match=r"events\.jsonl:\d+"):
        recompute(folder)
