"""The study file's JSON Schema, in words: for editors, for problems and for the reference page.

One schema serves all three, so that an error message and the documentation
cannot say different things. Knows no particular study.
"""

from __future__ import annotations

import copy
import json
from functools import lru_cache
from typing import Any

from edgerig_controller.study.spec import SCHEMA_VERSION, Study

Node = dict[str, Any]
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PAGE_HEAD = """# The study file

This page is generated from the schema that `edgerig schema` prints, by
`python -m edgerig_controller.study.schema`.

A study file is YAML 1.2, at most 1 MiB. Unknown keys are errors. Which methods, compressions, tasks
and metrics exist, and their parameters, is said by the workload's catalogue:
`python -m edgerig_workload catalog`.
"""
# Where a mapping stands in the file, and what the schema calls it.
_TABLES = (
    ("devices", "Devices"),
    ("tasks[]", "TaskEntry"),
    ("factors", "Factors"),
    ("factors.method[], factors.compression[]", "Choice"),
    ("factors.method[], factors.compression[] by a preset", "PresetChoice"),
    ("servers[]", "Server"),
    ("exclude[]", "Exclude"),
    ("budgets", "Budgets"),
    ("budgets.train", "TrainBudget"),
    ("budgets.attempt", "AttemptBudget"),
    ("inference", "Inference"),
    ("retry", "Retry"),
    ("settings", "Settings"),
    ("protocol_overrides", "ProtocolOverrides"),
    ("precision", "Precision"),
    ("claims[]", "Claim"),
)


def json_schema() -> Node:
    """Return the JSON Schema (draft 2020-12) of a study file."""
    return copy.deepcopy(_schema())


@lru_cache(maxsize=1)
def _schema() -> Node:
    schema = Study.model_json_schema()
    _without_titles(schema)
    return {"$schema": _DIALECT, "title": f"edgerig study, version {SCHEMA_VERSION}", **schema}


def _without_titles(node: Any) -> None:
    """Drops the titles that pydantic makes of field names; they only repeat the key."""
    if isinstance(node, list):
        for item in node:
            _without_titles(item)
    elif isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        for item in node.values():
            _without_titles(item)


def node_at(path: tuple[str | int, ...]) -> Node | None:
    """Return the schema of the value at a path of a study file; None where there is no such key."""
    node: Node | None = _schema()
    for step in path:
        node = _step(_resolved(node), step) if node is not None else None
    return _resolved(node) if node is not None else None


def _resolved(node: Node) -> Node:
    while "$ref" in node:
        target = _schema()["$defs"][node["$ref"].rpartition("/")[2]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def _step(node: Node, step: str | int) -> Node | None:
    found: Node | None = None
    if isinstance(step, int):
        found = node.get("items")
    else:
        extra = node.get("additionalProperties")
        found = node.get("properties", {}).get(step, extra if isinstance(extra, dict) else None)
    if found is not None:
        return found
    inside = (_step(_resolved(option), step) for option in node.get("anyOf", ()))
    return next((option for option in inside if option is not None), None)


def keys_at(path: tuple[str | int, ...]) -> list[str]:
    """List the keys that the mapping at a path may have; empty where any key goes."""
    node = node_at(path) or {}
    options = [node, *(_resolved(option) for option in node.get("anyOf", ()))]
    return [key for option in options for key in option.get("properties", {})]


def describe(node: Node) -> str:
    """Say in words what a value must be, for example `a whole number from 1 to 1000`."""
    node = _resolved(node)
    if "anyOf" in node:
        return _either([describe(option) for option in node["anyOf"] if option.get("type") != "null"])
    if "const" in node:
        return str(node["const"])
    if "enum" in node:
        return "one of " + ", ".join(str(value) for value in node["enum"])
    kind = str(node.get("type", "any value"))
    if kind in {"integer", "number"}:
        return ("a whole number" if kind == "integer" else "a number") + _range(node)
    if kind == "array":
        least = node.get("minItems", 0)
        counted = f" of at least {least} value{'s' if least != 1 else ''}" if least else ""
        return f"a list{counted}, each {describe(node['items'])}"
    if kind == "string":
        return f"text matching {node['pattern']}" if "pattern" in node else "text"
    if kind == "object":
        keys = [f"`{key}`" for key in node.get("properties", {})]
        if keys:
            return f"a mapping with {', '.join(keys)}"
        return "a mapping with at least one key" if node.get("minProperties") else "a mapping"
    return {"boolean": "true or false", "null": "null"}.get(kind, kind)


def _either(words: list[str]) -> str:
    """Joins alternatives, and calls the union of all plain values by one word."""
    if {"text", "a whole number", "a number", "true or false"} <= set(words):
        plain = "a single value (text, number, true or false)"
        words = [plain, *(word for word in words if word.startswith(("a list", "a mapping")))]
    return " or ".join(dict.fromkeys(words))


def _range(node: Node) -> str:
    if "exclusiveMinimum" in node:
        above = f" above {_number(node['exclusiveMinimum'])}"
        return f"{above}, at most {_number(node['maximum'])}" if "maximum" in node else above
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f" from {_number(low)} to {_number(high)}"
    return f" of at least {_number(low)}" if low is not None else ""


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) and not value.is_integer() else str(int(value))


def reference() -> str:
    """Return the reference page of the study file in Markdown."""
    sections = [_PAGE_HEAD, _section("Top level", _schema())]
    sections += [_section(f"`{heading}`", _schema()["$defs"][name]) for heading, name in _TABLES]
    return "\n".join(sections)


def _section(heading: str, node: Node) -> str:
    node = _resolved(node)
    text = str(node.get("description", "")).strip()
    lines = [f"## {heading}", text, "", "| key | value | default | meaning |", "|---|---|---|---|"]
    required = set(node.get("required", ()))
    for key, child in node.get("properties", {}).items():
        resolved = _resolved(child)
        default = "required" if key in required else _default(child.get("default"))
        lines.append(f"| `{key}` | {_cell(_brief(resolved))} | {default} | {_cell(_meaning(child))} |")
    if isinstance(node.get("additionalProperties"), dict):
        value = _cell(describe(node["additionalProperties"]))
        lines.append(f"| any other key | {value} | | a parameter or a condition |")
    return "\n".join(lines) + "\n"


def _brief(node: Node) -> str:
    """Describes nested mappings by a word, because each has a table of its own."""
    node = _resolved(node)
    if node.get("type") == "object":
        return "a mapping"
    if node.get("type") == "array":
        return f"a list, each {_brief(node['items'])}"
    if "anyOf" in node:
        return _either([_brief(option) for option in node["anyOf"] if option.get("type") != "null"])
    return describe(node)


def _default(value: Any) -> str:
    if value is None or value == () or value == [] or isinstance(value, dict):
        return ""
    return f"`{json.dumps(value)}`".replace('"', "")


def _meaning(child: Node) -> str:
    own = str(child.get("description", ""))
    return own or str(_resolved(child).get("description", ""))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write the reference page to standard output."""
    import sys

    sys.stdout.write(reference())


if __name__ == "__main__":
    main()
