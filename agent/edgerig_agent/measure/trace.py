"""Reads trace files, and prints them as CSV.

A trace is one probe's samples: a time column and one column of raw integers per
field. Knows nothing of phases or of what the figures mean.
"""

from __future__ import annotations

import csv
import json
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from edgerig.errors import StorageError
from edgerig_agent.measure.tracefile import HEADER_BYTES, MAX_TRACE_BYTES
from edgerig_agent.probes.base import LAST_UNREAD

SCHEMA = 1
_MAX_FIELDS = 1024
_RECORDS_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Field:
    """One column of a trace; value = raw x scale in the unit of `unit` (power_w, energy_j, ...)."""

    name: str
    unit: str
    scale: float
    source: str
    boundary: str
    wrap_raw: int
    # What the driver says of the sensor; 0 = it does not say.
    shunt_ohm: float = 0.0
    update_interval_ns: int = 0
    # Conversions that the chip averages into one reading.
    averaged_count: int = 0


@dataclass(frozen=True)
class Trace:
    """The samples of one probe; `columns[i]` holds the raw values of `fields[i]`."""

    name: str
    interval_ns: int
    fields: tuple[Field, ...]
    times_ns: array[int]
    columns: tuple[array[int], ...]

    def column(self, field: Field) -> array[int]:
        """Returns the raw values of a field."""
        return self.columns[self.fields.index(field)]


def read_trace(path: Path) -> Trace:
    """Reads one trace file; a piece of a record at its end is left out.

    Raises:
        StorageError: the file is not a trace, or its header does not fit its records.
    """
    try:
        if path.stat().st_size > MAX_TRACE_BYTES + HEADER_BYTES:
            raise StorageError(f"{path.name} is larger than a trace may be")
        with path.open("rb") as file:
            line = file.readline(64 * HEADER_BYTES)
            header = _header(line, path.name)
            fields = tuple(_field(entry, path.name) for entry in header["fields"])
            if header["record_bytes"] != 8 * (1 + len(fields)):
                raise StorageError(f"{path.name}: record_bytes does not fit {len(fields)} fields")
            times, *columns = _columns(file, 1 + len(fields))
    except OSError as error:
        raise StorageError(f"cannot read the trace {path.name}: {error.strerror}") from error
    count = _written_count(times)
    for column in (times, *columns):
        del column[count:]
    return Trace(str(header["name"]), int(header["interval_ns"]), fields, times, tuple(columns))


def read_traces(folder: Path) -> list[Trace]:
    """Reads all traces of an attempt folder, in the order of their names.

    Raises:
        StorageError: one of them cannot be read.
    """
    return [read_trace(path) for path in sorted((folder / "trace").glob("*.trace"))]


def write_csv(trace: Trace, out: TextIO) -> None:
    """Writes a trace as CSV: t_mono_ns, then each field scaled; empty where a read failed."""
    writer = csv.writer(out)
    writer.writerow(["t_mono_ns", *(field.name for field in trace.fields)])
    scales = [field.scale for field in trace.fields]
    for t_mono_ns, *raws in zip(trace.times_ns, *trace.columns, strict=True):
        row = [
            "" if raw <= LAST_UNREAD else repr(raw * scale) for raw, scale in zip(raws, scales, strict=True)
        ]
        writer.writerow([t_mono_ns, *row])


def write_long_csv(traces: Sequence[Trace], out: TextIO) -> None:
    """Writes several traces as one CSV with a line for each value: t_mono_ns, field, value."""
    writer = csv.writer(out)
    writer.writerow(["t_mono_ns", "field", "value"])
    for trace in traces:
        for index, t_mono_ns in enumerate(trace.times_ns):
            for field, column in zip(trace.fields, trace.columns, strict=True):
                raw = column[index]
                writer.writerow(
                    [t_mono_ns, field.name, "" if raw <= LAST_UNREAD else repr(raw * field.scale)]
                )


def describe(trace: Trace) -> list[str]:
    """Returns lines that say what a trace holds and how densely it was sampled."""
    count = len(trace.times_ns)
    span_s = (trace.times_ns[-1] - trace.times_ns[0]) * 1e-9 if count > 1 else 0.0
    rate = f", {(count - 1) / span_s:.1f} a second" if span_s > 0 else ""
    lines = [f"{trace.name}: {count} samples in {span_s:.2f} s{rate}"]
    return lines + [f"  {field.name}  {field.boundary}".rstrip() for field in trace.fields]


def _columns(file: BinaryIO, width: int) -> list[array[int]]:
    """Reads records of `width` words to the end of the file, a part at a time: traces of a day are long."""
    columns = [array("q") for _ in range(width)]
    while part := file.read(_RECORDS_AT_ONCE * 8 * width):
        words = array("q")
        words.frombytes(part[: len(part) // (8 * width) * 8 * width])
        if sys.byteorder == "big":
            words.byteswap()
        for index, column in enumerate(columns):
            column.extend(words[index::width])
    return columns


def _written_count(times: array[int]) -> int:
    """Counts the records before the empty tail that a killed sampler leaves."""
    count = len(times)
    while count and times[count - 1] == 0:
        count -= 1
    return count


def _header(line: bytes, name: str) -> dict[str, Any]:
    try:
        header = json.loads(line)
    except ValueError as error:
        raise StorageError(f"{name} does not begin with a JSON header") from error
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        raise StorageError(f"{name} is not a trace of schema {SCHEMA}")
    fields = header.get("fields")
    if not isinstance(fields, list) or len(fields) > _MAX_FIELDS:
        raise StorageError(f"{name}: the header lists no fields")
    missing = {"name", "interval_ns", "record_bytes"} - header.keys()
    if missing:
        raise StorageError(f"{name}: the header lacks {', '.join(sorted(missing))}")
    return header


def _field(entry: Any, name: str) -> Field:
    try:
        return Field(
            name=str(entry["name"]),
            unit=str(entry["unit"]),
            scale=float(entry["scale"]),
            source=str(entry["source"]),
            boundary=str(entry["boundary"]),
            wrap_raw=int(entry.get("wrap_raw", 0)),
            shunt_ohm=float(entry.get("shunt_ohm", 0.0)),
            update_interval_ns=int(entry.get("update_interval_ns", 0)),
            averaged_count=int(entry.get("averaged_count", 0)),
        )
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise StorageError(f"{name}: a field of the header is incomplete") from error
