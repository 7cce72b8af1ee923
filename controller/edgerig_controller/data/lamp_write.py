"""Writes the synthetic tasks in the file formats of LaMP, for programs that read those. Knows no models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgerig.errors import DataError
from edgerig_controller.data.lamp_shapes import SHAPES, Files, Part, Shape


def write(name: str, rows: Iterable[dict[str, Any]], folder: Path, part: Part) -> Files:
    """Write task data as PART_questions.json and PART_outputs.json below `folder`, as downloads are laid out.

    Args:
        name: a task of LaMP.
        rows: task data of the generator.
        folder: gets LaMP_k/PART with the two files.
        part: train or dev.

    Raises:
        DataError: the files cannot be written.
    """
    shape = SHAPES[name]
    place = folder / shape.task / part
    files = Files(place / f"{part}_questions.json", place / f"{part}_outputs.json")
    golds: list[dict[str, str]] = []
    try:
        place.mkdir(parents=True, exist_ok=True)
        with files.questions.open("w", encoding="utf-8", newline="\n") as stream:
            for text in _listed(_questions(rows, shape, golds)):
                stream.write(text)
        with files.outputs.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(f'{{"task": "{shape.task}", "golds": ')
            for text in _listed(golds):
                stream.write(text)
            stream.write("}\n")
    except OSError as error:
        raise DataError(f"{place} cannot be written: {error.strerror}", hint=f"ls -ld {folder}") from error
    return files


def _questions(
    rows: Iterable[dict[str, Any]], shape: Shape, golds: list[dict[str, str]]
) -> Iterator[dict[str, Any]]:
    for row in rows:
        golds.append({"id": row["id"], "output": row["output"]})
        yield {
            "id": row["id"],
            "user_id": row["user"],
            "input": row["input"],
            "profile": [_entry(entry, shape) for entry in row["profile"]],
        }


def _entry(entry: dict[str, str], shape: Shape) -> dict[str, str]:
    made = {"id": entry["id"], shape.text: entry["text"]}
    if shape.output:
        made[shape.output] = entry["output"]
    if entry.get("date"):
        made["date"] = entry["date"]
    return made


def _listed(values: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Writes a JSON list with a record on each line."""
    start = "[\n"
    for value in values:
        yield start + json.dumps(value, ensure_ascii=False)
        start = ",\n"
    yield "\n]\n" if start != "[\n" else "[]\n"
