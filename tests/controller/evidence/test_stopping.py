"""Which waiting trials of a study need not run, on studies that are made up and cut off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from edgerig_controller.evidence.build import build
from edgerig_controller.evidence.judge import claim_of, judge
from edgerig_controller.evidence.stopping import LeftOut, decision, has_rule, left_out, narrow
from edgerig_controller.report.data import StudyData
from edgerig_controller.store.rows import TrialState
from tests.controller.evidence import made

SEEDS = (1, 2, 3, 4, 5)
CLAIMS = (
    made.RAG_HELPS,
    {
        **made.RAG_HELPS,
        "id": "lora-over-rag",
        "better": {"method.kind": "lora"},
        "than": {"method.kind": "rag"},
    },
)


def skill(clear: Mapping[str, float]) -> made.Skill:
    return lambda factors: clear[factors["method"]["kind"]]


def study(done: int, clear: Mapping[str, float], *, stop: str = "when_settled", **given: Any) -> StudyData:
    """Makes a study of five seeds whose first seeds are done and whose others wait."""
    data = made.study(
        claims=given.pop("claims", CLAIMS),
        seeds=SEEDS,
        users=60,
        items=6,
        models=("org/large",),
        skill=skill(clear),
        **given,
    )
    kept = set(SEEDS[:done])
    resolved = {**data.study.resolved, "stop": stop, "seeds": list(SEEDS), "repeats": 1}
    trials = tuple(
        trial
        if trial.seed in kept
        else replace(trial, state="queued", canonical_attempt_id=None, attempt_count=0)
        for trial in data.trials
    )
    return replace(
        data,
        study=replace(data.study, resolved=resolved, state="active"),
        trials=trials,
        attempts=tuple(row for row in data.attempts if row.seed in kept),
        measurements=tuple(row for row in data.measurements if row.seed in kept),
        scores=tuple(row for row in data.scores if row.seed in kept),
    )


def out(data: StudyData) -> tuple[LeftOut, ...]:
    return left_out(data, [claim_of(entry) for entry in data.study.claims])


CLEAR = {"none": 0.2, "rag": 0.5, "lora": 0.8}


def test_once_all_claims_are_settled_nothing_more_need_run() -> None:
    data = study(2, CLEAR)
    found = out(data)
    assert {entry.trial_id for entry in found} == {t.trial_id for t in data.trials if t.state == "queued"}
    assert len(found) == 9
    assert "rag-helps supported after 2 seeds" in found[0].reason


def test_before_the_first_look_everything_runs() -> None:
    assert out(study(1, CLEAR)) == ()


def test_a_look_waits_for_the_whole_block() -> None:
    data = study(2, CLEAR)
    last = next(trial for trial in data.trials if trial.seed == 2)
    trials = tuple(replace(trial, state="leased") if trial is last else trial for trial in data.trials)
    assert out(replace(data, trials=trials)) == ()


def test_a_study_that_did_not_ask_runs_to_its_end() -> None:
    assert out(study(2, CLEAR, stop="never")) == ()
    assert not has_rule({"stop": "never", "precision": None})
    assert has_rule({"precision": {"repeats": 3}})


def test_cells_of_open_claims_and_of_no_claim_go_on() -> None:
    # RAG against none is clear; LoRA against RAG differs by about as much as may count.
    data = study(2, {"none": 0.2, "rag": 0.6, "lora": 0.63}, claims=CLAIMS)
    found = decision(data, [claim_of(entry) for entry in CLAIMS])
    assert found is not None
    state = {entry.claim_id: entry.why for entry in found.standings}
    assert state["rag-helps"] == "decided"
    if state["lora-over-rag"] == "open":
        config_of = build([data]).config_of
        names = {config_of[entry.trial_id] for entry in out(data)}
        assert names and all("none" in name for name in names)


def test_the_verdicts_of_an_adaptive_study_are_those_of_its_looks() -> None:
    data = study(2, CLEAR)
    adaptive = judge(build([data])).family("study file")
    plain = replace(data, study=replace(data.study, resolved={**data.study.resolved, "stop": "never"}))
    usual = judge(build([plain])).family("study file")
    assert [found.verdict for found in adaptive] == [found.verdict for found in usual]
    # Peeking is paid for: the interval of an early look is wider than that of a planned end.
    for early, late in zip(adaptive, usual, strict=True):
        assert early.interval is not None and late.interval is not None
        assert early.interval[1] - early.interval[0] > late.interval[1] - late.interval[0]


def test_the_same_rows_give_the_same_answer_again() -> None:
    assert out(study(3, CLEAR)) == out(study(3, CLEAR))


RUNS = [{("ttft_s", ""): 0.100 + 0.001 * n, ("j_per_request", "module_in"): 5.0} for n in (-1, 0, 1)]


def test_precise_figures_are_named_with_their_share() -> None:
    # t(2) 4.303 times 0.001 / sqrt(3) is 2.48 % of 0.1.
    assert narrow(RUNS, {"latency": 0.03, "energy": 0.05}) == (
        "ttft_s to 2.5 %, j_per_request to 0 % over 3 runs"
    )
    assert narrow(RUNS, {"latency": 0.02, "energy": 0.05}) == ""


@pytest.mark.parametrize(
    ("runs", "wanted"),
    [
        (RUNS[:1], {"latency": 0.03}),
        ([*RUNS, {("j_per_request", "module_in"): 5.0}], {"latency": 0.03}),
        ([], {"latency": 0.03}),
        ([{("rss_peak_bytes", ""): 1.0}] * 3, {"latency": 0.03, "energy": 0.05}),
    ],
)
def test_what_is_not_known_well_is_not_precise(runs: list[dict[tuple[str, str], float]], wanted: Any) -> None:
    assert narrow(runs, wanted) == ""


def test_a_figure_that_no_run_has_is_not_waited_for() -> None:
    only_time = [{("ttft_s", ""): run[("ttft_s", "")]} for run in RUNS]
    assert "ttft_s" in narrow(only_time, {"latency": 0.03, "energy": 0.05})


def repeated(spread: float) -> StudyData:
    """Makes a study of one cell with three repeats done and two waiting."""
    data = made.study(models=("org/large",), methods=(made.NONE,), seeds=(1,), claims=())
    trial, attempt = data.trials[0], data.attempts[0]
    trials, attempts, measurements = [], [], []
    for number in range(1, 6):
        key = f"{attempt.attempt_id}-{number}"
        state: TrialState = "done" if number <= 3 else "queued"
        canonical = key if number <= 3 else None
        trials.append(
            replace(trial, trial_id=f"t-{key}", repeat=number, state=state, canonical_attempt_id=canonical)
        )
        if number > 3:
            continue
        attempts.append(replace(attempt, attempt_id=key, trial_id=f"t-{key}", repeat=number))
        for row in data.measurements:
            value = (row.value or 0.0) * (1 + spread * (number - 2))
            measurements.append(replace(row, attempt_id=key, repeat=number, value=value))
    resolved = {**data.study.resolved, "precision": {"repeats": 3, "latency": 0.03, "energy": 0.05}}
    return replace(
        data,
        study=replace(data.study, resolved=resolved, state="active"),
        trials=tuple(trials),
        attempts=tuple(attempts),
        measurements=tuple(measurements),
        scores=(),
    )


def test_further_repeats_of_a_precise_cell_are_left_out() -> None:
    found = out(repeated(0.01))
    assert [entry.trial_id[-1] for entry in found] == ["4", "5"]
    assert "precise: ttft_s to 2.5 %" in found[0].reason


def test_a_cell_that_varies_more_repeats_on() -> None:
    assert out(repeated(0.05)) == ()


def test_the_canary_runs_as_long_as_anything_of_its_block_does() -> None:
    precise = repeated(0.01)
    canary = precise.trials[0].cell_index
    resolved = {**precise.study.resolved, "canary_cell": canary}
    watched = replace(precise, study=replace(precise.study, resolved=resolved))
    # Nothing else waits: the canary alone shows nothing.
    assert [entry.trial_id[-1] for entry in out(watched)] == ["4", "5"]
    other = [
        replace(trial, trial_id="other", cell_index=canary + 1)
        for trial in watched.trials
        if trial.repeat == 4
    ]
    assert [entry.trial_id[-1] for entry in out(replace(watched, trials=(*watched.trials, *other)))] == ["5"]
