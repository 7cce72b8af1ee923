"""Checks a document against the part of JSON Schema that our schemas use."""

from __future__ import annotations

import re
from typing import Any

TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
KNOWN = {
    "$schema", "title", "type", "properties", "required", "additionalProperties", "items", "enum", "const",
    "minimum", "exclusiveMinimum", "minItems", "maxItems", "pattern",
}  # fmt: skip


def check(value: Any, schema: dict[str, Any], place: str = "") -> list[str]:
    """Lists what is wrong with a document, by place."""
    assert set(schema) <= KNOWN, f"this checker does not know {set(schema) - KNOWN}"
    where = place or "document"
    wanted = schema.get("type")
    if wanted is not None and not any(_is(value, name) for name in _list(wanted)):
        return [f"{where}: {value!r} is no {wanted}"]
    found = []
    if ("enum" in schema and value not in schema["enum"]) or ("const" in schema and value != schema["const"]):
        found.append(f"{where}: {value!r} is not allowed")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{where}: {value!r} has not the form {schema['pattern']}")
    if _is(value, "number"):
        low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
        if (low is not None and value < low) or (above is not None and value <= above):
            found.append(f"{where}: {value} is too small")
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            found.append(f"{where}: {len(value)} entries")
        for at, entry in enumerate(value):
            found += check(entry, schema.get("items", {}), f"{place}[{at}]")
    if isinstance(value, dict):
        found += _object(value, schema, place)
    return found


def _object(value: dict[str, Any], schema: dict[str, Any], place: str) -> list[str]:
    where = place or "document"
    found = [f"{where}: {name} is missing" for name in schema.get("required", ()) if name not in value]
    other = schema.get("additionalProperties", True)
    for name, entry in value.items():
        inner = schema.get("properties", {}).get(name, other)
        if inner is False:
            found.append(f"{where}: {name} is unknown")
        elif isinstance(inner, dict):
            found += check(entry, inner, f"{place}.{name}".lstrip("."))
    return found


def _list(wanted: Any) -> list[str]:
    return wanted if isinstance(wanted, list) else [wanted]


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, TYPES[name])
