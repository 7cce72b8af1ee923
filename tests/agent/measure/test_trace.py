"""Trace files: written by the sampler's writer, read back, printed."""

import io
import json
from pathlib import Path

import pytest

from edgerig.errors import StorageError
from edgerig_agent.measure import tracefile
from edgerig_agent.measure.trace import read_trace, write_csv, write_long_csv
from edgerig_agent.measure.tracefile import TraceWriter
from edgerig_agent.probes.base import UNREAD

HEADER: dict[str, object] = {"schema": 1, "name": "memory", "interval_ns": 20_000_000}
FIELDS: list[dict[str, object]] = [
    {"name": "a", "unit": "power_w", "scale": 0.001, "source": "rail:a", "boundary": "module_in"},
    {"name": "b", "unit": "energy_j", "scale": 1.0, "source": "b", "boundary": "", "wrap_raw": 1000},
]


def written(folder: Path, records: list[tuple[int, list[int]]], *, close: bool = True) -> Path:
    path = folder / "memory.trace"
    writer = TraceWriter(str(path), HEADER, FIELDS)
    for t_ns, values in records:
        writer.append(t_ns, values)
    if close:
        writer.close()
    return path


def test_records_are_read_back_with_their_fields(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, [(10, [1, 2]), (20, [3, UNREAD])]))
    assert list(trace.times_ns) == [10, 20]
    assert [list(column) for column in trace.columns] == [[1, 3], [2, UNREAD]]
    assert (trace.fields[0].boundary, trace.fields[1].wrap_raw) == ("module_in", 1000)


def test_the_header_is_one_json_line_of_4096_bytes(tmp_path: Path) -> None:
    content = written(tmp_path, [(10, [1, 2])]).read_bytes()
    assert len(content) == 4096 + 24
    assert json.loads(content[:4096])["record_bytes"] == 24
    assert content[4095:4096] == b"\n"


def test_more_records_than_one_window_holds_are_all_there(tmp_path: Path) -> None:
    count = 3 * tracefile._WINDOW_BYTES // 24
    path = written(tmp_path, [(index + 1, [index, -index]) for index in range(count)])
    trace = read_trace(path)
    assert list(trace.times_ns) == list(range(1, count + 1))
    assert list(trace.columns[1]) == [-index for index in range(count)]


def test_what_a_killed_sampler_leaves_is_read_up_to_its_last_record(tmp_path: Path) -> None:
    path = written(tmp_path, [(10, [1, 2]), (20, [3, 4])], close=False)
    assert path.stat().st_size > 4096 + 48
    assert list(read_trace(path).times_ns) == [10, 20]


def test_a_full_trace_stops_growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefile, "MAX_TRACE_BYTES", 4096 + 48)
    path = written(tmp_path, [(index, [0, 0]) for index in range(1, 10)])
    assert list(read_trace(path).times_ns) == [1, 2]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no json\n",
        b'{"schema": 2}\n',
        b'{"schema": 1, "name": "x", "interval_ns": 1, "record_bytes": 16, "fields": [{}]}\n',
        b'{"schema": 1, "name": "x", "interval_ns": 1, "record_bytes": 99, "fields": []}\n',
    ],
)
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.trace"
    path.write_bytes(content)
    with pytest.raises(StorageError):
        read_trace(path)


def test_csv_has_a_column_for_each_field_and_nothing_for_a_failed_reading(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, [(10, [1500, UNREAD])]))
    out = io.StringIO()
    write_csv(trace, out)
    assert out.getvalue().splitlines() == ["t_mono_ns,a,b", "10,1.5,"]


def test_several_traces_are_printed_with_a_line_for_each_value(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, [(10, [1500, 7])]))
    out = io.StringIO()
    write_long_csv([trace], out)
    assert out.getvalue().splitlines() == ["t_mono_ns,field,value", "10,a,1.5", "10,b,7.0"]
