"""Verdicts with an origin, bad input that is said and never a traceback, and replays bit for bit."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from edgerig.errors import DataError, NotFoundError, UsageError
from edgerig_controller.evidence import exported, replay
from edgerig_controller.evidence.build import build
from edgerig_controller.evidence.judge import Guide, as_document, judge
from edgerig_controller.export import export
from edgerig_controller.guidelines.document import DOCUMENT_SCHEMA
from edgerig_controller.guidelines.guideline import INSTRUMENT_CHECK, Guideline
from edgerig_controller.report.data import StudyData
from edgerig_controller.report.guide.build import build as build_report
from edgerig_controller.report.guide.extras import document as whole
from tests.controller.evidence.made import BEGAN_S, LORA, NONE, RAG, RAG_HELPS, study
from tests.controller.evidence.schema import check

LORA_HELPS = RAG_HELPS | {"id": "lora-helps", "better": {"method.kind": "lora"}}
CHEAPER = {
    "id": "rag-costs",
    "better": {"method.kind": "rag"},
    "than": {"method.kind": "none"},
    "metric": "j_per_request",
    "margin": 10.0,
    "direction": "smaller",
}


def guided(*studies: StudyData) -> Guide:
    return judge(build(studies))


def own(guide: Guide, claim_id: str = "rag-helps") -> Guideline:
    return next(found for found in guide.family("study file") if found.claim_id == claim_id)


def codes(guide: Guide) -> dict[str, str]:
    return {notice.code: notice.level for notice in guide.notices}


def test_a_registered_claim_has_a_verdict_with_scope_and_origin() -> None:
    data = study(users=40)
    found = own(guided(data))
    assert found.verdict == "supported"
    assert found.scope.tasks == ("lamp-2",) and found.scope.devices == ("orin-01",)
    assert found.scope.ranges["method"] == ("none", "rag")
    assert sorted(found.contrast.values()) == [-0.5, -0.5, 0.5, 0.5]
    kinds = {row.attempt_id: data.cells[row.cell_index].factors["method"]["kind"] for row in data.attempts}
    assert {kinds[name] for name in found.origin.run_ids} == {"none", "rag"}
    assert len(found.origin.run_ids) == 12
    assert found.origin.studies[0]["digest"] == data.study.digest
    assert found.preregistered and found.origin.first_run_unix_s == BEGAN_S + 10


def test_a_claim_on_energy_names_the_runs_of_its_device_only() -> None:
    far = study("far", device="nano", boundary="wall_ac", models=("org/small",), claims=())
    found = own(guided(study(claims=(CHEAPER,)), far), "rag-costs")
    # RAG was made half as dear again, and smaller is the claim's side.
    assert found.verdict == "contradicted"
    assert found.scope.devices == ("orin-01",)
    assert all(not name.startswith(far.study.study_id[:4]) for name in found.origin.run_ids)


def test_results_older_than_the_registration_are_not_preregistered() -> None:
    data = study()
    late = dataclasses.replace(data.study, created_unix_s=BEGAN_S + 5000)
    assert not own(guided(dataclasses.replace(data, study=late))).preregistered


def test_starter_models_are_an_instrument_check_and_others_are_not() -> None:
    starters = guided(study(models=("starter/small", "starter/large")))
    assert own(starters).label == INSTRUMENT_CHECK
    assert {found.label for found in starters.guidelines} == {INSTRUMENT_CHECK}
    assert own(guided(study())).label == ""
    both = guided(study(models=("starter/small", "org/large")))
    assert own(both).label == ""


def test_both_families_are_judged_and_h1_to_h10_do_not_change_the_claims_level() -> None:
    guide = guided(study())
    assert {found.claim_id for found in guide.family("registered")} >= {f"H{n}" for n in (1, 2, 4, 5, 10)}
    found = own(guide)
    assert found.interval == found.interval_95


def test_a_claim_is_tested_on_the_tasks_that_its_metric_scores() -> None:
    ratings = study("ratings", tasks=("lamp-3",), metric="rating", claims=(RAG_HELPS,))
    found = own(guided(study("labels"), ratings))
    assert found.scope.tasks == ("lamp-2",)
    alone = own(guided(study("ratings", tasks=("lamp-3",), metric="rating")))
    assert (alone.verdict, alone.reasons) == ("not tested", ("no task is scored by accuracy",))


def test_the_same_claim_of_two_studies_is_one_and_another_of_the_same_name_is_not() -> None:
    a, b = study("a"), study("b", steps=90)
    assert len(guided(a, b).family("study file")) == 1
    other = study("b", steps=90, claims=(RAG_HELPS | {"margin": 5.0},))
    assert [g.claim_id for g in guided(a, other).family("study file")] == ["rag-helps", "b/rag-helps"]


def test_cells_that_were_planned_on_some_tasks_only_are_not_required() -> None:
    wide, narrow = study("a", tasks=("lamp-1", "lamp-2", "lamp-3")), study("b", steps=90)
    found = own(guided(wide, narrow))
    assert len(found.tasks) == 3 and found.verdict != "not tested"
    assert found.facts["left_out_not_planned_on_all_tasks"] == 6
    assert all(name.startswith(wide.study.study_id[:4]) for name in found.origin.run_ids)


def test_cells_that_failed_are_required() -> None:
    def dies(factors: dict[str, Any]) -> str:
        return "oom_cuda" if (factors["task"], factors["method"]) == ("lamp-3", RAG) else ""

    wide = study("a", tasks=("lamp-1", "lamp-2", "lamp-3"), fails=dies)
    assert own(guided(wide, study("b", steps=90))).verdict == "not tested"


def test_studies_that_share_no_cell_on_all_tasks_are_said_to_lack_them() -> None:
    found = own(guided(study("a", tasks=("lamp-1",)), study("b", tasks=("lamp-2",), steps=90)))
    assert found.verdict == "not tested" and "not_run" in found.reasons[0]


class TestBadInput:
    def test_one_seed_of_a_trained_cell_gives_no_verdict(self) -> None:
        guide = guided(study(seeds=(1,), claims=(RAG_HELPS, LORA_HELPS), users=40))
        assert own(guide, "lora-helps").verdict == "not tested"
        assert "one seed" in own(guide, "lora-helps").reasons[0]
        # Nothing trains here and decoding is greedy: one seed is all there is to know.
        assert own(guide).verdict == "supported"
        assert (codes(guide)["one_seed"], codes(guide)["claim_not_tested"]) == ("notice", "error")

    def test_one_user_gives_no_verdict(self) -> None:
        guide = guided(study(users=1, items=30))
        assert own(guide).verdict == "not tested"
        assert codes(guide) == {
            "one_task": "notice",
            "one_user": "notice",
            "claim_not_tested": "error",
        }

    def test_one_task_is_said(self) -> None:
        guide = guided(study())
        assert codes(guide) == {"one_task": "notice"} and not guide.has_errors
        assert own(guide).statement.startswith("On lamp-2, the only task measured, RAG is better than")
        assert own(guide).prediction is None

    def test_all_cells_failed(self) -> None:
        guide = guided(study(fails=lambda factors: "oom_host"))
        assert {found.verdict for found in guide.guidelines} == {"not tested"}
        assert codes(guide)["nothing_usable"] == "error"
        assert "oom_host" in own(guide).reasons[0]

    def test_boundaries_are_never_compared(self) -> None:
        none = study("a", methods=(NONE,), claims=())
        rag = study("b", methods=(RAG,), boundary="wall_ac", claims=())
        claimed = dataclasses.replace(none.study, claims=[CHEAPER])
        guide = guided(dataclasses.replace(none, study=claimed), rag)
        assert own(guide, "rag-costs").verdict == "not tested"
        assert codes(guide)["mixed_boundaries"] == "notice"

    def test_scores_that_are_no_numbers(self) -> None:
        data = study(users=40)
        bad = dataclasses.replace(data.scores[0], score=math.nan)
        guide = guided(dataclasses.replace(data, scores=(bad, *data.scores[1:])))
        assert codes(guide)["scores_not_numbers"] == "error"
        # The other runs are judged without the rejected one.
        assert own(guide).n_seeds == 2 and data.scores[0].attempt_id not in own(guide).origin.run_ids

    def test_contradictory_claims(self) -> None:
        against = RAG_HELPS | {"id": "rag-harms", "better": RAG_HELPS["than"], "than": RAG_HELPS["better"]}
        guide = guided(study(claims=(RAG_HELPS, against), users=40))
        assert codes(guide)["contradictory_claims"] == "error"
        assert (own(guide).verdict, own(guide, "rag-harms").verdict) == ("supported", "contradicted")

    def test_no_claim(self) -> None:
        guide = guided(study(claims=()))
        assert guide.family("study file") == () and codes(guide)["no_claims"] == "notice"

    def test_a_claim_that_cannot_be_read(self) -> None:
        with pytest.raises(DataError, match="cannot be read"):
            guided(study(claims=({"id": "x", "metric": "accuracy"},)))

    def test_a_study_without_any_result(self) -> None:
        data = study()
        trials = tuple(
            dataclasses.replace(row, state="queued", canonical_attempt_id=None) for row in data.trials
        )
        empty = dataclasses.replace(data, trials=trials, attempts=(), measurements=(), scores=(), devices=())
        assert {found.verdict for found in guided(empty).guidelines} == {"not tested"}


def test_the_document_is_what_its_schema_says(tmp_path: Path) -> None:
    guide = guided(study(tasks=("lamp-1", "lamp-2", "lamp-4"), claims=(RAG_HELPS, CHEAPER)))
    document = json.loads(json.dumps(whole(build_report(guide, now_unix_s=1.0)), allow_nan=False))
    assert check(document, DOCUMENT_SCHEMA) == []
    document["guidelines"][0]["verdict"] = "proven"
    del document["guidelines"][1]["origin"]["run_ids"]
    assert check(document, DOCUMENT_SCHEMA) == [
        "guidelines[0].verdict: 'proven' is not allowed",
        "guidelines[1].origin: run_ids is missing",
    ]


def test_a_figure_is_said_as_how_many_times_as_much_whichever_way_it_was_claimed() -> None:
    turned = CHEAPER | {
        "id": "other-way",
        "direction": {"smaller": "larger", "larger": "smaller"}[CHEAPER["direction"]],
    }
    guide = guided(study(tasks=("lamp-1", "lamp-2", "lamp-4"), claims=(CHEAPER, turned)))
    a, b = guide.family("study file")
    times = [re.search(r"([0-9.]+) times as much", found.statement) for found in (a, b)]
    assert times[0] is not None and times[1] is not None and times[0][1] == times[1][1]
    # One of the two holds, the other says so by its opposite: the same words.
    assert ("the opposite holds" in a.statement) != ("the opposite holds" in b.statement)
    assert guide.has_errors and "contradictory_claims" in codes(guide)


def test_many_missing_cells_are_said_by_the_first_three() -> None:
    guide = guided(study(tasks=("lamp-1", "lamp-2", "lamp-4"), fails=lambda factors: "oom_host"))
    (text,) = [notice.text for notice in guide.notices if notice.code == "claim_not_tested"]
    assert text.startswith("rag-helps is not tested: ") and text.endswith("; and 9 more")


class TestReplay:
    def written(self, *studies: StudyData) -> list[dict[str, Any]]:
        text = json.dumps(guided(*studies).document(now_unix_s=1.0))
        entries: list[dict[str, Any]] = json.loads(text)["guidelines"]
        return entries

    def test_every_guideline_is_recomputed_bit_for_bit(self) -> None:
        studies = (study("a", tasks=("lamp-1", "lamp-2", "lamp-3")), study("b", steps=90))
        entries = self.written(*studies)
        found = replay.compare(entries, guided(*reversed(studies)))
        assert len(found) == len(entries) > 10 and all(one.identical for one in found)

    def test_from_an_export_as_from_the_rows(self, tmp_path: Path) -> None:
        data = study(fails=lambda f: "oom_cuda" if f["method"] == LORA else "")
        export(data, "parquet", tmp_path)
        assert all(
            one.identical for one in replay.compare(self.written(data), guided(exported.read(tmp_path)))
        )

    def test_one_other_score_is_found_field_by_field(self) -> None:
        data = study()
        at = next(
            n for n, row in enumerate(data.scores) if data.cells[row.cell_index].factors["method"] == RAG
        )
        row = dataclasses.replace(data.scores[at], score=1.0 - data.scores[at].score)
        changed = dataclasses.replace(data, scores=(*data.scores[:at], row, *data.scores[at + 1 :]))
        found = replay.compare(self.written(data), guided(changed))
        places = {row.place for row in found[0].differences}
        assert {"estimate", "interval", "origin.data_sha256", "statement"} <= places
        assert "origin.run_ids" not in places

    def test_the_last_bit_of_a_number_counts(self) -> None:
        (entry, *_) = self.written(study())
        entry["estimate"] = math.nextafter(entry["estimate"], math.inf)
        (found,) = replay.compare([entry], guided(study()))
        assert [row.place for row in found.differences] == ["estimate"]

    def test_other_code_with_the_same_findings_is_said_and_is_identical(self) -> None:
        (entry, *_) = self.written(study())
        entry["origin"]["code"]["numpy"] = "1.26.0"
        (found,) = replay.compare([entry], guided(study()))
        assert found.identical and found.other_code[0].place == "origin.code.numpy"

    def test_a_claim_that_the_study_does_not_have(self) -> None:
        (entry, *_) = self.written(study())
        (found,) = replay.compare([entry | {"claim_id": "other"}], guided(study()))
        assert not found.identical

    @pytest.mark.parametrize(
        "text", ["", "{}", "[]", "[1]", '{"guidelines": []}', '{"guideline": 2}', "\xff"]
    )
    def test_a_file_that_holds_no_guideline(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "g.json"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(DataError):
            replay.read(path)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError):
            replay.read(tmp_path / "none.json")

    def test_one_guideline_alone_can_be_replayed(self, tmp_path: Path) -> None:
        data = study()
        (tmp_path / "one.json").write_text(json.dumps(as_document(own(guided(data)))))
        (found,) = replay.compare(replay.read(tmp_path / "one.json"), guided(data))
        assert found.identical

    def test_guidelines_of_different_studies_in_one_file(self) -> None:
        entries = [*self.written(study("a")), *self.written(study("b"))]
        with pytest.raises(UsageError, match="different studies"):
            replay.studies_of(entries)


def test_the_reference_names_every_field_and_every_code() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "guideline.md").read_text(encoding="utf-8")
    guideline = DOCUMENT_SCHEMA["properties"]["guidelines"]["items"]["properties"]
    names = {*guideline, *(f"origin.{name}" for name in guideline["origin"]["properties"])} - {"origin"}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
    source = Path(__file__).parents[3] / "controller" / "edgerig_controller" / "evidence"
    said = {
        code
        for path in source.glob("*.py")
        for code in re.findall(r'Notice\(\s*"(?:error|notice)",\s*"(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert len(said) > 8
    assert [code for code in sorted(said) if f"`{code}`" not in page] == []


def test_runs_on_emulated_hardware_are_counted() -> None:
    real, small = study("real", tasks=("a", "b")), study("small", tasks=("a", "b"), limit_bytes=2**31)
    found = own(guided(real, small))
    assert found.hardware == "measured"
    assert "24 of 48 runs were made under a memory limit" in found.notes[-1]
    assert own(guided(small)).hardware == "emulated"
