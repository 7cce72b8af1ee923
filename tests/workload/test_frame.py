"""The order of an attempt: what fails where, and what is known by then."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from edgerig_workload import trial
from edgerig_workload.faults import WorkerFault, classify
from edgerig_workload.frame import Attempt, Folders
from edgerig_workload.phases import Marks, ProcResidentSet


def attempt(document: dict[str, Any], folders: Folders, recorder: Any, slept: list[float]) -> Attempt:
    marks = Marks(recorder, ProcResidentSet())
    return Attempt(trial.parse(document), folders, recorder, marks, began_mono_ns=0, sleep=slept.append)


def test_missing_library_is_not_installed_and_found_at_import(
    trial_document: dict[str, Any], recorder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    trial_document["method"] = {"kind": "lora"}
    failing = attempt(trial_document, Folders(None, None, tmp_path), recorder, [])

    with pytest.raises(ModuleNotFoundError) as caught:
        failing.run()

    assert classify(caught.value).failure_class == "not_installed"
    assert failing.marks.failed_phase == "import"


@pytest.mark.parametrize(("protocol", "idle_s"), [("PROTOCOL_QUICK", 1.0), ("PROTOCOL_STANDARD", 30.0)])
def test_idles_are_those_of_the_protocol(
    trial_document: dict[str, Any],
    llama_folder: Path,
    recorder: Any,
    tmp_path: Path,
    protocol: str,
    idle_s: float,
) -> None:
    slept: list[float] = []
    trial_document |= {"protocol": protocol, "inference": {}, "task": {}}

    attempt(trial_document, Folders(llama_folder, None, tmp_path), recorder, slept).run()

    assert slept == [idle_s] * 3


def test_trial_without_task_measures_inference_alone(
    trial_document: dict[str, Any], llama_folder: Path, recorder: Any, tmp_path: Path
) -> None:
    del trial_document["task"]

    attempt(trial_document, Folders(llama_folder, None, tmp_path), recorder, []).run()

    assert len(recorder.of("request")) == 20
    assert recorder.of("score") == []


def test_task_without_data_is_bad_data(
    trial_document: dict[str, Any], llama_folder: Path, recorder: Any, tmp_path: Path
) -> None:
    with pytest.raises(WorkerFault) as caught:
        attempt(trial_document, Folders(llama_folder, None, tmp_path), recorder, []).run()

    assert caught.value.failure_class == "bad_data"


def test_virtual_tokens_go_into_a_static_cache(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    trial_document["method"] = {"kind": "prompt"}
    trial_document["inference"]["kv_cache"] = "static"
    running = attempt(trial_document, Folders(llama_folder, data_file, tmp_path), recorder, [])

    running.run()

    assert running.facts["kv_cache"] == "static"
    assert len(recorder.of("score")) == 4


def test_profile_counts_the_virtual_tokens_that_were_learnt(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    # With the 16 tokens of a request one more than the context holds.
    trial_document["method"] = {"kind": "prefix", "parameters": {"tokens": 241}}

    with pytest.raises(WorkerFault, match="241 virtual tokens") as caught:
        attempt(trial_document, Folders(llama_folder, data_file, tmp_path), recorder, []).run()

    assert caught.value.failure_class == "precondition"


def test_facts_count_the_model_once_without_adapters(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    trial_document |= {"method": {"kind": "lora"}, "inference": {}}
    run = attempt(trial_document, Folders(llama_folder, data_file, tmp_path), recorder, [])

    run.run()

    # 320 x 32 shared with the head, two layers of 9 280, one norm.
    assert run.facts["parameter_count"] == 320 * 32 + 2 * 9280 + 32
    assert run.facts["kernel"] == "dense"


@pytest.mark.parametrize(("protocol", "idles"), [("PROTOCOL_QUICK", []), ("PROTOCOL_STANDARD", [30.0, 30.0])])
def test_spin_has_idles_where_it_is_to_be_evidence(
    trial_document: dict[str, Any], recorder: Any, tmp_path: Path, protocol: str, idles: list[float]
) -> None:
    slept: list[float] = []
    trial_document |= {
        "protocol": protocol,
        "method": {"kind": "spin", "parameters": {"duration_s": 0.1}},
        "task": {},
    }

    attempt(trial_document, Folders(None, None, tmp_path), recorder, slept).run()

    assert slept == idles
    assert recorder.of("train_step")


def test_windows_of_the_trial_replace_those_of_its_protocol(
    trial_document: dict[str, Any], llama_folder: Path, recorder: Any, tmp_path: Path
) -> None:
    slept: list[float] = []
    overrides = {"idle_s": 0.25, "warmup_most": 4, "block_s": 0.0, "block_requests": 2}
    trial_document |= {"protocol": "PROTOCOL_STANDARD", "task": {}, "protocol_overrides": overrides}
    trial_document["inference"] = {"prompt_tokens": 8, "new_tokens": 3, "batch": 1, "requests": 2}

    run = attempt(trial_document, Folders(llama_folder, None, tmp_path), recorder, slept)
    run.run()

    assert slept == [0.25] * 3
    assert len(recorder.of("request")) == 2
    assert 3 <= run.facts["warmup_request_count"] <= 4
    assert run.facts["warmup_settled"] in (True, False)
