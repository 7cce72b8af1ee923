"""Engines, servers, caches and lengths as factors, from the file to the trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from edgerig.errors import StudyProblems
from edgerig_controller.study.catalog import local_catalog
from tests.controller.study.building import STUDY, planned

SERVER = """
servers:
  - name: llama
    command: [llama-server, -m, "{model}/model.gguf", --port, "{port}"]
    ready: /health
    ready_s: 30
    environment: {LLAMA_ARG_THREADS: "2"}
    forced: {ignore_eos: true, n_predict: "{new_tokens}"}
"""


@pytest.fixture(scope="module")
def catalog() -> dict[str, Any]:
    return local_catalog()


def with_factors(**factors: str) -> str:
    lines = "".join(f"  {name}: {value}\n" for name, value in factors.items())
    return STUDY.replace("factors:\n", f"factors:\n{lines}")


def problems(folder: Path, text: str, **options: Any) -> list[str]:
    with pytest.raises(StudyProblems) as caught:
        planned(folder, text, **options)
    return [str(problem) for problem in caught.value.problems]


def test_lengths_and_batches_are_factors(tmp_path: Path) -> None:
    usual = planned(tmp_path, STUDY)
    study = planned(tmp_path, with_factors(prompt_tokens="[8, 32]", batch="[1, 2]"))

    assert len(study.cells) == 4 * len(usual.cells)
    shapes = {(one.trial.inference.prompt_tokens, one.trial.inference.batch) for one in study.trials}
    assert shapes == {(8, 1), (8, 2), (32, 1), (32, 2)}
    assert {one.trial.inference.new_tokens for one in study.trials} == {
        one.trial.inference.new_tokens for one in usual.trials
    }
    assert len({one.trial.digest for one in study.trials}) == len(study.trials)


def test_longer_prompts_are_predicted_to_take_more(tmp_path: Path) -> None:
    study = planned(tmp_path, with_factors(prompt_tokens="[8, 100000]"))
    peaks: dict[int, float] = {}
    for cell in study.cells:
        if cell.factors["method"]["kind"] == "none" and cell.ram_peak_bytes.value is not None:
            peaks[cell.factors["prompt_tokens"]] = cell.ram_peak_bytes.value
    assert peaks[100000] > peaks[8]


def test_caches_and_page_caches_reach_the_trials(tmp_path: Path) -> None:
    study = planned(tmp_path, with_factors(page_cache="[cold, warm]"))

    assert {one.trial.inference.page_cache for one in study.trials} == {"cold", "warm"}
    assert {one.trial.inference.kv_cache for one in study.trials} == {""}


def test_what_is_not_asked_for_leaves_digests_as_they_were(tmp_path: Path) -> None:
    plain = planned(tmp_path, STUDY)
    named = planned(tmp_path, with_factors(engine="[transformers]"))

    assert [one.trial.digest for one in plain.trials] == [one.trial.digest for one in named.trials]
    assert "servers" not in plain.resolved and not plain.trials[0].trial.HasField("engine")


def test_a_server_goes_with_the_trial_and_not_with_what_it_cannot_run(
    tmp_path: Path, catalog: dict[str, Any]
) -> None:
    text = with_factors(engine="[transformers, llama]", kv_cache="[dynamic, static]") + SERVER
    study = planned(tmp_path, text, catalog=catalog)

    served = [one.trial for one in study.trials if one.trial.HasField("engine")]
    assert served
    assert MessageToDict(served[0].engine, preserving_proto_field_name=True) == {
        "kind": "server",
        "name": "llama",
        "command": ["llama-server", "-m", "{model}/model.gguf", "--port", "{port}"],
        "environment": {"LLAMA_ARG_THREADS": "2"},
        "ready_path": "/health",
        "ready_s": 30.0,
        "completion_path": "/v1/completions",
        "model": "{model}",
        "forced": {"ignore_eos": True, "n_predict": "{new_tokens}"},
    }
    assert {trial.method.kind for trial in served} <= {"none", "rag"}
    assert {trial.inference.kv_cache for trial in served} == {""}
    reasons = {exclusion.reason for exclusion in study.exclusions}
    assert any("would not have what was learnt" in reason for reason in reasons)
    assert any("keeps keys and values its own way" in reason for reason in reasons)
    assert study.resolved["servers"][0]["name"] == "llama"


def test_a_server_is_asked_one_request_at_a_time(tmp_path: Path, catalog: dict[str, Any]) -> None:
    text = with_factors(engine="[llama]", batch="[1, 4]") + SERVER
    study = planned(tmp_path, text, catalog=catalog)
    assert {one.trial.inference.batch for one in study.trials} == {1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (with_factors(engine="[lama]") + SERVER, "there is no engine `lama`"),
        (with_factors(engine="[server]") + SERVER, "there is no engine `server`"),
        (with_factors(kv_cache="[statik]"), "there is no kv_cache `statik`"),
        (with_factors(page_cache="[tepid]"), "page_cache"),
        (with_factors(prompt_tokens="[0]"), "prompt_tokens"),
        (with_factors(batch="[2, 2]"), "this batch stands in the list twice"),
        (STUDY + SERVER, "no cell uses the server `llama`"),
        (
            with_factors(engine="[llama]") + SERVER.replace("name: llama", "name: transformers"),
            "another engine",
        ),
        (with_factors(engine="[llama]") + SERVER.replace("ready: /health", "ready: health"), "ready"),
        (with_factors(engine="[llama]") + SERVER.replace("LLAMA_ARG_THREADS", "'A=B'"), "environment"),
        (with_factors(engine="[llama]") + SERVER.replace("ready_s: 30", "ready_s: 0"), "ready_s"),
        (
            with_factors(engine="[llama]") + "inference: {batch: 3}\n" + SERVER,
            "asked one request at a time",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, catalog: dict[str, Any], text: str, words: str
) -> None:
    found = problems(tmp_path, text, catalog=catalog)
    assert any(words in problem and "study.yaml" in problem for problem in found), found
