"""The worker as a process: what goes through the pipe for good and for bad trials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from edgerig.v1.attempt_pb2 import WorkerEvent

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    code: int
    events: list[dict[str, Any]]
    stderr: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event[kind] for event in self.events if kind in event]

    def failure(self) -> dict[str, Any]:
        return self.of("failure")[0]


def start(document: dict[str, Any], folder: Path, **places: Path) -> Outcome:
    """Run the worker over a trial as the attempt process does, with one thread."""
    folder.mkdir(exist_ok=True)
    path = folder / "trial.json"
    path.write_text(json.dumps(document))
    read_end, write_end = os.pipe()
    given = [part for name, place in places.items() for part in (f"--{name}", str(place))]
    command = [sys.executable, "-m", "edgerig_workload", "run", str(path), "--event-fd", str(write_end)]
    with subprocess.Popen(
        [*command, "--out", str(folder / "worker"), *given],
        pass_fds=[write_end],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / "agent")},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(write_end)
        with os.fdopen(read_end) as stream:
            events = [json.loads(line) for line in stream]
        _, stderr = process.communicate(timeout=120)
        return Outcome(process.returncode, events, stderr)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, llama_folder: Path, data_file: Path) -> Outcome:
    """One complete run of LoRA with every phase, shared by the tests that read it."""
    document = {
        "protocol": "PROTOCOL_QUICK",
        "seed": 3,
        "task": {
            "name": "lamp-2",
            "kind": "TASK_KIND_CLASSIFICATION",
            "prompt": "lamp-2",
            "labels": ["comedy", "action"],
            "answer_tokens": 4,
        },
        "method": {"kind": "lora", "parameters": {"r": 2.0}},
        "history": "-1",
        "budgets": {"train": {"steps": 3}},
        "inference": {"prompt_tokens": 12, "new_tokens": 4, "batch": 1, "requests": "2"},
    }
    return start(document, tmp_path_factory.mktemp("run"), model=llama_folder, data=data_file)


def test_complete_run_ends_with_done_and_code_0(done: Outcome) -> None:
    assert (done.code, list(done.events[-1])) == (0, ["done"]), done.stderr


def test_every_line_is_a_worker_event_of_the_contract(done: Outcome) -> None:
    for event in done.events:
        json_format.ParseDict(event, WorkerEvent())


def test_phases_come_in_the_order_of_the_contract(done: Outcome) -> None:
    begun = [event["phase"].removeprefix("PHASE_").lower() for event in done.of("phase_begin")]

    assert begun == [
        "import",
        "idle_pre",
        "load",
        "idle_resident",
        "train",
        "checkpoint",
        "warmup",
        "inference",
        "prefill",
        "decode",
        "evaluate",
        "idle_post",
    ]


def test_every_phase_that_began_has_an_interval_with_a_peak(done: Outcome) -> None:
    begun = {event["phase"] for event in done.of("phase_begin")}
    with_peak = {event["phase"] for event in done.of("phase") if event["rss_peak_bytes"] > 1024**2}

    assert with_peak == begun


def test_nothing_is_written_inside_a_timed_phase(done: Outcome) -> None:
    """Between a begin and its interval no step, request or score goes out."""
    open_phase = ""
    for event in done.events:
        if "phase_begin" in event:
            open_phase = event["phase_begin"]["phase"]
        elif "phase" in event:
            open_phase = ""
        else:
            assert not open_phase


def test_requests_have_forced_lengths_and_ordered_stamps(done: Outcome) -> None:
    requests = done.of("request")

    assert len(requests) == 20  # the quick protocol's least
    for request in requests:
        stamps = [request["accept_mono_ns"], request["model_mono_ns"], *request["token_mono_ns"]]
        assert stamps == sorted(stamps)
        assert (request["tokens_in"], request["tokens_out"], len(request["token_mono_ns"])) == (12, 4, 4)


def test_requests_lie_inside_the_inference_phase(done: Outcome) -> None:
    [inference] = [event for event in done.of("phase") if event["phase"] == "PHASE_INFERENCE"]

    for request in done.of("request"):
        assert inference["begin_mono_ns"] <= request["accept_mono_ns"]
        assert request["token_mono_ns"][-1] <= inference["end_mono_ns"]


def test_training_is_counted_exactly(done: Outcome) -> None:
    steps, facts = done.of("train_step"), done.of("facts")[-1]

    assert [step["index"] for step in steps] == [0, 1, 2]
    assert facts["train_sample_count"] == sum(step["samples"] for step in steps) == 48
    assert facts["train_token_count"] == sum(step["tokens"] for step in steps)
    assert facts["train_stopped_by"] == "steps"


def test_every_item_is_scored_once(done: Outcome) -> None:
    assert [score["item_id"] for score in done.of("score")] == ["ada-0", "ada-1", "bob-0", "bob-1"]


def test_spin_runs_without_torch_model_or_data(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from edgerig_workload.main import main\n"
        f"code = main(['run', {str(tmp_path / 'trial.json')!r}, '--out', {str(tmp_path)!r}])\n"
        "print(code, 'torch' in sys.modules)"
    )
    document = {"protocol": "PROTOCOL_QUICK", "method": {"kind": "spin", "parameters": {"duration_s": 0.01}}}
    (tmp_path / "trial.json").write_text(json.dumps(document))

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    lines = done.stdout.splitlines()
    assert lines[-1] == "0 False"
    assert [next(iter(json.loads(line))) for line in lines[-3:-1]] == ["facts", "done"]


def test_bad_trial_fails_with_all_problems_named(tmp_path: Path) -> None:
    document = {"protocol": "PROTOCOL_SLOW", "method": {"kind": "lorra"}, "seed": "x"}

    outcome = start(document, tmp_path)

    assert outcome.code == 1
    assert outcome.failure()["failure_class"] == "FAILURE_CLASS_WORKER_ERROR"
    assert "has 3 problem(s)" in outcome.failure()["message"]
    assert "did you mean 'lora'?" in outcome.failure()["message"]


def test_empty_data_is_bad_data(tmp_path: Path, trial_document: dict[str, Any], llama_folder: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")

    outcome = start(trial_document, tmp_path, model=llama_folder, data=tmp_path / "empty.jsonl")

    assert outcome.failure()["failure_class"] == "FAILURE_CLASS_BAD_DATA"


def test_memory_limit_ends_as_oom_host(
    tmp_path: Path, trial_document: dict[str, Any], llama_folder: Path, data_file: Path
) -> None:
    """The limit lies below what the imported libraries hold already."""
    trial_document["budgets"]["attempt"] = {"memory_bytes": 48 * 1024**2}

    outcome = start(trial_document, tmp_path, model=llama_folder, data=data_file)

    assert outcome.failure()["failure_class"] == "FAILURE_CLASS_OOM_HOST", outcome.failure()
