"""Writes a trace file: a JSON header of one page, then little-endian int64 records.

Part of the sampler, so standard library only and small: records go through a
sliding memory map, so that a killed sampler loses nothing that it has appended, and
resident memory does not grow with the trace.
"""

from __future__ import annotations

import json
import mmap
import os
import struct

HEADER_BYTES = 4096
# A run that fills this stops recording; the coverage of its figures says so.
MAX_TRACE_BYTES = 512 * 1024 * 1024

_WINDOW_BYTES = 64 * mmap.ALLOCATIONGRANULARITY


class TraceWriter:
    """Appends records to one trace file."""

    def __init__(self, path: str, header: dict[str, object], fields: list[dict[str, object]]) -> None:
        """Creates the file and writes its header.

        Raises:
            OSError: the file exists, or the disk is full.
        """
        self._record = struct.Struct(f"<{1 + len(fields)}q")
        head = {**header, "fields": fields, "record_bytes": self._record.size}
        text = json.dumps(head, separators=(",", ":")).encode()
        # One page, but for a board with dozens of channels.
        page_count = -(-(len(text) + 1) // HEADER_BYTES)
        padded = text.ljust(page_count * HEADER_BYTES - 1) + b"\n"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        os.write(self._fd, padded)
        self._size = self._record.size
        self._end = len(padded)
        self._window_begin = self._last = 0
        self._map = self._slide(0)

    def append(self, t_mono_ns: int, values: list[int]) -> None:
        """Writes one record; does nothing once the file has its largest size."""
        end = self._end
        if end > self._last:
            if end + self._size > MAX_TRACE_BYTES:
                return
            self._map.close()
            self._map = self._slide(end // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY)
        self._record.pack_into(self._map, end - self._window_begin, t_mono_ns, *values)
        self._end = end + self._size

    def close(self) -> None:
        """Cuts the file behind its last record; may be called twice."""
        if self._fd >= 0:
            self._map.close()
            os.ftruncate(self._fd, self._end)
            os.close(self._fd)
            self._fd = -1

    def _slide(self, begin: int) -> mmap.mmap:
        self._window_begin = begin
        # Where the last record that fits begins.
        self._last = min(begin + _WINDOW_BYTES, MAX_TRACE_BYTES) - self._size
        os.posix_fallocate(self._fd, begin, _WINDOW_BYTES)
        return mmap.mmap(self._fd, _WINDOW_BYTES, offset=begin)
