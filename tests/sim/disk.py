"""Real folders under watch: every change is a place to die, a power cut drops what was not synced.

The production code writes through the standard library as always. Python's
audit events tell of each change before it happens, so no code can pass by;
`os.fsync` is wrapped to know what has reached the disk. The rule is POSIX's
strictest: a file's content is durable from its own fsync on, a name from the
fsync of the folder that it stands in.
"""

# Called for every change of a file: there a Path costs more than the change.
# ruff: noqa: PTH112, PTH115, PTH116, PTH123, PTH208

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

from tests.sim.loop import OWNER

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Event to the positions of its paths and of the folder descriptors they are relative to.
_EVENTS: dict[str, tuple[int, int | None]] = {
    "os.mkdir": (0, 2),
    "os.rename": (0, 2),
    "os.remove": (0, 1),
    "os.rmdir": (0, 1),
    "os.link": (1, 3),
    "os.symlink": (1, 2),
    "os.truncate": (0, None),
    "shutil.rmtree": (0, None),
}
_NEEDS_SPACE = frozenset({"open", "os.mkdir", "os.link", "os.symlink"})
_watched: dict[str, Disk] = {}
_real_fsync = os.fsync


class Disk:
    """One machine's disk, below `root`."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True)
        self.root = root
        self.full = False
        self._files: dict[int, bytes] = {}
        self._folders: dict[int, dict[str, int]] = {os.stat(root).st_ino: {}}
        _watched[str(root)] = self

    def forget(self) -> None:
        """Ends the watch and removes everything."""
        _watched.pop(str(self.root), None)
        shutil.rmtree(self.root, ignore_errors=True)

    def before(self, event: str, path: str) -> None:
        """Comes before every change; may kill, or find the disk full."""
        owner = OWNER.get()
        if owner is None:
            # The world itself: it puts disks in order, full or not.
            return
        owner.point(f"{event} {path[len(str(self.root)) + 1 :]}")
        # A kernel sees that a folder is there before it looks for space.
        if self.full and event in _NEEDS_SPACE and not (event == "os.mkdir" and os.path.isdir(path)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def synced(self, descriptor: int) -> None:
        """Notes what an fsync has made durable."""
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            entries = os.listdir(descriptor)
            self._folders[status.st_ino] = {
                name: os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_ino for name in entries
            }
        else:
            with open(f"/proc/self/fd/{descriptor}", "rb") as file:
                self._files[status.st_ino] = file.read()

    def all_durable(self) -> None:
        """Takes everything that is there as having been there for long."""
        for folder, names, files in os.walk(self.root):
            place = Path(folder)
            self._folders[place.stat().st_ino] = {
                name: (place / name).lstat().st_ino for name in (*names, *files)
            }
            for name in files:
                self._files[(place / name).stat().st_ino] = (place / name).read_bytes()

    def cut_power(self) -> None:
        """Puts back what was durable, and nothing else."""
        made = {os.stat(path).st_ino for path, _, _ in os.walk(self.root)}
        found = self._durable(os.stat(self.root).st_ino, made)
        for entry in sorted(os.listdir(self.root)):
            path = self.root / entry
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._files.clear()
        self._folders.clear()
        self._restore(self.root, found)

    def _durable(self, inode: int, made: set[int]) -> dict[str, Any]:
        image: dict[str, Any] = {}
        for name, child in sorted(self._folders.get(inode, {}).items()):
            if child in self._folders or child in made:
                image[name] = self._durable(child, made)
            else:
                # A durable name of a file that was never synced: nobody knows what is in it.
                image[name] = self._files.get(child, b"")
        return image

    def _restore(self, folder: Path, image: dict[str, Any]) -> None:
        names: dict[str, int] = {}
        for name, content in image.items():
            path = folder / name
            if isinstance(content, dict):
                path.mkdir()
                self._restore(path, content)
            else:
                path.write_bytes(content)
                self._files[path.stat().st_ino] = content
            names[name] = path.stat().st_ino
        self._folders[folder.stat().st_ino] = names


def _disk_of(path: str) -> Disk | None:
    for root, disk in _watched.items():
        if path.startswith(root) and (len(path) == len(root) or path[len(root)] == "/"):
            return disk
    return None


def _path_of(args: tuple[Any, ...], positions: tuple[int, int | None]) -> str:
    position, folder_position = positions
    path = args[position]
    if isinstance(path, int):
        return os.readlink(f"/proc/self/fd/{path}")
    text = os.fsdecode(path)
    if not text.startswith("/") and folder_position is not None:
        descriptor = args[folder_position]
        if isinstance(descriptor, int) and descriptor >= 0:
            return f"{os.readlink(f'/proc/self/fd/{descriptor}')}/{text}"
    return text


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _watched:
        return
    if event == "open":
        path, _, flags = args
        if isinstance(path, int) or not isinstance(flags, int) or not flags & _WRITING:
            return
        text = os.fsdecode(path)
    else:
        positions = _EVENTS.get(event)
        if positions is None:
            return
        text = _path_of(args, positions)
    disk = _disk_of(text)
    if disk is not None:
        disk.before(event, text)


def _fsync(descriptor: int) -> None:
    disk = _disk_of(os.readlink(f"/proc/self/fd/{descriptor}")) if _watched else None
    if disk is None:
        _real_fsync(descriptor)
        return
    owner = OWNER.get()
    if owner is not None:
        owner.point("before fsync")
    disk.synced(descriptor)
    if owner is not None:
        owner.point("after fsync")


def watch() -> None:
    """Puts the watch in place, once per Python process; without a simulated disk it lets all pass."""
    if os.fsync is not _fsync:
        os.fsync = _fsync  # type: ignore[assignment]
        sys.addaudithook(_audit)
