"""Compress, then tune; or tune, then compress: which model learns, and what its weights end as."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from peft import PeftModel

from edgerig_workload import compress, models, trial
from edgerig_workload.compress.catalog import COMPRESS_FIRST, TUNE_FIRST
from edgerig_workload.compress.footprint import sparsity
from edgerig_workload.compress.layers import linears
from edgerig_workload.compress.packed import PackedLinear
from edgerig_workload.faults import WorkerFault
from edgerig_workload.frame import Attempt, Folders
from edgerig_workload.learn.trainables import ia3, lora
from edgerig_workload.models import Loaded
from edgerig_workload.phases import Marks, ProcResidentSet

Run = Callable[..., Attempt]
CPU = torch.device("cpu")


@pytest.fixture
def run(
    trial_document: dict[str, Any], llama_folder: Path, data_file: Path, recorder: Any, tmp_path: Path
) -> Run:
    """Runs a method and a compression through the whole frame."""

    def go(method: dict[str, Any], kind: str, order: str, *, train: Any = None, **parameters: Any) -> Attempt:
        document = {
            **trial_document,
            "method": method,
            "compression": {"kind": kind, "parameters": {**parameters, "order": order}},
            "inference": {},
        }
        if train is not None:
            document["budgets"] = {"train": train}
        torch.set_num_threads(1)
        attempt = Attempt(
            trial.parse(document),
            Folders(llama_folder, data_file, tmp_path),
            recorder,
            Marks(recorder, ProcResidentSet()),
            began_mono_ns=0,
            sleep=lambda seconds: None,
        )
        attempt.run()
        return attempt

    return go


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Any], Any]]:
    """For each transform: weak references to the linear weights that it was given, and its result."""
    found: list[tuple[list[Any], Any]] = []
    real = compress.transform

    def spied(kind: str) -> Any:
        def transform(loaded: Loaded, choice: Any, material: Any) -> Any:
            given = [weakref.ref(layer.module.weight) for layer in linears(loaded.model)]
            done = real(kind)(loaded, choice, material)
            found.append((given, done))
            return done

        return transform

    monkeypatch.setattr(compress, "transform", spied)
    return found


def phases(recorder: Any) -> list[str]:
    return [event["phase"].removeprefix("PHASE_").lower() for event in recorder.of("phase_begin")]


def test_phases_stand_in_the_order_asked_for(run: Run, recorder: Any) -> None:
    run({"kind": "lora"}, "rtn-int8", TUNE_FIRST)

    assert phases(recorder)[1:] == [
        *("idle_pre", "load", "train", "checkpoint", "compress", "idle_resident", "evaluate", "idle_post"),
    ]


def test_default_compresses_first(run: Run, recorder: Any) -> None:
    run({"kind": "lora"}, "rtn-int8", COMPRESS_FIRST)

    assert phases(recorder)[1:] == [
        *("idle_pre", "load", "compress", "idle_resident", "train", "checkpoint", "evaluate", "idle_post"),
    ]


def test_weights_are_those_of_the_saved_adapter_merged_and_then_rounded(
    run: Run, seen: list[Any], llama_folder: Path, tmp_path: Path, trial_document: dict[str, Any]
) -> None:
    run({"kind": "lora", "parameters": {"lr": 0.05}}, "rtn-int8", TUNE_FIRST)

    merged = models.load(llama_folder, "float32", CPU)
    untouched = {name: weight.clone() for name, weight in merged.model.state_dict().items()}
    PeftModel.from_pretrained(merged.model, str(tmp_path)).merge_and_unload()
    tuned = merged.model.state_dict()
    moved = max(float((tuned[name] - weight).abs().max()) for name, weight in untouched.items())
    choice = trial.parse({**trial_document, "compression": {"kind": "rtn-int8"}}).compression
    expected = compress.transform("rtn-int8")(merged, choice, compress.Material(None, 3)).loaded.model
    got = seen[0][1].loaded.model
    assert moved > 0.01
    for layer in linears(expected):
        assert torch.equal(got.get_submodule(layer.name).weight, layer.module.weight)


@pytest.mark.parametrize(
    "method",
    [
        *({"kind": kind} for kind in ("full", "last-k", "layer-norm", "bitfit", "lora", "ia3", "rag-lora")),
        {"kind": "lora", "parameters": {"dora": True}},
        {"kind": "lora", "parameters": {"init": "pissa"}},
        {"kind": "full", "parameters": {"gradient": "mezo"}},
    ],
    ids=str,
)
def test_every_method_that_trains_weights_is_merged_and_packed(
    method: dict[str, Any], run: Run, seen: list[Any], recorder: Any
) -> None:
    attempt = run(method, "rtn-int8", TUNE_FIRST)

    model = seen[0][1].loaded.model
    assert all(type(layer.module) is PackedLinear for layer in linears(model))
    assert not any(weight.requires_grad for weight in model.parameters())
    assert not any("lora" in name or "ia3" in name for name, _ in model.named_modules())
    assert len(recorder.of("score")) == 4
    assert attempt.facts["weights_bytes"] < 4 * attempt.facts["parameter_count"]


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_dense_weights_are_gone_once_they_are_packed(kind: str, run: Run, seen: list[Any]) -> None:
    run({"kind": kind}, "rtn-int8", TUNE_FIRST)

    gc.collect()
    given, _ = seen[0]
    assert given
    assert [reference() for reference in given] == [None] * len(given)


@pytest.mark.parametrize("kind", ["wanda", "sparsegpt", "magnitude"])
def test_zeros_of_a_pruned_model_outlive_the_attempt(kind: str, run: Run, seen: list[Any]) -> None:
    run({"kind": "lora", "parameters": {"lr": 0.05}}, kind, TUNE_FIRST)

    assert sparsity(linears(seen[0][1].loaded.model)) == 0.5


def test_order_is_part_of_the_report(run: Run, tmp_path: Path) -> None:
    run({"kind": "lora"}, "rtn-int8", TUNE_FIRST)

    assert json.loads((tmp_path / compress.REPORT).read_text())["parameters"]["order"] == TUNE_FIRST


@pytest.mark.parametrize(
    ("method", "words"), [("prompt", "cannot be merged"), ("rag-prefix", "cannot be merged")]
)
def test_what_stands_before_the_input_is_refused(method: str, words: str, run: Run) -> None:
    with pytest.raises(WorkerFault, match=words) as caught:
        run({"kind": method}, "rtn-int8", TUNE_FIRST)

    assert caught.value.failure_class == "worker_error"


def test_training_packed_weights_is_still_refused(run: Run) -> None:
    with pytest.raises(WorkerFault, match="cannot be trained"):
        run({"kind": "full"}, "rtn-int8", COMPRESS_FIRST)


def test_points_are_refused_before_anything_is_trained(run: Run, recorder: Any) -> None:
    with pytest.raises(WorkerFault, match="leave points out") as caught:
        run({"kind": "lora"}, "rtn-int8", TUNE_FIRST, train={"steps": 4, "points": [0.5]})

    assert caught.value.failure_class == "precondition"
    assert "train" not in phases(recorder)


@pytest.mark.parametrize(
    "adapt", [lambda loaded: lora(loaded, rank=4, alpha=8, dropout=0.0, targets="all-linear"), ia3]
)
def test_merging_changes_no_answer(adapt: Any, llama_folder: Path) -> None:
    loaded = models.load(llama_folder, "float32", CPU)
    ids = torch.arange(4, 40)[None]
    trained = adapt(loaded)
    with torch.no_grad():
        before = loaded.model(input_ids=ids).logits
        for weight in trained.parameters:
            weight.add_(0.1)
        adapted = loaded.model(input_ids=ids).logits
        trained.merge()
        after = loaded.model(input_ids=ids).logits

    assert (adapted - before).abs().max() > 0.1
    assert torch.allclose(after, adapted, atol=1e-4)
