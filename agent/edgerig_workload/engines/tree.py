"""The processes that the worker has started, and their memory, out of /proc.

The worker adopts what its children leave behind (PR_SET_CHILD_SUBREAPER), so that all
of a server's processes are found by their parents, however they detach themselves.
Peaks are each process's own high-water mark, added up: exact for one process, an upper
bound for several, whose peaks need not meet in time and which share pages.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from edgerig_workload.shares import read_shares

_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.02
# Behind the name in /proc/PID/stat: state, parent, ... (proc_pid_stat(5), field 12).
_MAJOR_FAULTS = 9

ONE = "tree_vmhwm_reset"
SEVERAL = "tree_vmhwm_sum"
UPPER_BOUND = "tree_vmhwm_since_start"

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of every process that a child of this one leaves behind."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends; for use between fork and exec."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def descendants(root: int | None = None, proc: Path = Path("/proc")) -> list[int]:
    """Return the living processes below `root` (this process by default), zombies left out."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in os.scandir(proc):
        if entry.name.isdigit() and (parent := _parent(proc / entry.name)) is not None:
            children[parent].append(int(entry.name))
    found: list[int] = []
    open_pids = [os.getpid() if root is None else root]
    while open_pids:
        below = children.pop(open_pids.pop(), [])
        found += below
        open_pids += below
    return sorted(found)


class Started:
    """The living processes below this one that were not there when it was made."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._others = frozenset(descendants(proc=proc))

    def pids(self) -> list[int]:
        """Return them in ascending order."""
        return [pid for pid in descendants(proc=self._proc) if pid not in self._others]

    def end(self, patience_s: float) -> None:
        """Ask all of them to end, and end by force those that have not after `patience_s`."""
        seen: set[int] = set()
        for number in (signal.SIGTERM, signal.SIGKILL):
            asked: set[int] = set()
            deadline = time.monotonic() + patience_s
            while (pids := self.pids()) and time.monotonic() < deadline:
                # Also what was started while the others were being ended.
                _signal(set(pids) - asked, number)
                asked.update(pids)
                time.sleep(_POLL_S)
                _reap(asked)
            seen |= asked
        _reap(seen)


class TreeResidentSet:
    """The high-water marks of the processes below this one, as `phases.ResidentSet` wants them."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._started = Started(proc)
        self.method = ONE
        self._faults: dict[int, int] = {}
        self.reset()

    def reset(self) -> None:
        """Set every mark back to the present resident set; label the fallback where that is refused."""
        for pid in self._pids():
            if not _cleared(self._proc / str(pid)):
                self.method = UPPER_BOUND

    def peak_bytes(self) -> int | None:
        """Return the sum of the marks; a process that ended before this reading is not in it."""
        marks = [mark for pid in self._pids() if (mark := self._mark(pid)) is not None]
        return sum(marks) if marks else None

    def shares(self) -> dict[str, int]:
        """Return the added-up shares of memory of all processes (see `shares.read_shares`)."""
        total: dict[str, int] = defaultdict(int)
        for pid in self._pids():
            for name, value in read_shares(self._proc / str(pid)).items():
                total[name] += value
        return dict(total)

    def major_faults(self) -> int:
        """Return how many faults of these processes, ended ones among them, waited for a disk so far."""
        for pid in self._pids():
            fields = _stat(self._proc / str(pid))
            if fields is not None:
                self._faults[pid] = int(fields[_MAJOR_FAULTS])
        return sum(self._faults.values())

    def _pids(self) -> list[int]:
        pids = self._started.pids()
        if len(pids) > 1 and self.method == ONE:
            self.method = SEVERAL
        return pids

    def _mark(self, pid: int) -> int | None:
        try:
            lines = (self._proc / str(pid) / "status").read_text().splitlines()
        except OSError:
            return None
        for line in lines:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return None


def _cleared(process: Path) -> bool:
    """Sets a process's mark back; False where the kernel refuses. One that has ended needs none."""
    try:
        (process / "clear_refs").write_text("5")
    except PermissionError:
        return False
    except OSError:
        return not (process / "status").exists()
    return True


def _parent(process: Path) -> int | None:
    fields = _stat(process)
    return None if fields is None or fields[0] in ("Z", "X") else int(fields[1])


def _stat(process: Path) -> list[str] | None:
    """Returns the fields of /proc/PID/stat behind the name, which may hold anything (proc_pid_stat(5))."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _signal(pids: Collection[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _reap(pids: Collection[int]) -> None:
    """Collects those that have ended and are children of this one, adopted ones among them."""
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
