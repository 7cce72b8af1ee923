"""A mark that a command line follows a study on this machine.

The agent of the same data folder counts the processor time of marked processes
as edgerig's own, so that a figure which a viewer disturbed says so. The mark
names process id and start time, because ids are used again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edgerig_controller.home import Home


@contextlib.contextmanager
def viewing(home: Home) -> Iterator[None]:
    """Leaves the mark of this process in the data folder while the block runs."""
    mark = home.root / "viewers" / f"{os.getpid()}-{_own_start_ticks()}"
    try:
        mark.parent.mkdir(mode=0o700, exist_ok=True)
        mark.touch(mode=0o600)
    except OSError:
        # A folder that only reads allow is somebody else's: then it is not this machine's agent's.
        yield
        return
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def _own_start_ticks() -> int:
    # Field 22 of /proc/PID/stat; the command before it may hold spaces and brackets.
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
