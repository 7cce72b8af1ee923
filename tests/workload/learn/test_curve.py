"""Points of a training budget on a tiny model: what is reported, what stays untouched, early stop."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from edgerig_workload.faults import WorkerFault

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from edgerig_workload import models, trial  # noqa: E402 - imports torch at its top
from edgerig_workload.learn import losses, method  # noqa: E402
from edgerig_workload.learn.context import Context, Questions  # noqa: E402
from edgerig_workload.learn.examples import collate, pooled_pairs, tokenise  # noqa: E402
from edgerig_workload.phases import Marks, ProcResidentSet  # noqa: E402
from edgerig_workload.tasks.items import load  # noqa: E402
from edgerig_workload.tasks.spec import TaskSpec  # noqa: E402


class Meter:
    """One joule a reading."""

    source, resolution_s = "meter", 0.1

    def __init__(self) -> None:
        self._read = 0.0

    def energy_j(self) -> float:
        self._read += 1.0
        return self._read


class Bench:
    """Trains a fresh model under a budget."""

    def __init__(self, document: dict[str, Any], folder: Path, data: Path, recorder: Any, out: Path) -> None:
        self.document, self.folder, self.data, self.recorder, self.out = document, folder, data, recorder, out

    def learn(self, train: dict[str, Any], meter: Any = None, **parameters: Any) -> tuple[Any, Any]:
        self.recorder.events.clear()
        content = {
            **self.document,
            "method": {"kind": "lora", "parameters": {"dropout": 0.1, "batch": 2, **parameters}},
            "budgets": {"train": train},
        }
        parsed = trial.parse(content)
        torch.manual_seed(parsed.seed)
        questions = Questions(TaskSpec.from_trial(parsed.task), load(self.data))
        loaded = models.load(self.folder, "float32", torch.device("cpu"))
        marks = Marks(self.recorder, ProcResidentSet())
        context = Context(parsed, loaded, questions, marks, self.recorder, self.out, meter)
        return method("lora")(context), loaded


@pytest.fixture
def bench(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> Bench:
    return Bench(trial_document, llama_folder, data_file, recorder, tmp_path)


def weights(loaded: Any) -> dict[str, Any]:
    named = loaded.model.named_parameters()
    return {name: weight.detach().clone() for name, weight in named if "lora" in name}


def test_every_point_says_what_was_used(bench: Bench) -> None:
    bench.learn({"steps": 8, "points": [0.25, 0.5]})

    points, steps = bench.recorder.of("point"), bench.recorder.of("train_step")

    assert [(point["index"], point["steps"], point["samples"]) for point in points] == [
        (1, 2, 4),
        (2, 4, 8),
        (3, 8, 16),
    ]
    assert [point["budget_share"] for point in points] == [0.25, 0.5, 1.0]
    for point in points:
        assert point["tokens"] == sum(step["tokens"] for step in steps[: point["steps"]])
        assert point["t_mono_ns"] == steps[point["steps"] - 1]["end_mono_ns"]


def test_items_are_scored_at_every_point_but_the_end(bench: Bench) -> None:
    bench.learn({"steps": 4, "points": [0.5]})

    first, end = bench.recorder.of("point")
    scored, metrics = bench.recorder.of("score"), bench.recorder.of("metric")

    assert [item["point"] for item in scored] == [1] * 4
    assert (first["item_count"], first["score"]) == (4, sum(item["score"] for item in scored) / 4)
    assert {metric["name"]: metric["point"] for metric in metrics} == {"accuracy": 1, "macro_f1": 1}
    assert "score" not in end


def test_pauses_lie_between_windows_of_training(bench: Bench) -> None:
    bench.learn({"steps": 4, "points": [0.5]})

    phases = [event["phase"] for event in bench.recorder.of("phase")]

    assert phases == ["PHASE_TRAIN", "PHASE_POINT", "PHASE_TRAIN", "PHASE_CHECKPOINT"]


def test_looking_at_a_training_does_not_change_it(bench: Bench) -> None:
    """Dropout is on, so that an evaluation which drew random numbers would show."""
    _, plain = bench.learn({"steps": 6})
    _, watched = bench.learn({"steps": 6, "points": [0.3, 0.6]})

    before, after = weights(plain), weights(watched)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_path_of_the_losses_is_that_of_the_work_and_not_of_looking_at_it(bench: Bench) -> None:
    paths = [
        bench.learn(budget)[0].facts["loss_trajectory_sha256"]
        for budget in ({"steps": 6}, {"steps": 6, "points": [0.5]}, {"steps": 5})
    ]

    assert len(paths[0]) == 64
    assert paths[0] == paths[1] != paths[2]


def test_a_budget_without_points_still_says_what_was_used(bench: Bench) -> None:
    bench.learn({"steps": 2})

    [point] = bench.recorder.of("point")

    assert (point["index"], point["steps"], point["budget_share"]) == (1, 2, 1.0)
    assert bench.recorder.of("score") == []


def test_patience_ends_training_and_brings_the_best_point_back(bench: Bench) -> None:
    """At such a rate parameters move by less than a loss can show, so that the first point is the best."""
    idle = {"lr": 1e-12, "warmup_steps": 0}
    learned, spoiled = bench.learn(
        {"steps": 20, "points": [0.1, 0.2, 0.3, 0.4], "patience_points": 2}, **idle
    )
    found = [point["held_out_loss"] for point in bench.recorder.of("point")]
    kept = weights(spoiled)

    _, first = bench.learn({"steps": 4, "points": [0.5], "patience_points": 2}, **idle)

    assert learned.facts["train_stopped_by"] == "patience"
    assert learned.facts["train_kept_point"] == 1 == 1 + found.index(min(found))
    assert len(found) == 3
    reference = weights(first)
    assert all(torch.equal(kept[name], reference[name]) for name in kept)
    assert not (bench.out / "best").exists()


def test_held_out_loss_is_that_of_one_pair_that_was_left_out(bench: Bench) -> None:
    """Of six pairs one is held out; the others are learnt until their losses lie far below."""
    _, loaded = bench.learn({"steps": 60, "points": [0.5], "patience_points": 9}, batch=1)
    questions = Questions(TaskSpec.from_trial(bench.document["task"]), load(bench.data))
    samples = tokenise(loaded, pooled_pairs(questions, -1), 512)

    told = bench.recorder.of("point")[-1]["held_out_loss"]
    each = [losses.answer_loss(loaded.model, collate(loaded, [sample])) for sample in samples]

    assert any(math.isclose(told, loss, rel_tol=1e-5) for loss in each)


def test_a_budget_in_joules_ends_training_and_says_by_which_sensor(bench: Bench) -> None:
    learned, _ = bench.learn({"energy_j": 3.0}, meter=Meter())

    assert learned.facts["train_stopped_by"] == "energy_j"
    assert learned.facts["train_energy_j"] == 3.0
    assert (learned.facts["train_energy_source"], learned.facts["train_energy_resolution_s"]) == (
        "meter",
        0.1,
    )


def test_a_budget_in_joules_without_a_sensor_is_a_missing_precondition(bench: Bench) -> None:
    with pytest.raises(WorkerFault, match="use duration_s instead") as caught:
        bench.learn({"energy_j": 3.0})

    assert caught.value.failure_class == "precondition"
