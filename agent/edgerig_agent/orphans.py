"""Ends what a worker has left running: processes that detached themselves from its group.

The attempt process adopts them (PR_SET_CHILD_SUBREAPER, prctl(2)), so that they are found
as its own children whatever session they made. Its own helpers are told apart by their pids.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
# What is ended may have started something meanwhile; each round finds what the last one left.
_ROUNDS = 100

_libc = ctypes.CDLL(None, use_errno=True)


def adopt() -> None:
    """Become the parent of processes that a descendant of this one leaves behind."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_adopted(before: Collection[int], proc: Path = Path("/proc")) -> int:
    """Kill and reap every child that was not there `before`; returns how many there were."""
    count = 0
    for _ in range(_ROUNDS):
        adopted = [pid for pid in children(proc=proc) if pid not in before]
        if not adopted:
            break
        for pid in adopted:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        count += len(adopted)
    return count


def children(parent: int | None = None, proc: Path = Path("/proc")) -> list[int]:
    """Return the children of a process, this one by default, ended ones that nobody reaped among them."""
    wanted = os.getpid() if parent is None else parent
    pids = [int(entry.name) for entry in os.scandir(proc) if entry.name.isdigit()]
    return sorted(pid for pid in pids if _parent(proc / str(pid)) == wanted)


def _parent(process: Path) -> int | None:
    # The name field may hold spaces and parentheses; fields are counted after its end.
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None
