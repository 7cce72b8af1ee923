"""One adapter a user: each is what the user's history alone would have given, and answers that user alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from safetensors.torch import load_file  # noqa: E402 - after the check

from edgerig_workload import models, trial  # noqa: E402 - imports torch at its top
from edgerig_workload.faults import WorkerFault  # noqa: E402
from edgerig_workload.frame import Attempt, Folders  # noqa: E402
from edgerig_workload.learn.personal import FOLDER, INDEX  # noqa: E402
from edgerig_workload.phases import Marks, ProcResidentSet  # noqa: E402

Run = Callable[..., tuple[Attempt, Any, Path]]
WORDS = ("robots", "trains", "snow")


def rows(user: str, labels: tuple[str, str], *, history: bool = True) -> list[dict[str, Any]]:
    profile = [
        {"id": f"{user}-p{place}", "text": f"a film of {word}", "output": labels[place % 2]}
        for place, word in enumerate(WORDS)
    ]
    return [
        {
            "id": f"{user}-{place}",
            "user": user,
            "input": f"Which tag fits? tags: [comedy, action] description: a film of {word}",
            "output": labels[place],
            "profile": profile if history else [],
        }
        for place, word in enumerate(WORDS[:2])
    ]


ADA, BOB = rows("ada", ("comedy", "action")), rows("b/o b", ("action", "comedy"))


@pytest.fixture
def run(trial_document: dict[str, Any], llama_folder: Path, tmp_path: Path) -> Run:
    """Trains through the whole frame on some users' rows; gives the attempt, its events and its folder."""
    from tests.workload.conftest import Recorder

    def go(
        data: list[dict[str, Any]], kind: str = "lora", *, train: Any = None, **parameters: Any
    ) -> tuple[Attempt, Any, Path]:
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        file = tmp_path / f"{out.name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in data))
        document = {
            **trial_document,
            "method": {"kind": kind, "parameters": {"lr": 0.05, "batch": 2, **parameters}},
            "budgets": {"train": train or {"steps": 2}},
            "inference": {},
        }
        recorder = Recorder()
        attempt = Attempt(
            trial.parse(document),
            Folders(llama_folder, file, out),
            recorder,
            Marks(recorder, ProcResidentSet()),
            began_mono_ns=0,
            sleep=lambda seconds: None,
        )
        try:
            attempt.run()
        finally:
            attempt.facts["steps"] = len(recorder.of("train_step"))
        return attempt, recorder, out

    return go


def adapter(out: Path, user: str) -> dict[str, Any]:
    names = json.loads((out / FOLDER / INDEX).read_text())
    return dict(load_file(out / FOLDER / f"{names[user]}.safetensors"))


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("lora", {}), ("prompt", {"tokens": 4}), ("bitfit", {"gradient": "mezo", "lr": 0.001})],
)
def test_each_adapter_is_that_of_its_user_alone(kind: str, parameters: dict[str, Any], run: Run) -> None:
    _, together, out = run([*ADA, *BOB], kind, scope="per_user", **parameters)

    for user, own in (("ada", ADA), ("b/o b", BOB)):
        _, alone, there = run(own, kind, scope="per_user", **parameters)
        mine, theirs = adapter(out, user), adapter(there, user)
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
        answers = {score["item_id"]: score["output"] for score in together.of("score")}
        assert {score["item_id"]: score["output"] for score in alone.of("score")}.items() <= answers.items()
    first, second = adapter(out, "ada"), adapter(out, "b/o b")
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_alone_it_is_what_the_pooled_training_gives(run: Run) -> None:
    _, personal, _ = run(ADA, scope="per_user")
    _, pooled, _ = run(ADA)

    assert [step["loss"] for step in personal.of("train_step")] == [
        step["loss"] for step in pooled.of("train_step")
    ]
    assert [score["output"] for score in personal.of("score")] == [
        score["output"] for score in pooled.of("score")
    ]


def test_figures_are_sums_and_every_user_has_windows_of_their_own(run: Run) -> None:
    one, _, _ = run(ADA, scope="per_user")
    both, recorder, out = run([*ADA, *BOB], scope="per_user")

    assert both.facts["adapter_count"] == 2
    assert both.facts["trainable_count"] == one.facts["trainable_count"]
    for name in ("train_sample_count", "artifact_bytes"):
        assert both.facts[name] == 2 * one.facts[name]
    files = list((out / FOLDER).glob("0*.safetensors"))
    assert both.facts["artifact_bytes"] == sum(path.stat().st_size for path in files)
    assert [step["index"] for step in recorder.of("train_step")] == list(range(4))
    windows = [event["phase"] for event in recorder.of("phase") if event["phase"] == "PHASE_TRAIN"]
    assert len(windows) == 2


def test_a_user_without_history_is_asked_with_the_untrained_model(run: Run) -> None:
    _, mixed, out = run([*ADA, *rows("eve", ("comedy", "action"), history=False)], scope="per_user")
    _, untrained, _ = run(
        [*ADA, *rows("eve", ("comedy", "action"), history=False)], scope="per_user", lr=1e-9
    )

    assert list(json.loads((out / FOLDER / INDEX).read_text())) == ["ada"]

    def said(recorder: Any) -> list[str]:
        return [score["output"] for score in recorder.of("score") if score["user_id"] == "eve"]

    assert said(mixed) == said(untrained)


def test_nobody_with_a_history_is_bad_data(run: Run) -> None:
    with pytest.raises(WorkerFault, match="anything to train on") as caught:
        run(rows("eve", ("comedy", "action"), history=False), scope="per_user")

    assert caught.value.failure_class == "bad_data"


def test_a_training_that_diverges_names_its_user(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = models.load

    def broken(*given: Any) -> Any:
        loaded = real(*given)
        with torch.no_grad():
            loaded.model.model.norm.weight.fill_(float("inf"))
        return loaded

    monkeypatch.setattr(models, "load", broken)
    with pytest.raises(WorkerFault, match="user 'ada'") as caught:
        run([*ADA, *BOB], scope="per_user")

    assert caught.value.failure_class == "diverged"


def test_points_are_refused_before_anything_is_trained(run: Run) -> None:
    with pytest.raises(WorkerFault, match="leave points out"):
        run(ADA, scope="per_user", train={"steps": 4, "points": [0.5]})


def test_sets_of_several_users_are_not_merged(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> None:
    document = {
        **trial_document,
        "method": {"kind": "lora", "parameters": {"scope": "per_user"}},
        "compression": {"kind": "rtn-int8", "parameters": {"order": "tune-then-compress"}},
    }
    attempt = Attempt(
        trial.parse(document),
        Folders(llama_folder, data_file, tmp_path),
        recorder,
        Marks(recorder, ProcResidentSet()),
        began_mono_ns=0,
        sleep=lambda seconds: None,
    )

    with pytest.raises(WorkerFault, match="cannot be merged into one model"):
        attempt.run()
