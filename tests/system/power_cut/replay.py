"""A recording of file operations, and what a disk may hold when the power goes at a point of it.

POSIX promises little: a file's content is on the disk from its fsync on, a name
from the fsync of its folder. Of what came later any part may be there, and
each write may be torn at a 512-byte sector. Knows nothing of what is written.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field
from pathlib import Path

_HEADER = struct.Struct("=cIIqQ")
_SECTOR = 512


@dataclass(frozen=True)
class Operation:
    """One record of record.c."""

    kind: str
    path: str
    other: str
    number: int
    data: bytes


@dataclass(eq=False)
class _File:
    durable: bytes = b""
    # Since the last fsync, in order: (offset, data), or (length, None) for a truncation.
    later: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.later:
            self.durable = _apply(self.durable, change)
        self.later.clear()


@dataclass(eq=False)
class _Folder:
    """A folder's names: durable ones, and changes since (name, node or None for a removal)."""

    durable: dict[str, _File | _Folder] = field(default_factory=dict)
    now: dict[str, _File | _Folder] = field(default_factory=dict)
    later: list[tuple[str, _File | _Folder | None]] = field(default_factory=list)

    def put(self, name: str, node: _File | _Folder | None) -> None:
        if node is None:
            self.now.pop(name, None)
        else:
            self.now[name] = node
        self.later.append((name, node))

    def sync(self) -> None:
        self.durable = dict(self.now)
        self.later.clear()


def read(path: Path) -> list[Operation]:
    """Reads a recording."""
    content, position, found = path.read_bytes(), 0, []
    while position < len(content):
        kind, one, two, number, length = _HEADER.unpack_from(content, position)
        position += _HEADER.size
        texts = content[position : position + one + two].decode()
        position += one + two
        found.append(
            Operation(kind.decode(), texts[:one], texts[one:], number, content[position : position + length])
        )
        position += length
    return found


def cut(operations: list[Operation], count: int, root: Path, target: Path, rng: random.Random) -> None:
    """Writes below `target` what may be on the disk below `root` after that many operations."""
    tree = _Folder()
    for operation in operations[:count]:
        _follow(tree, operation, root)
    _write(tree, target, rng, keep=rng.choice([0.0, 0.0, 0.5, 0.9]))


def _follow(tree: _Folder, operation: Operation, root: Path) -> None:
    place = _below(operation.path, root)
    if place is None:
        return
    folder, name = _find(tree, place[:-1]), place[-1] if place else ""
    if operation.kind == "S" and not place:
        tree.sync()
        return
    if folder is None or not name:
        return
    node = folder.now.get(name)
    if operation.kind == "O" and node is None:
        folder.put(name, _File())
    elif operation.kind == "D":
        folder.put(name, _Folder())
    elif operation.kind == "U":
        folder.put(name, None)
    elif operation.kind == "R" and node is not None:
        other = _below(operation.other, root)
        into = _find(tree, other[:-1]) if other else None
        folder.put(name, None)
        if other and into is not None:
            into.put(other[-1], node)
    elif operation.kind == "S" and node is not None:
        node.sync()
    elif operation.kind == "W" and isinstance(node, _File):
        node.later.append((operation.number, operation.data))
    elif operation.kind == "T" and isinstance(node, _File):
        node.later.append((operation.number, None))


def _below(path: str, root: Path) -> tuple[str, ...] | None:
    text = path.removesuffix(" (deleted)")
    try:
        return Path(text).relative_to(root).parts
    except ValueError:
        return None


def _find(tree: _Folder, parts: tuple[str, ...]) -> _Folder | None:
    folder = tree
    for part in parts:
        node = folder.now.get(part)
        if not isinstance(node, _Folder):
            return None
        folder = node
    return folder


def _write(folder: _Folder, target: Path, rng: random.Random, *, keep: float) -> None:
    target.mkdir(parents=True, exist_ok=True)
    names = dict(folder.durable)
    for name, node in folder.later:
        if rng.random() < keep:
            if node is None:
                names.pop(name, None)
            else:
                names[name] = node
    for name, node in names.items():
        if isinstance(node, _Folder):
            _write(node, target / name, rng, keep=keep)
        else:
            (target / name).write_bytes(_content(node, rng, keep))


def _content(file: _File, rng: random.Random, keep: float) -> bytes:
    content = file.durable
    for offset, data in file.later:
        if rng.random() >= keep:
            continue
        if data is not None and rng.random() < 0.3:
            # Torn: only some of its sectors have arrived.
            for begin in range(0, len(data), _SECTOR):
                if rng.random() < 0.5:
                    content = _apply(content, (offset + begin, data[begin : begin + _SECTOR]))
            continue
        content = _apply(content, (offset, data))
    return content


def _apply(content: bytes, change: tuple[int, bytes | None]) -> bytes:
    offset, data = change
    if data is None:
        return content[:offset].ljust(offset, b"\0")
    padded = content.ljust(offset, b"\0")
    return padded[:offset] + data + padded[offset + len(data) :]
