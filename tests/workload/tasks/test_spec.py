"""The task of a trial is read strictly."""

from __future__ import annotations

from typing import Any

import pytest

from edgerig_workload.tasks.items import DataFault
from edgerig_workload.tasks.spec import TaskSpec

TASK: dict[str, Any] = {
    "name": "lamp-2",
    "kind": "TASK_KIND_CLASSIFICATION",
    "metric": "accuracy",
    "prompt": "lamp-2",
    "labels": ["comedy", "action"],
    "answer_tokens": 6,
}


def test_reads_the_proto_json_form() -> None:
    assert TaskSpec.from_trial(TASK) == TaskSpec(
        "lamp-2", "classification", "accuracy", "lamp-2", ("comedy", "action"), 6
    )


def test_fields_left_out_of_proto_json_get_the_kinds_defaults() -> None:
    spec = TaskSpec.from_trial({"name": "mine", "kind": "TASK_KIND_GENERATION"})
    assert spec == TaskSpec("mine", "generation", "rouge1_f", "plain", (), 32)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "TASK_KIND_UNSPECIFIED"}, "kind 'TASK_KIND_UNSPECIFIED'"),
        ({"metric": "rouge1_f"}, "does not score a classification"),
        ({"prompt": "lamp-9"}, "prompt family 'lamp-9'"),
        ({"answer_tokens": -1}, "answer_tokens is -1"),
        ({"answer_tokens": 100_000}, "answer_tokens is 100000"),
    ],
)
def test_what_does_not_fit_is_a_data_fault(change: dict[str, Any], says: str) -> None:
    with pytest.raises(DataFault) as caught:
        TaskSpec.from_trial({**TASK, **change})
    assert says in caught.value.message
