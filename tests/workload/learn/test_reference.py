"""The page on methods says what the catalogue says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgerig_workload.learn.catalog import EXCLUSIONS, METHODS, RETRIEVING

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "methods.md").read_text("utf-8")
KINDS = [kind for kind in METHODS if not kind.startswith(RETRIEVING)]


def allowed(rule: dict[str, Any]) -> str:
    if "choices" in rule:
        return ", ".join(rule["choices"])
    if "minimum" in rule:
        return f"{rule['minimum']:g} to {rule['maximum']:g}"
    return "true, false" if rule["type"] == "bool" else "a text"


@pytest.mark.parametrize("kind", KINDS)
def test_kind_stands_there_with_its_summary(kind: str) -> None:
    assert f"| `{kind}` | {METHODS[kind]['summary']} |" in PAGE


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_stand_there_with_default_and_bounds(kind: str) -> None:
    for name, rule in METHODS[kind]["parameters"].items():
        assert f"| `{name}` | {rule['default']} | {allowed(rule)} | {rule['summary']} |" in PAGE


def test_reasons_of_exclusions_stand_there() -> None:
    assert all(rule["reason"] in PAGE for rule in EXCLUSIONS)
