"""Task data is read whole or refused with every fault's place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgerig_workload.tasks.items import DataFault, Item, ProfileItem, load


def row(**changes: Any) -> dict[str, Any]:
    base = {
        "id": "a-0",
        "user": "a",
        "input": "what?",
        "output": "that",
        "profile": [{"id": "p0", "text": "t", "output": "o", "date": "2024-01-02"}],
    }
    return {**base, **changes}


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def fault(tmp_path: Path, *lines: str) -> str:
    with pytest.raises(DataFault) as caught:
        load(written(tmp_path, *lines))
    return caught.value.message


def test_reads_items_and_skips_blank_lines(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(row()), "", json.dumps(row(id="a-1", profile=[])))
    assert load(path) == [
        Item("a-0", "a", "what?", "that", (ProfileItem("p0", "t", "o", "2024-01-02"),)),
        Item("a-1", "a", "what?", "that", ()),
    ]


def test_a_date_may_be_absent(tmp_path: Path) -> None:
    (item,) = load(written(tmp_path, json.dumps(row(profile=[{"id": "p", "text": "t", "output": "o"}]))))
    assert item.profile[0].date == ""


def test_a_score_may_stand_as_a_number(tmp_path: Path) -> None:
    (item,) = load(written(tmp_path, json.dumps(row(output=4))))
    assert item.output == "4"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 1: not JSON"),
        ("[1]", "line 1: not a JSON object"),
        (json.dumps(row(id="")), "line 1: `id` is empty"),
        (json.dumps(row(input=" ")), "line 1 (item 'a-0'): `input` is empty"),
        (json.dumps(row(profile={})), "`profile` must be a list"),
        (json.dumps(row(profile=[{"id": "p", "text": "t"}])), "profile[0]: `output` is missing"),
        (json.dumps(row(profile=["p"])), "profile[0] is not a JSON object"),
        (json.dumps(row(output=True)), "`output` must be text"),
        (json.dumps(row(answer="x")), "unknown key(s) `answer`"),
    ],
)
def test_a_fault_names_line_item_and_cause(tmp_path: Path, line: str, says: str) -> None:
    assert says in fault(tmp_path, line)


def test_every_faulty_line_is_reported(tmp_path: Path) -> None:
    message = fault(tmp_path, "{", json.dumps(row()), json.dumps(row(id="b", user="")))
    assert "2 faulty line(s)" in message
    assert "line 1:" in message
    assert "line 3 (item 'b'): `user` is empty" in message


def test_an_id_used_twice_is_a_fault(tmp_path: Path) -> None:
    message = fault(tmp_path, json.dumps(row()), json.dumps(row()))
    assert "line 2 (item 'a-0'): the id was used before, on line 1" in message


def test_only_twenty_faults_are_shown(tmp_path: Path) -> None:
    message = fault(tmp_path, *["{"] * 25)
    assert message.count("not JSON") == 20
    assert message.endswith("and 5 more")


def test_an_empty_file_is_a_fault(tmp_path: Path) -> None:
    assert "holds no items" in fault(tmp_path, "")


def test_bytes_that_are_not_utf8_are_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"id": "\xff"}\n')
    with pytest.raises(DataFault, match="line 1: not JSON in UTF-8"):
        load(path)


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(DataFault, match="cannot be read"):
        load(tmp_path / "none.jsonl")
