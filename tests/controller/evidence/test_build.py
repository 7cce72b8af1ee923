"""Records out of studies: who is compared with whom, what is taken out, and that it is said."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from edgerig_controller.evidence.build import Evidence, build
from edgerig_controller.evidence.load import histories
from edgerig_controller.report.data import StudyData
from tests.controller.evidence.made import GIB, LORA, NONE, RAG, study


def codes(found: Evidence) -> dict[str, str]:
    return {notice.code: notice.level for notice in found.notices}


def text(found: Evidence, code: str) -> str:
    return next(notice.text for notice in found.notices if notice.code == code)


def with_scores(data: StudyData, *positions: int, **change: object) -> StudyData:
    rows = list(data.scores)
    for at in positions:
        rows[at] = dataclasses.replace(rows[at], **change)  # type: ignore[arg-type]
    return dataclasses.replace(data, scores=tuple(rows))


def test_a_configuration_is_a_cell_without_its_task() -> None:
    found = build([study(tasks=("lamp-1", "lamp-2"))])
    assert len(found.records.configs) == 6
    assert [task.table.task for task in found.records.tasks] == ["lamp-1", "lamp-2"]
    assert found.records.tasks[0].table.scores.shape == (6, 36, 3)
    assert all("task" not in config.factors for config in found.records.configs)


def test_scores_land_where_they_belong() -> None:
    data = study(models=("org/small",), methods=(NONE, RAG), users=2, items=2, seeds=(1, 5))
    table = build([data]).records.tasks[0].table
    for row in data.scores:
        cell = data.cells[row.cell_index]
        at = table.configs.index(cell.label)
        item = ["u0-i0", "u0-i1", "u1-i0", "u1-i1"].index(row.item_id)
        assert table.scores[at, item, table.seeds.index(row.seed)] == row.score


def test_a_failed_cell_is_a_row_with_its_class() -> None:
    found = build([study(fails=lambda f: "oom_cuda" if f["method"] == LORA else "")])
    failed = found.records.tasks[0].failed
    assert {cell.status for cell in failed} == {"oom_cuda"}
    assert len(failed) == 6
    assert {config.config_id for config in found.records.configs} >= {cell.config_id for cell in failed}


def test_a_trial_that_never_ran_is_a_row_too() -> None:
    data = study()
    waiting = dataclasses.replace(data.trials[0], state="queued", canonical_attempt_id=None)
    data = dataclasses.replace(data, trials=(waiting, *data.trials[1:]), attempts=data.attempts[1:])
    found = build([data])
    assert [cell.status for cell in found.records.tasks[0].failed] == ["waiting"]
    assert codes(found)["not_run"] == "notice"


def test_training_is_known_from_what_ran() -> None:
    facts = {config.config_id: config.facts for config in build([study(steps=50)]).records.configs}
    assert facts["org/large lora"]["train_samples"] == 200.0
    assert "trains" not in facts["org/large rag"]
    assert facts["org/large rag"]["parameters"] == 2e6
    assert facts["org/large rag"]["ram_tier_bytes"] == 8 * GIB


def test_settings_that_differ_become_factors_and_equal_ones_do_not() -> None:
    found = build([study("a", steps=60), study("b", steps=120)])
    names = {name for config in found.records.configs for name in config.factors}
    assert "train_steps" in names and "prompt_tokens" not in names
    assert len(found.records.configs) == 12


def test_a_study_given_twice_counts_once() -> None:
    data = study()
    assert build([data, data]).data_sha256 == build([data]).data_sha256


def test_results_that_a_second_study_reuses_count_once() -> None:
    data = study()
    other = dataclasses.replace(data.study, study_id="f" * 12, digest="f" * 64, name="again")
    found = build([data, dataclasses.replace(data, study=other)])
    assert "18 runs" in text(found, "reused_runs")
    assert len(found.usable()) == 18


def test_repeats_of_two_studies_are_averaged_and_said() -> None:
    data = study(models=("org/small",), methods=(NONE,), seeds=(1,))
    other = study("other", models=("org/small",), methods=(NONE,), seeds=(1,))
    other = with_scores(other, *range(len(other.scores)), score=1.0)
    found = build([data, other])
    assert found.records.tasks[0].table.scores.shape[0] == 1
    assert "averaged" in text(found, "repeated_runs")
    expected = np.mean([(row.score + 1.0) / 2 for row in data.scores])
    assert np.nanmean(found.records.tasks[0].table.scores) == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_run_with_a_score_that_is_no_number_is_rejected_whole(wrong: float) -> None:
    found = build([with_scores(study(), 0, score=wrong)])
    assert codes(found)["scores_not_numbers"] == "error"
    (rejected,) = [run for run in found.runs if run.status == "invalid"]
    assert rejected.state == "rejected: scores_not_numbers" and not rejected.scores
    # Its time and energy are not taken from a run that went wrong.
    assert rejected.measurements == ()


def test_an_item_scored_twice_alike_counts_once() -> None:
    data = study()
    found = build([dataclasses.replace(data, scores=(*data.scores, data.scores[0]))])
    assert codes(found)["duplicate_scores"] == "notice"
    assert np.array_equal(found.records.tasks[0].table.scores, build([data]).records.tasks[0].table.scores)


def test_an_item_scored_twice_differently_rejects_the_run() -> None:
    data = study()
    twin = dataclasses.replace(data.scores[0], score=1.0 - data.scores[0].score)
    found = build([dataclasses.replace(data, scores=(*data.scores, twin))])
    assert codes(found)["conflicting_duplicates"] == "error"
    assert sum(run.status == "invalid" for run in found.runs) == 1


def test_one_task_of_two_data_sets_is_two_tasks() -> None:
    a, b = study("a"), study("b")
    task = b.study.resolved["resolved_tasks"]["lamp-2"] | {"data": {"sha256": "9" * 64}}
    resolved = b.study.resolved | {"resolved_tasks": {"lamp-2": task}}
    b = dataclasses.replace(b, study=dataclasses.replace(b.study, resolved=resolved))
    found = build([a, b])
    assert [entry.table.task for entry in found.records.tasks][1] == "lamp-2#99999999"
    assert "2 different ones" in text(found, "tasks_differ")


def test_mixed_software_is_said_with_the_versions() -> None:
    data = study()
    newer = dataclasses.replace(
        data.attempts[0], environment_digest="f" * 64, worker=data.attempts[0].worker | {"torch": "2.13"}
    )
    found = build([dataclasses.replace(data, attempts=(newer, *data.attempts[1:]))])
    assert "torch 2.13 and 2.9.0" in text(found, "mixed_software")


def test_a_memory_limit_makes_a_tier_of_its_own_that_is_emulated() -> None:
    found = build([study("real"), study("small", limit_bytes=2 * GIB)])
    assert set(found.tiers) == {"8 GiB", "2 GiB, emulated"}
    assert found.tiers["2 GiB, emulated"].emulated
    assert not any(task.emulated for task in found.records.tasks)
    assert build([study(limit_bytes=2 * GIB)]).records.tasks[0].emulated


@pytest.mark.parametrize(("memory", "tier"), [(7.4, "8 GiB"), (3.9, "4 GiB"), (61.4, "64 GiB"), (8, "8 GiB")])
def test_a_box_has_the_memory_that_it_is_sold_with(memory: float, tier: str) -> None:
    assert set(build([study(memory_bytes=int(memory * GIB))]).tiers) == {tier}


def test_the_digest_of_the_records_sees_every_score_and_figure() -> None:
    data = study()
    seen = {build([data]).data_sha256}
    seen.add(build([with_scores(data, 7, score=0.25)]).data_sha256)
    figure = dataclasses.replace(data.measurements[0], value=9.9)
    seen.add(build([dataclasses.replace(data, measurements=(figure, *data.measurements[1:]))]).data_sha256)
    failed = dataclasses.replace(data.attempts[0], status="failed", failure_class="timeout")
    seen.add(build([dataclasses.replace(data, attempts=(failed, *data.attempts[1:]))]).data_sha256)
    assert len(seen) == 4


def test_the_order_of_studies_changes_nothing() -> None:
    a, b = study("a"), study("b", device="nano")
    assert build([a, b]).data_sha256 == build([b, a]).data_sha256


def test_histories_of_users_are_numbered_as_the_scores_are() -> None:
    data = study(users=3)
    sizes = {"lamp-2": {"u0": 4, "u1": 1, "u2": 9, "other": 5}}
    found = build([dataclasses.replace(data, histories=sizes)])
    assert found.records.tasks[0].history_of_user == {0: 4, 1: 1, 2: 9}
    assert found.data_sha256 != build([data]).data_sha256
    lacking = build([dataclasses.replace(data, histories={"lamp-2": {"u0": 4}})])
    assert lacking.records.tasks[0].history_of_user is None


def test_profiles_are_counted_per_user(tmp_path: Path) -> None:
    rows = [("a", 2), ("a", 5), ("b", 0)]
    text = "".join(json.dumps({"user": user, "profile": [{}] * size}) + "\n" for user, size in rows)
    (tmp_path / "task.jsonl").write_text(text)
    assert histories(tmp_path / "task.jsonl") == {"a": 5, "b": 0}
    (tmp_path / "task.jsonl").write_text(text + "no json\n")
    assert histories(tmp_path / "task.jsonl") == {}
    assert histories(tmp_path / "none.jsonl") == {}


def test_a_factor_of_a_cell_beats_the_setting_of_its_study() -> None:
    data = study("a")
    cells = tuple(
        dataclasses.replace(cell, factors=cell.factors | {"train_samples": 7}) for cell in data.cells
    )
    other = study("b", steps=90)
    resolved = other.study.resolved | {"budgets": {"train": {"steps": 90, "samples": 5}, "attempt": {}}}
    other = dataclasses.replace(other, study=dataclasses.replace(other.study, resolved=resolved))
    found = build([dataclasses.replace(data, cells=cells), other])
    assert {config.factors["train_samples"] for config in found.records.configs} == {5, 7}


def test_a_study_that_still_runs_is_said() -> None:
    data = study()
    running = dataclasses.replace(data, study=dataclasses.replace(data.study, state="active"))
    assert codes(build([running]))["unfinished"] == "notice"
    assert "unfinished" not in codes(build([data]))


def test_a_setting_that_an_older_study_does_not_know_is_no_difference() -> None:
    old, new = study("old"), study("new", device="nano")
    budgets = {"train": {"steps": 60, "samples": 0, "held_out_share": 0.0, "points": []}, "attempt": {}}
    resolved = new.study.resolved | {"budgets": budgets, "threads": 0}
    new = dataclasses.replace(new, study=dataclasses.replace(new.study, resolved=resolved))
    assert len(build([old, new]).records.configs) == 6
