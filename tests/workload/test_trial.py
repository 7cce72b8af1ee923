"""Reading trials: numbers in all their JSON forms, defaults, and every problem named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2

from edgerig.documents import to_json
from edgerig.v1.trial_pb2 import Trial
from edgerig_workload import trial
from edgerig_workload.faults import WorkerFault
from edgerig_workload.trial import TrainBudget


def problems(document: Any) -> list[str]:
    with pytest.raises(WorkerFault) as caught:
        trial.parse(document)
    return caught.value.message.splitlines()[1:]


def test_whole_floats_become_integers(trial_document: dict[str, Any]) -> None:
    trial_document["method"] = {"kind": "lora", "parameters": {"r": 4.0, "alpha": 8}}

    method = trial.parse(trial_document).method

    assert (method.parameters["r"], method.parameters["alpha"]) == (4, 8.0)
    assert isinstance(method.parameters["r"], int)


def test_absent_parameters_get_the_catalogue_defaults(trial_document: dict[str, Any]) -> None:
    trial_document["method"] = {"kind": "rag"}

    assert trial.parse(trial_document).method.parameters == {
        "retriever": "bm25",
        "k": 4,
        "encoder": "",
        "similarity": "cosine",
    }


def test_integers_as_strings_are_read(trial_document: dict[str, Any]) -> None:
    trial_document["seed"] = "12"

    assert trial.parse(trial_document).seed == 12


def test_form_that_the_contract_writes_is_read() -> None:
    parameters = struct_pb2.Struct()
    parameters.update({"r": 8})
    message = Trial(schema_version=1, protocol=2, seed=5, history=-1, dtype="bfloat16")
    message.method.kind = "lora"
    message.method.parameters.CopyFrom(parameters)
    message.budgets.train.steps = 60

    for document in (to_json(message), json_format.MessageToDict(message, preserving_proto_field_name=True)):
        parsed = trial.parse(document)
        assert (parsed.protocol, parsed.history, parsed.train.steps) == ("standard", -1, 60)


def test_all_problems_are_named_at_once(trial_document: dict[str, Any]) -> None:
    trial_document |= {
        "protocol": "PROTOCOL_FAST",
        "dtype": "int3",
        "history": -2,
        "method": {"kind": "lora", "parameters": {"rank": 8, "r": 0, "alpha": "much"}},
        "compression": {"kind": "nonne"},
        "inference": {"requests": 3},
    }

    found = problems(trial_document)

    assert len(found) == 8, found


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"k": 0}, "allowed: 1 to 1000"),
        ({"k": 2.5}, "must be of type int"),
        ({"k": True}, "must be of type int"),
        ({"retriever": "bm26"}, "allowed: bm25"),
        ({"kk": 1}, "did you mean 'k'?"),
        ([1], "parameters must be an object"),
    ],
)
def test_wrong_parameter_is_told(trial_document: dict[str, Any], parameters: Any, expected: str) -> None:
    trial_document["method"] = {"kind": "rag", "parameters": parameters}

    [problem] = problems(trial_document)

    assert expected in problem


def test_budget_with_points_and_patience_is_read(trial_document: dict[str, Any]) -> None:
    trial_document["budgets"]["train"] = {
        "energy_j": 5,
        "points": [0.25, 0.5],
        "patience_points": "2",
        "held_out_share": 0.2,
    }

    assert trial.parse(trial_document).train == TrainBudget(
        energy_j=5.0, points=(0.25, 0.5), patience_points=2, held_out_share=0.2
    )


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ({"points": [0.5, 0.5]}, "points must be ascending shares"),
        ({"points": [0.0]}, "points must be ascending shares"),
        ({"points": [1.0]}, "points must be ascending shares"),
        ({"points": "half"}, "points must be a list"),
        ({"points": [0.5, None]}, "points must be a list"),
        ({"patience_points": 2}, "patience_points needs points"),
        ({"held_out_share": 0.6}, "held_out_share must be at most 0.5"),
    ],
)
def test_budget_that_cannot_be_followed_is_told(
    trial_document: dict[str, Any], train: dict[str, Any], expected: str
) -> None:
    trial_document["budgets"]["train"] = {"steps": 3, **train}

    [problem] = problems(trial_document)

    assert expected in problem


@pytest.mark.parametrize("content", ["", "[1, 2", "[" * 100_000])
def test_file_that_is_no_json_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "trial.json").write_text(content)

    with pytest.raises(WorkerFault, match="cannot be read"):
        trial.load(tmp_path / "trial.json")
