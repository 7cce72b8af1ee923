"""A server of a study, as a real process: started, asked, measured, and gone in every case."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from edgerig_workload.faults import WorkerFault

torch = pytest.importorskip("torch")

from edgerig_workload import models, trial  # noqa: E402 - imports torch at its top
from edgerig_workload.engines import Setup, server, tree  # noqa: E402
from edgerig_workload.infer.generate import stop_rule  # noqa: E402
from edgerig_workload.phases import Marks, ProcResidentSet  # noqa: E402
from tests.fakes import completion_server  # noqa: E402

PROGRAM = Path(sys.executable)
SCRIPT = completion_server.__file__


@pytest.fixture(scope="module")
def text(llama_folder: Path) -> Any:
    return models.reader(llama_folder)


def engine(mode: str = "good", *arguments: str, **further: Any) -> dict[str, Any]:
    command = ["python", SCRIPT, "--port", "{port}", "--mode", mode, *arguments]
    return {"kind": "server", "name": "scripted", "command": command, **further}


def setup(document: dict[str, Any], folder: Path, out: Path, text: Any) -> Setup:
    document = {**document, "inference": {"prompt_tokens": 12, "new_tokens": 9, "requests": 1}}
    return Setup(trial.parse(document), folder, out, PROGRAM, text)


@pytest.fixture
def opened(trial_document: dict[str, Any], llama_folder: Path, tmp_path: Path, text: Any) -> Any:
    """Opens servers; whatever a test does, none is left."""
    started: list[server.Server] = []

    def start(mode: str = "good", *arguments: str, **further: Any) -> server.Server:
        document = {**trial_document, "engine": engine(mode, *arguments, **further)}
        started.append(server.open_engine(setup(document, llama_folder, tmp_path, text)))
        return started[-1]

    before = tree.descendants()
    yield start
    for one in started:
        one.close()
    assert tree.descendants() == before


def request(opened: server.Server) -> Any:
    import time

    return opened.request("a prompt", trial.Inference(4, 9, 1, 1), time.monotonic_ns)


def test_tokens_are_the_models_own_and_come_after_they_were_sent(
    opened: Any, text: Any, tmp_path: Path
) -> None:
    stamps = request(opened("good", "--times", str(tmp_path / "times.json")))

    said = "".join(completion_server.PIECES)
    tokens = text.tokenizer(said, add_special_tokens=False)["input_ids"]
    assert len(stamps.token_mono_ns) == len(tokens) != len(completion_server.PIECES)
    sent = json.loads((tmp_path / "times.json").read_text())
    # The first token of each piece cannot be there before the piece was sent.
    firsts = [
        len(text.tokenizer("".join(completion_server.PIECES[:place]), add_special_tokens=False)["input_ids"])
        for place in range(len(completion_server.PIECES))
    ]
    assert all(stamps.token_mono_ns[first] >= at for first, at in zip(firsts, sent, strict=True))
    assert stamps.token_mono_ns == sorted(stamps.token_mono_ns)
    assert stamps.accept_mono_ns <= stamps.model_mono_ns <= stamps.token_mono_ns[0]
    assert (stamps.told, stamps.tokens_in, stamps.is_short) == (9, text.count("a prompt"), False)


def test_a_request_carries_the_fields_of_the_study(opened: Any, llama_folder: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked.jsonl"
    running = opened(
        "good",
        *("--asked", str(asked)),
        request={"seed": 3.0},
        forced={"min_tokens": "{new_tokens}", "options": '{"min": {new_tokens}}'},
    )
    request(running)
    running.answer(["{port} stays"], 4, lambda ids: False)

    forced, free = (json.loads(line) for line in asked.read_text().splitlines())
    assert forced == {
        "model": str(llama_folder),
        "prompt": "a prompt",
        "max_tokens": 9,
        "temperature": 0,
        "stream": True,
        "seed": 3,
        "min_tokens": 9,
        "options": '{"min": 9}',
    }
    assert free["prompt"] == "{port} stays"
    assert "min_tokens" not in free


def test_an_answer_ends_where_the_task_says(opened: Any, text: Any) -> None:
    whole = opened().answer(["question"], 4, lambda ids: False)
    assert len(whole[0]) == 4
    rule = stop_rule(text)
    running = opened("good", "--pieces", json.dumps(["comedy", "\nand more"]))
    row = running.answer(["question"], 50, rule.ends)[0]
    assert text.decode(row) == "comedy\n"


def test_memory_is_that_of_the_servers_processes(
    monkeypatch: pytest.MonkeyPatch, opened: Any, recorder: Any
) -> None:
    marks = Marks(recorder, ProcResidentSet())
    server.watch(marks)
    monkeypatch.setattr(server, "_PATIENCE_S", 0.2)
    running = opened("detached")
    running.instrumented("a prompt", trial.Inference(4, 9, 1, 1), marks)

    interval = recorder.of("phase")[0]
    # Two bare interpreters; this process, with torch, is far larger.
    assert 8e6 < interval["rss_peak_bytes"] < 80e6
    assert interval["rss_peak_method"] == tree.SEVERAL
    assert interval["pss_end_bytes"] <= interval["rss_peak_bytes"]
    assert running.facts()["engine_process_count"] == 2
    assert running.facts()["engine_version"].startswith("BaseHTTP")


def test_one_process_is_measured_exactly(opened: Any, recorder: Any) -> None:
    marks = Marks(recorder, ProcResidentSet())
    server.watch(marks)
    running = opened()
    running.instrumented("a prompt", trial.Inference(4, 9, 1, 1), marks)

    assert recorder.of("phase")[0]["rss_peak_method"] == tree.ONE


def test_nothing_is_left_of_a_server_that_detached_a_helper(
    monkeypatch: pytest.MonkeyPatch, opened: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(server, "_PATIENCE_S", 0.2)
    pids = tmp_path / "pids.json"
    running = opened("detached", "--pid-file", str(pids))
    helper = json.loads(pids.read_text())[1]
    assert os.path.exists(f"/proc/{helper}")  # noqa: PTH110

    running.close()

    assert not any(os.path.exists(f"/proc/{pid}") for pid in json.loads(pids.read_text()))  # noqa: PTH110


@pytest.mark.parametrize(
    ("mode", "further", "failure_class", "words"),
    [
        ("exit", {}, "worker_error", "ended with exit code 1. It printed last:\nthe graphics card is made"),
        (
            "never-ready",
            {"ready_s": 0.4},
            "worker_error",
            "not ready within 0.4 s",
        ),
    ],
)
def test_a_server_that_does_not_come_up(
    opened: Any, mode: str, further: dict[str, Any], failure_class: str, words: str
) -> None:
    with pytest.raises(WorkerFault) as caught:
        opened(mode, **further)

    assert words in caught.value.message
    assert caught.value.failure_class == failure_class


@pytest.mark.parametrize(
    ("mode", "failure_class", "words"),
    [
        ("garbage", "worker_error", "sent no JSON"),
        ("not-json", "worker_error", "stopped in the middle of a stream, after 0 characters"),
        ("error", "worker_error", "out of luck"),
        ("midway", "worker_error", "stopped in the middle of a stream, after 15 characters"),
        ("midway-chunk", "worker_error", "stopped in the middle of a stream"),
        ("no-model", "bad_model", "status 404"),
        ("empty", "worker_error", "no token"),
    ],
)
def test_a_server_that_misbehaves(opened: Any, mode: str, failure_class: str, words: str) -> None:
    running = opened(mode)
    with pytest.raises(WorkerFault) as caught:
        request(running)

    assert words in caught.value.message
    assert caught.value.failure_class == failure_class


def test_a_server_that_dies_in_the_middle_is_told_from_a_broken_stream(opened: Any) -> None:
    running = opened("die")
    with pytest.raises(WorkerFault, match="server") as caught:
        for _ in range(50):
            request(running)

    assert "exit code 3" in caught.value.message or "middle of a stream" in caught.value.message


def test_a_program_that_is_not_there_is_not_installed(
    trial_document: dict[str, Any], llama_folder: Path, tmp_path: Path, text: Any
) -> None:
    made = setup({**trial_document, "engine": engine()}, llama_folder, tmp_path, text)
    with pytest.raises(WorkerFault, match="cannot be read") as caught:
        server.open_engine(Setup(made.trial, made.folder, made.out, tmp_path / "none", text))
    assert caught.value.failure_class == "not_installed"
    with pytest.raises(WorkerFault, match="allows no program") as caught:
        server.open_engine(Setup(made.trial, made.folder, made.out, None, text))
    assert caught.value.failure_class == "precondition"


def test_a_variable_of_the_study_reaches_the_server_and_our_own_do_not(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere/of/ours")
    running = opened(environment={"OLLAMA_HOST": "127.0.0.1:{port}"})
    pid = running._process.started.pids()[0]
    told = dict(
        pair.split("=", 1) for pair in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in pair
    )
    assert told["OLLAMA_HOST"] == f"127.0.0.1:{running._process.port}"
    assert "PYTHONPATH" not in told
