"""Records of a large JSON list: cut out one by one, with places, in bounded memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerig_controller.data import json_stream
from edgerig_controller.data.json_stream import Place, Stream

TEXTS = st.text(st.sampled_from('ab"\\{}[],:\n é\u2028😀'), max_size=12)
VALUES = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "records.json"
    path.write_text(text, encoding="utf-8")
    return path


def faults(tmp_path: Path, text: str) -> list[tuple[int, str, str]]:
    records = Stream(file(tmp_path, text))
    return [(record.place.offset_bytes, record.item_id, record.fault) for record in records if record.fault]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=6),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_records_are_those_of_the_whole_document(
    tmp_path_factory: pytest.TempPathFactory, rows: list[object], indent: int | None, ascii_only: bool
) -> None:
    path = tmp_path_factory.mktemp("stream") / "records.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")

    assert [(record.value, record.fault) for record in Stream(path)] == [(row, "") for row in rows]


def test_pieces_of_any_size_give_the_same_records_and_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": str(n), "text": 'a "quoted" \\ {brace} é' * n, "list": [n, {"x": []}]} for n in range(30)]
    path = file(tmp_path, json.dumps(rows, indent=1, ensure_ascii=False))
    whole = list(Stream(path))
    monkeypatch.setattr(json_stream, "HEAD_BYTES", 16)
    monkeypatch.setattr(json_stream, "_PIECE_BYTES", 7)

    assert list(Stream(path)) == whole
    data = path.read_bytes()
    for record in whole:
        at = record.place.offset_bytes
        assert data[at : at + 1] == b"{"
        assert record.place.line == data[:at].count(b"\n") + 1


@pytest.mark.parametrize(
    "text", ['{"task": "LaMP_3", "golds": [{"id": 1}]}', '{"golds": [{"id": 1}], "task": "LaMP_3"}']
)
def test_golds_say_their_task_before_or_behind_them(tmp_path: Path, text: str) -> None:
    stream = Stream(file(tmp_path, text))

    assert [record.value for record in stream] == [{"id": 1}]
    assert stream.task == "LaMP_3"


def test_broken_record_is_told_and_those_behind_it_are_read(tmp_path: Path) -> None:
    records = list(Stream(file(tmp_path, '[\n{"id": "a", "x": "say "hi" there"},\n{"id": "b"}]')))

    assert (records[0].place, records[0].item_id) == (Place(2, 2), "a")
    assert records[0].fault.startswith("not JSON in UTF-8")
    assert records[1].value == {"id": "b"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [(0, "", "the file is empty")]),
        ("hello", [(0, "", 'the file begins neither with a list nor with {"task": ..., "golds": [...]}')]),
        ('[{"id": "q", "x": "never', [(1, "q", "the record that begins here never ends")]),
        ('[{"id": "q", "x": [1', [(1, "q", "the record that begins here never ends")]),
        ('[{"id": 1}', [(10, "", "the file ends before its list does")]),
        ('[{"id": 1} {"id": 2}]', [(10, "", "a comma is missing between two records")]),
        ('[{"id": 1}, 7, {"id": 2}]', [(10, "", "', 7,' stands between two records")]),
        ('[{"id": 1},]', [(10, "", "',' stands between two records")]),
        ('["text"]', [(1, "", "a record must be an object")]),
    ],
)
def test_what_is_no_list_of_records_is_told_with_its_place(
    tmp_path: Path, text: str, found: list[tuple[int, str, str]]
) -> None:
    assert faults(tmp_path, text) == found


def test_packed_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\x1f\x8b\x08\x00")

    [record] = Stream(tmp_path / "x.json")

    assert record.fault == "the file is compressed; unpack it first"


def test_record_that_is_too_long_ends_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "RECORD_BYTES", 1000)
    monkeypatch.setattr(json_stream, "_PIECE_BYTES", 100)
    monkeypatch.setattr(json_stream, "HEAD_BYTES", 100)

    for long in ('"' + "x" * 5000 + '"', json.dumps(["x"] * 5000)):
        records = list(Stream(file(tmp_path, f'[{{"id": "a"}}, {{"id": "b", "x": {long}}}, {{"id": "c"}}]')))
        assert [(record.value, bool(record.fault)) for record in records] == [
            ({"id": "a"}, False),
            (None, True),
        ]
        assert "longer than" in records[1].fault


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    row = {"id": "1", "profile": [{"id": "p", "text": "word " * 200}] * 20}
    text = json.dumps(row)
    path = tmp_path / "large.json"
    with path.open("w") as stream:
        stream.write("[" + text)
        for _ in range(1500):
            stream.write("," + text)
        stream.write("]")
    tracemalloc.start()
    count = sum(1 for _ in Stream(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 1501
    assert path.stat().st_size > 30_000_000
    assert peak < 8_000_000
