"""Reads the records of a large JSON array one by one, in the memory of one record.

Records are cut out by their brackets and each is decoded by itself, so that a broken one
has a place and does not hide those behind it (docs/adr/0012-large-json-is-cut-into-records.md).
Knows nothing of what records hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

RECORD_BYTES = 64 * 1024 * 1024
HEAD_BYTES = 64 * 1024
_PIECE_BYTES = 1024 * 1024
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
# A whole object without inner ones (most of a file, and so worth a token of its own), a whole
# string, a bracket, or a quote whose string goes on behind what was read.
_FLAT = rb'\{[^"\[\]{}]*(?:' + _STRING + rb'[^"\[\]{}]*)*\}'
_TOKEN = re.compile(_FLAT + rb"|" + _STRING + rb'|[\[\]{}]|"', re.DOTALL)
# What may stand before the records: a list, or LaMP's {"task": ..., "golds": [...]}.
_BEGIN = re.compile(
    rb'\s*(?:\[|\{\s*(?:"task"\s*:\s*"(?P<task>[^"\\]{0,80})"\s*,\s*)?"(?:golds|data)"\s*:\s*\[)'
)
_DEPTHS = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
_TOO_LONG = f"the record is longer than {RECORD_BYTES} bytes"
_TASK_BEHIND = re.compile(rb'"task"\s*:\s*"([^"\\]{0,80})"')
_ID = re.compile(rb'"id"\s*:\s*"?([^",}\s]{1,80})')


@dataclass(frozen=True)
class Place:
    """Where in a file something begins: line from 1, bytes from 0."""

    line: int
    offset_bytes: int

    def __str__(self) -> str:
        return f"line {self.line}, byte {self.offset_bytes}"


@dataclass(frozen=True)
class Record:
    """One element of the array; `fault` says why there is no `value`."""

    place: Place
    value: Any = None
    fault: str = ""
    # As far as it could be read out of a broken record.
    item_id: str = ""


class Stream:
    """The records of one file.

    `task` is what the file says beside its records, '' where it does not; it is complete
    when all records were read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.task = ""

    def __iter__(self) -> Iterator[Record]:
        """Yield all records. A fault that leaves no way to the next one is the last record.

        Raises:
            OSError: the file cannot be read.
        """
        with self._path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            begin = _BEGIN.match(head.removeprefix(b"\xef\xbb\xbf"))
            if begin is None:
                yield Record(Place(1, 0), fault=_no_array(head))
                return
            self.task = (begin["task"] or b"").decode("utf-8", "replace")
            # The mark of a byte order, where there is one, stands before everything else.
            skipped = begin.end() + (3 if head.startswith(b"\xef\xbb\xbf") else 0)
            cutter = _Cutter(file, head, skipped)
            yield from cutter.records()
            behind = _TASK_BEHIND.search(cutter.rest())
            if behind and not self.task:
                self.task = behind[1].decode("utf-8", "replace")


def _no_array(head: bytes) -> str:
    if not head.strip():
        return "the file is empty"
    if head.startswith((b"\x1f\x8b", b"PK")):
        return "the file is compressed; unpack it first"
    return 'the file begins neither with a list nor with {"task": ..., "golds": [...]}'


class _Cutter:
    """Cuts records out of a file behind the opening bracket of their list."""

    def __init__(self, file: BinaryIO, head: bytes, begin: int) -> None:
        self._file = file
        self._buffer = head
        # Offset of the buffer's first byte; line breaks before a place up to which they are counted.
        self._base = 0
        self._lines = 0
        self._counted = 0
        self._at = begin
        # Where the text between two records begins.
        self._gap = begin

    def records(self) -> Iterator[Record]:
        """Yield records up to the closing bracket, or to what cannot be passed over."""
        depth, start, is_first = 0, 0, True
        while True:
            found, moved = self._next(start if depth else self._gap)
            start -= moved
            if found is None:
                yield self._unended(start if depth else self._gap, depth)
                return
            token = found[0] if found.end() - found.start() == 1 else b""
            if depth == 0:
                if fault := self._between(found.start(), is_first, is_last=token == b"]"):
                    yield fault
                self._at = self._gap = found.end()
                if token == b"]":
                    return
                is_first, start = False, found.start()
                if not found[0].startswith((b"{", b"[")):
                    yield Record(self._place(start), fault="a record must be an object")
                    continue
            self._at = found.end()
            depth += _DEPTHS.get(token, 0)
            if depth == 0:
                yield _decoded(self._buffer[start : self._at], self._place(start))
                self._gap = self._at
            elif self._at - start > RECORD_BYTES:
                yield Record(self._place(start), fault=_TOO_LONG)
                return

    def rest(self) -> bytes:
        """Return the beginning of what follows the list."""
        return self._buffer[self._at :] + self._file.read(HEAD_BYTES)

    def _next(self, keep: int) -> tuple[re.Match[bytes] | None, int]:
        """Find the next token, reading on where it needs more; the bytes before `keep` may go.

        Returns the token, None at the end of the file, and by how much places have moved.
        """
        moved = 0
        while True:
            found = _TOKEN.search(self._buffer, self._at)
            if found is not None and found[0] != b'"':
                return found, moved
            # Nothing, or a string without an end: behind the last token nothing else begins.
            if found is None:
                self._at = len(self._buffer)
            piece = self._file.read(_PIECE_BYTES)
            if not piece or len(self._buffer) - keep + moved > RECORD_BYTES + _PIECE_BYTES:
                return None, moved
            dropped = keep - moved
            self._count_lines(dropped)
            self._counted -= dropped
            self._base += dropped
            self._buffer = self._buffer[dropped:] + piece
            self._at -= dropped
            self._gap -= dropped
            moved += dropped

    def _place(self, at: int) -> Place:
        self._count_lines(at)
        return Place(self._lines + 1, self._base + at)

    def _count_lines(self, at: int) -> None:
        """Counts line breaks up to a place, which never lies before the last one."""
        self._lines += self._buffer.count(b"\n", self._counted, at)
        self._counted = max(self._counted, at)

    def _between(self, end: int, is_first: bool, *, is_last: bool) -> Record | None:
        text = self._buffer[self._gap : end].strip()
        wanted = b"" if is_first or is_last else b","
        if text == wanted:
            return None
        found = text[:40].decode("utf-8", "replace")
        what = f"{found!r} stands between two records" if text else "a comma is missing between two records"
        return Record(self._place(self._gap), fault=what)

    def _unended(self, start: int, depth: int) -> Record:
        if not depth:
            return Record(self._place(start), fault="the file ends before its list does")
        text = self._buffer[start : start + HEAD_BYTES]
        if len(self._buffer) - start > RECORD_BYTES:
            return Record(self._place(start), fault=_TOO_LONG, item_id=_id_of(text))
        return Record(
            self._place(start), fault="the record that begins here never ends", item_id=_id_of(text)
        )


def _decoded(text: bytes, place: Place) -> Record:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Record(place, fault=f"not JSON in UTF-8: {error}", item_id=_id_of(text))
    return Record(place, value)


def _id_of(text: bytes) -> str:
    found = _ID.search(text[:HEAD_BYTES])
    return found[1].decode("utf-8", "replace") if found else ""
