"""The whole engine on planted worlds: one fixed study each, and what bad input does to verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from edgerig_controller.guidelines.claims import Claim, contradictions, of_study, registered
from edgerig_controller.guidelines.guideline import INSTRUMENT_CHECK, SCHEMA, Guideline, judge_family
from edgerig_controller.guidelines.matching import (
    StudyRecords,
    TaskEvidence,
    compression_family,
    matched_pairs,
)
from edgerig_controller.guidelines.scores import Config, FailedCell, ScoreTable
from edgerig_controller.guidelines.verdict import Verdict
from edgerig_controller.guidelines.worlds import W2_X95, WORLDS, records_of


@cache
def records(world: str, users: int = 0) -> StudyRecords:
    found = WORLDS[world] if not users else replace(WORLDS[world], users=users)
    return records_of(found, np.random.default_rng(20240607))


@cache
def judged(world: str) -> dict[str, Guideline]:
    return {found.claim_id: found for found in judge_family(records(world), registered())}


def change(study: StudyRecords, turn: Callable[[TaskEvidence], TaskEvidence]) -> StudyRecords:
    return replace(study, tasks=tuple(turn(task) for task in study.tasks))


def scores_changed(task: TaskEvidence, scores: np.ndarray) -> TaskEvidence:
    return replace(task, table=replace(task.table, scores=scores))


RAG_HELPS = {
    "id": "c",
    "better": {"method.kind": "rag"},
    "than": {"method.kind": "lora"},
    "metric": "accuracy",
}


def one(study: StudyRecords, entry: dict[str, object]) -> Guideline:
    return judge_family(study, [of_study(entry)])[0]


def test_no_effect_supports_nothing() -> None:
    assert not [name for name, found in judged("W0").items() if found.verdict.startswith("supported")]
    assert len(judged("W0")) == 13


def test_an_inverted_u_is_found_with_its_vertex() -> None:
    found = judged("W1")["H1"]
    assert found.verdict == Verdict.SUPPORTED.value
    assert 0.3 < found.facts["vertex"] < 0.7


def test_gains_of_either_sign_are_no_heterogeneity_of_a_shape() -> None:
    def split(task: TaskEvidence) -> TaskEvidence:
        """RAG leads by far on every other task: gains of both signs, and no bend."""
        scores = task.table.scores.copy()
        lead = 0.3 if int(task.table.task.removeprefix("task-")) % 2 else -0.3
        for at, config in enumerate(records("W0").configs):
            if config.factors["method"]["kind"] == "rag":
                scores[at] += lead
        return scores_changed(task, scores)

    found = judge_family(change(records("W0"), split), registered())[0]
    assert found.verdict == Verdict.UNDERPOWERED.value
    assert (found.positive_tasks, found.negative_tasks, found.k_of_t) == (0, 0, (0, 0))
    assert found.counterexamples == () and len(found.places) == 7


def test_an_inverted_u_of_one_measure_alone_is_not_enough() -> None:
    def forget(task: TaskEvidence) -> TaskEvidence:
        assert task.difficulty is not None
        return replace(task, difficulty={"D1": task.difficulty["D1"]})

    found = judge_family(change(records("W1"), forget), registered())[0]
    assert found.verdict == Verdict.DEFINITION_DEPENDENT.value


def test_saturation_is_equivalence_and_its_budget_is_found() -> None:
    study = records_of(replace(WORLDS["W2"], users=300), np.random.default_rng(5))
    found = judge_family(study, [claim for claim in registered() if claim.claim_id == "H2"])[0]
    assert found.verdict == Verdict.EQUIVALENT.value
    assert found.facts["x95_samples"]["low"] <= W2_X95 <= found.facts["x95_samples"]["high"]
    assert found.facts["chosen"] == 100


def test_harm_on_every_task_contradicts() -> None:
    found = judged("W3")["H3a"]
    assert found.verdict == Verdict.CONTRADICTED.value
    assert "the opposite holds" in found.statement
    assert len(found.counterexamples) >= 3 and set(found.counterexamples) <= set(found.tasks)


def test_opposite_signs_are_heterogeneous() -> None:
    found = judged("W4")["H3a"]
    assert found.verdict == Verdict.HETEROGENEOUS.value
    assert (found.positive_tasks, found.negative_tasks) >= (1, 1)


def test_too_few_data_are_named_and_what_would_do_is_said() -> None:
    found = judged("W5")["H3a"]
    assert found.verdict == Verdict.UNDERPOWERED.value
    assert found.needed is not None and (found.needed["items"] or 0) > 100
    assert "could not tell" in found.statement and "more items" in found.statement


def test_a_cell_that_failed_leaves_its_claims_untested_and_the_others_alone() -> None:
    lost = next(c for c in records("W0").configs if c.factors["method"]["kind"] == "ia3").config_id

    def fail(task: TaskEvidence) -> TaskEvidence:
        scores = task.table.scores.copy()
        scores[task.table.configs.index(lost)] = np.nan
        failed = (FailedCell(lost, task.table.task, 1, "oom"),)
        return replace(scores_changed(task, scores), failed=failed)

    found = {entry.claim_id: entry for entry in judge_family(change(records("W0"), fail), registered())}
    assert found["H4"].verdict == Verdict.NOT_TESTED.value
    assert "oom" in found["H4"].reasons[0]
    assert found["H3a"] == judged("W0")["H3a"]


def test_emulated_hardware_alone_tests_nothing() -> None:
    found = judge_family(change(records("W3"), lambda task: replace(task, emulated=True)), registered())
    assert {entry.verdict for entry in found} == {Verdict.NOT_TESTED.value}
    assert {entry.hardware for entry in found} == {"emulated"}


def test_all_cells_failed_is_no_traceback() -> None:
    empty = change(records("W5"), lambda task: scores_changed(task, np.full_like(task.table.scores, np.nan)))
    found = judge_family(empty, [claim for claim in registered() if claim.claim_id != "H9"])
    assert {entry.verdict for entry in found} == {Verdict.NOT_TESTED.value}


@pytest.mark.parametrize(("users", "seeds", "tasks"), [(1, 3, 5), (12, 1, 5), (12, 3, 1), (1, 1, 1)])
def test_one_of_anything_gives_a_verdict_or_a_reason(users: int, seeds: int, tasks: int) -> None:
    def cut(task: TaskEvidence) -> TaskEvidence:
        table, keep = task.table, task.table.user_of_item < users
        scores = table.scores[:, keep, :seeds]
        return replace(
            task,
            table=ScoreTable(
                table.task, table.configs, table.seeds[:seeds], table.user_of_item[keep], scores
            ),
        )

    study = change(replace(records("W5"), tasks=records("W5").tasks[:tasks]), cut)
    for found in judge_family(study, registered()):
        assert found.reasons
        if users == 1 and found.claim_id != "H9" and tasks == 1:
            assert found.verdict == Verdict.NOT_TESTED.value


def test_starter_models_are_labelled() -> None:
    study = replace(records("W5"), instrument_check=True)
    assert {found.label for found in judge_family(study, registered())} == {INSTRUMENT_CHECK}


def test_a_guideline_is_what_its_schema_says() -> None:
    for found in (*judged("W0").values(), *judged("W3").values()):
        document = found.as_json()
        assert set(document) == set(SCHEMA["properties"]) == set(SCHEMA["required"])
        assert json.loads(json.dumps(document, allow_nan=False))["claim_id"] == found.claim_id
        assert document["verdict"] in SCHEMA["properties"]["verdict"]["enum"]


def test_the_same_records_give_the_same_guidelines() -> None:
    assert judge_family(records("W4"), registered()) == tuple(judged("W4").values())


def test_a_claim_of_a_study_file_is_tested_on_matched_cells() -> None:
    found = one(records("W1"), {**RAG_HELPS, "margin": 1.0})
    assert found.unit == "points" and found.delta == 1.0
    # The mean of 1 - (2x - 1)^2 over 14 tasks from 0 to 1, times 10.
    assert found.estimate == pytest.approx(6.15, abs=2.5)


def test_worse_is_better_with_the_sides_swapped() -> None:
    up, down = one(records("W4"), RAG_HELPS), one(records("W4"), {**RAG_HELPS, "direction": "smaller"})
    assert down.estimate == pytest.approx(-(up.estimate or 0.0))


def test_a_measured_figure_is_a_log_ratio_with_its_margin_in_percent() -> None:
    entry = {**RAG_HELPS, "metric": "j_per_request", "margin": 10.0, "direction": "smaller"}
    found = one(records("W0"), entry)
    assert found.verdict == Verdict.EQUIVALENT.value
    assert "%" in found.statement


def test_an_rmse_claim_is_positive_where_the_error_is_lower() -> None:
    entry = {"id": "r", "better": {"compression.kind": "none"}, "than": {"compression.kind": "rtn-int4"}}
    found = one(records("W3"), {**entry, "metric": "rmse"})
    assert found.unit == "rating"
    assert found.interval_95 is not None and found.interval_95[0] > 0


def test_a_claim_without_cells_or_figures_is_not_tested() -> None:
    for entry in ({**RAG_HELPS, "better": {"method.kind": "spin"}}, {**RAG_HELPS, "metric": "ttft_s"}):
        assert one(records("W0"), entry).verdict == Verdict.NOT_TESTED.value


def test_sides_without_a_common_seed_are_a_reason_and_no_traceback() -> None:
    def part(task: TaskEvidence) -> TaskEvidence:
        scores = task.table.scores.copy()
        for at, config in enumerate(records("W5").configs):
            scores[at, :, at % 2 :: 2] = np.nan
            assert task.table.configs[at] == config.config_id
        return scores_changed(task, scores)

    found = judge_family(change(records("W5"), part), registered())
    assert any("no item was scored on all sides" in entry.reasons[0] for entry in found)


def test_a_figure_that_is_no_number_is_a_reason_and_no_traceback() -> None:
    def spoil(task: TaskEvidence) -> TaskEvidence:
        energy = {name: (0.0, *values[1:]) for name, values in task.runs[0].figures["j_per_request"].items()}
        return replace(task, runs=(replace(task.runs[0], figures={"j_per_request": energy}),))

    found = {g.claim_id: g for g in judge_family(change(records("W0"), spoil), registered())}
    assert found["H9"].verdict == Verdict.NOT_TESTED.value
    assert "positive number" in found["H9"].reasons[0]


def test_an_rmse_claim_with_gaps_is_not_tested() -> None:
    def gap(task: TaskEvidence) -> TaskEvidence:
        scores = task.table.scores.copy()
        scores[:, 0, 0] = np.nan
        return scores_changed(task, scores)

    found = one(change(records("W5"), gap), {**RAG_HELPS, "metric": "rmse"})
    assert found.verdict == Verdict.NOT_TESTED.value
    assert "every item" in found.reasons[0]


def test_equal_difficulties_leave_the_inverted_u_untested() -> None:
    study = change(records("W0"), lambda task: replace(task, difficulty={"D1": 0.5}))
    assert judge_family(study, registered())[0].verdict == Verdict.NOT_TESTED.value


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="direction"):
        of_study({**RAG_HELPS, "direction": "up"})


def test_claims_that_exclude_each_other_are_found() -> None:
    turned = {**RAG_HELPS, "id": "d", "better": RAG_HELPS["than"], "than": RAG_HELPS["better"]}
    assert contradictions([RAG_HELPS, turned]) == [("c", "d")]
    assert contradictions([RAG_HELPS, {**turned, "direction": "smaller"}]) == []


def test_all_of_the_history_is_a_level_like_any_other() -> None:
    def everything(config: Config) -> Config:
        whole = config.factors["history"] == 64
        return replace(config, factors={**config.factors, "history": -1}) if whole else config

    study = replace(records("W0"), configs=tuple(everything(config) for config in records("W0").configs))
    found = {entry.claim_id: entry for entry in judge_family(study, registered())}["H6"]
    assert found.facts["against"] == "all"
    assert found.estimate == judged("W0")["H6"].estimate
    # All of it is the largest amount, though it is stored as -1.
    changed = {entry.claim_id: entry.estimate for entry in judge_family(study, registered())}
    assert changed["H3a"] == judged("W0")["H3a"].estimate


def test_pairs_agree_in_all_that_is_not_free() -> None:
    def config(name: str, kind: str, history: int) -> Config:
        return Config(name, {"method": {"kind": kind}, "history": history})

    rag = [config("r4", "rag", 4), config("r16", "rag", 16)]
    lora = [config("l4", "lora", 4), config("l64", "lora", 64)]
    assert matched_pairs(rag, lora, {"method"}) == [{"r4": 1.0, "l4": -1.0}]


@pytest.mark.parametrize(
    ("kind", "family"),
    [("none", "none"), ("gptq-int4", "quantised"), ("bnb-nf4", "quantised"), ("wanda", "pruned")],
)
def test_compressions_have_families(kind: str, family: str) -> None:
    assert compression_family(Config("c", {"compression": {"kind": kind}})) == family


def test_a_compression_without_a_family_is_not_taken_for_none() -> None:
    assert compression_family(Config("c", {"compression": {"kind": "folding"}})) == "other"


def test_cold_start_users_are_those_with_the_least_history() -> None:
    # Planted: the combination gains 30 points for users with 4 items of history, and nothing else.
    def help_cold(task: TaskEvidence) -> TaskEvidence:
        scores = task.table.scores.copy()
        both = [at for at, name in enumerate(task.table.configs) if "/rag-lora/" in name]
        assert task.history_of_user is not None
        cold = [user for user, size in task.history_of_user.items() if size == 4]
        scores[np.ix_(both, np.isin(task.table.user_of_item, cold))] += 0.3
        return scores_changed(task, scores)

    study = change(records("W3"), help_cold)
    found = {entry.claim_id: entry for entry in judge_family(study, registered())}
    assert found["H10b"].verdict == Verdict.SUPPORTED.value
    assert found["H10b"].estimate == pytest.approx(30.0, abs=6.0)
    assert (found["H10"].estimate or 0.0) < 12.0


def test_users_of_unknown_history_leave_cold_start_untested() -> None:
    study = change(records("W3"), lambda task: replace(task, history_of_user=None))
    found = {entry.claim_id: entry for entry in judge_family(study, registered())}
    assert found["H10b"].verdict == Verdict.NOT_TESTED.value
    assert "history" in found["H10b"].reasons[0]


def test_holm_spares_a_lone_claim() -> None:
    def of(claims: list[Claim]) -> Guideline:
        return next(g for g in judge_family(records("W4"), claims) if g.claim_id == "H3a")

    alone = of([claim for claim in registered() if claim.claim_id == "H3a"])
    among = of(list(registered()))
    assert alone.interval == pytest.approx(alone.interval_95)
    assert alone.interval is not None and among.interval is not None
    assert among.interval[0] < alone.interval[0]
