"""Dotted selectors match cells by their factors."""

from __future__ import annotations

from typing import Any

import pytest

from edgerig_controller.study.selectors import matches, names_of

CELL = {
    "task": "lamp-2",
    "model": "starter/small",
    "method": {"kind": "lora", "r": 8, "merge": True},
    "history": "all",
}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"method.kind": "lora"}, True),
        ({"method": "lora"}, True),
        ({"method.kind": "rag"}, False),
        ({"method.r": 8.0}, True),
        ({"method.r": [2, 8]}, True),
        ({"method.r": [2, 4]}, False),
        ({"method.k": 4}, False),
        ({"method.kind": "lora", "model": "starter/large"}, False),
        ({"history": -1}, True),
        ({"history": "all"}, True),
        ({"history": 16}, False),
        ({"method.merge": 1}, False),
        ({"method.merge": True}, True),
        ({"model.kind": "starter/small"}, False),
        ({"nothing": "x"}, False),
        ({}, False),
    ],
)
def test_a_cell_must_meet_every_condition(selector: dict[str, Any], expected: bool) -> None:
    assert matches(selector, CELL) is expected


def test_names_are_factors_and_their_parameters() -> None:
    assert names_of([CELL, {"method": {"kind": "rag", "k": 4}}]) == {
        "task",
        "model",
        "method",
        "history",
        "method.kind",
        "method.r",
        "method.merge",
        "method.k",
    }
