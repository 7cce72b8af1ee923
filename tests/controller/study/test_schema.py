"""The schema, and the page made of it."""

from __future__ import annotations

from pathlib import Path

from edgerig_controller.study import schema

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "study-file.md"


def test_the_reference_page_is_current() -> None:
    # To renew it: python -m edgerig_controller.study.schema > docs/reference/study-file.md
    assert PAGE.read_text(encoding="utf-8") == schema.reference()


def test_every_key_of_the_schema_is_on_the_page() -> None:
    node = schema.json_schema()
    keys = {key for part in [node, *node["$defs"].values()] for key in part.get("properties", {})}
    assert [key for key in sorted(keys) if f"`{key}`" not in schema.reference()] == []


def test_the_schema_forbids_unknown_keys() -> None:
    assert schema.json_schema()["additionalProperties"] is False


def test_changing_the_returned_schema_changes_nothing_here() -> None:
    schema.json_schema()["properties"].clear()
    assert "factors" in schema.keys_at(())


def test_keys_are_found_behind_references_and_lists() -> None:
    limits = ["samples", "tokens", "steps", "duration_s", "energy_j"]
    assert schema.keys_at(("budgets", "train"))[:5] == limits
    assert "items_per_user" in schema.keys_at(("tasks", 0))
    assert schema.node_at(("nothing", "here")) is None
