"""Ends what a test run or a benchmark has started when it is itself killed, however that happens.

    with watching(folder):
        ...

A process of its own waits at a pipe. When the block ends, it is told so and
goes. When the pipe just closes, the owner is gone without cleaning up, by
SIGKILL for example; then every process dies that names the folder in its
command line, its environment or its working folder. What was detached on
purpose, daemons and attempts, is found like this as well, which a signal at a
parent's death (PR_SET_PDEATHSIG) would not do.

Runs as a program of the standard library alone, so that it starts in 20 ms.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_BYE = b"."
_LOOK_S = 0.1
# So many looks in a row that find nothing: a process between fork and exec shows its parent's names.
_QUIET_LOOKS = 5
_PATIENCE_S = 20.0


@contextlib.contextmanager
def watching(folder: Path, *, end: bool = False) -> Iterator[None]:
    """Guards everything that names the folder for as long as the block lasts.

    With `end` it also kills what is still there when the block ends in good order.
    """
    guardian = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(folder.absolute())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        # Whoever ends a whole session or process group must not end this.
        start_new_session=True,
        cwd="/",
    )
    assert guardian.stdin is not None
    try:
        yield
    finally:
        with contextlib.suppress(BrokenPipeError):
            guardian.stdin.write(_BYE)
            guardian.stdin.flush()
        guardian.stdin.close()
        guardian.wait()
        if end:
            end_all(str(folder.absolute()))


def names(folder: str, proc: Path = Path("/proc")) -> list[int]:
    """Lists the processes that name a folder, or something below it, but for this one."""
    wanted = re.compile(re.escape(os.fsencode(folder)) + rb"(?![\w.-])")
    return [
        int(place.name)
        for place in proc.iterdir()
        if place.name.isdigit() and int(place.name) != os.getpid() and wanted.search(_said(place))
    ]


def _said(place: Path) -> bytes:
    """Returns command line, environment and working folder; what cannot be read is left out."""
    found = b""
    for name in ("cmdline", "environ"):
        with contextlib.suppress(OSError):
            found += (place / name).read_bytes() + b"\0"
    with contextlib.suppress(OSError):
        found += os.fsencode((place / "cwd").readlink())
    return found


def end_all(folder: str) -> None:
    """Kills everything that names the folder, until nothing more of it comes up."""
    deadline_s = time.monotonic() + _PATIENCE_S
    quiet = 0
    while quiet < _QUIET_LOOKS and time.monotonic() < deadline_s:
        found = names(folder)
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        quiet = 0 if found else quiet + 1
        time.sleep(_LOOK_S)


def main() -> int:
    """Waits for the owner's end."""
    if sys.stdin.buffer.read(1) != _BYE:
        end_all(sys.argv[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
