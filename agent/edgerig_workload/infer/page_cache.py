"""What of a model's files the kernel holds in memory: dropped for a cold load, read for a warm one.

posix_fadvise(POSIX_FADV_DONTNEED) needs no rights, but only advises: pages that are dirty,
mapped by another process, or of a file system that lives in memory stay. So the share
that is there is read back with mincore(2), and a load that would not be what it is
called is refused.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from edgerig_workload.faults import WorkerFault

FILES_MOST = 10_000
# A page or two may be read by anybody between dropping and looking.
_COLD_MOST = 0.01
_WARM_LEAST = 0.99
_READ_BYTES = 1024 * 1024
# Pages looked at together: 1 GiB of the file.
_WINDOW_PAGES = 262_144

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long),
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
_FAILED = ctypes.c_void_p(-1).value


def bring_about(state: str, folder: Path) -> float | None:
    """Make the files of a folder cold or warm ('' leaves them) and return the share that is in memory.

    The share is None where the kernel does not tell, which only '' allows.

    Raises:
        WorkerFault: of class precondition, where the state cannot be reached or not be verified.
    """
    files = list(_files(folder))
    if state == "cold":
        for file in files:
            _drop(file)
    elif state == "warm":
        for file in files:
            _read(file)
    share = resident_share(files)
    if not state:
        return share
    if share is None:
        raise WorkerFault("precondition", f"a {state} load cannot be verified: mincore is refused here")
    if (state == "cold" and share > _COLD_MOST) or (state == "warm" and share < _WARM_LEAST):
        why = (
            "another process has them mapped, or their file system lives in memory"
            if state == "cold"
            else "the memory is too small for them"
        )
        raise WorkerFault(
            "precondition",
            f"a {state} load cannot be had: {share:.1%} of the model's files are in memory; {why}",
        )
    return share


def resident_share(files: list[Path]) -> float | None:
    """Return the share of the files' pages that the kernel holds; None where it does not tell."""
    held = total = 0
    for file in files:
        pages = -(-file.stat().st_size // mmap.PAGESIZE)
        found = _resident_pages(file, pages)
        if found is None:
            return None
        held, total = held + found, total + pages
    return held / total if total else 1.0


def _files(folder: Path) -> Iterator[Path]:
    """Yields the regular files of a folder and of those in it, where links lead to."""
    paths = list(itertools.islice(folder.rglob("*"), FILES_MOST + 1))
    if len(paths) > FILES_MOST:
        raise WorkerFault("bad_model", f"{folder.name} has more than {FILES_MOST} files")
    yield from {path.resolve(): None for path in sorted(paths) if path.is_file()}


def _drop(file: Path) -> None:
    with file.open("rb") as opened:
        # Dirty pages cannot be dropped.
        os.fdatasync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read(file: Path) -> None:
    buffer = bytearray(_READ_BYTES)
    with file.open("rb", buffering=0) as opened:
        while opened.readinto(buffer):
            pass


def _resident_pages(file: Path, pages: int) -> int | None:
    with file.open("rb") as opened:
        found = 0
        for first in range(0, pages, _WINDOW_PAGES):
            count = min(_WINDOW_PAGES, pages - first)
            inside = _window_pages(opened.fileno(), first * mmap.PAGESIZE, count)
            if inside is None:
                return None
            found += inside
        return found


def _window_pages(descriptor: int, offset: int, count: int) -> int | None:
    length = count * mmap.PAGESIZE
    address = _libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, offset)
    if address in (None, _FAILED):
        return None
    try:
        states = ctypes.create_string_buffer(count)
        if _libc.mincore(address, length, states):
            return None
        # Only the lowest bit means anything.
        return sum(state & 1 for state in states.raw)
    finally:
        _libc.munmap(address, length)
