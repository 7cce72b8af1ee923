"""Processes that outlive the daemon: named by pid and start time, watched without polling.

A pid alone may be reused; with its start time it names one process of this
boot. Knows nothing of attempts.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgerig.deadlines import within

# Where the kernel has no pidfd (before 5.3), a process is looked at this often.
_POLL_S = 1.0

_OUTPUT_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ProcessRef:
    """One process of this boot. `start_ticks` is field 22 of /proc/PID/stat."""

    pid: int
    start_ticks: int


@dataclass(frozen=True)
class Finished:
    """How a short command ended. `output` and `errors` are its last MiB at most."""

    exit_code: int
    output: str
    errors: str


def find(pid: int) -> ProcessRef | None:
    """Returns the living process of a pid; None when there is none or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name field may hold spaces and parentheses; fields are counted after its end.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        return None
    return ProcessRef(pid, int(fields[19]))


def is_alive(process: ProcessRef) -> bool:
    """Says whether exactly this process still runs."""
    return process.pid > 0 and find(process.pid) == process


def boot_id() -> str:
    """Returns the kernel's identifier of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


async def wait_gone(process: ProcessRef) -> None:
    """Returns when the process has ended."""
    if not hasattr(os, "pidfd_open"):
        await _poll_gone(process)
        return
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    except OSError:
        await _poll_gone(process)
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    try:
        # The pid may have been reused before the descriptor was opened.
        if not is_alive(process):
            return
        loop.add_reader(descriptor, gone.set)
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _poll_gone(process: ProcessRef) -> None:
    while is_alive(process):
        await asyncio.sleep(_POLL_S)


async def stop(process: ProcessRef, *, patience_s: float) -> None:
    """Asks a session leader to end (SIGTERM), then kills its process group (SIGKILL)."""
    if not _signal(process, signal.SIGTERM, group=False):
        return
    try:
        await within(wait_gone(process), patience_s)
    except asyncio.TimeoutError:
        _signal(process, signal.SIGKILL, group=True)
        await wait_gone(process)


def _signal(process: ProcessRef, number: int, *, group: bool) -> bool:
    if not is_alive(process):
        return False
    try:
        if group and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


# A life lock is a lock file that is held exactly as long as a process lives
# that inherited it. It closes the gap in which a daemon has started a process
# and died before noting its pid: the next daemon finds the lock held and
# starts nothing.


def is_locked(path: Path) -> bool:
    """Says whether some process holds a life lock; a file that is not there is held by nobody."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _take(descriptor)
    finally:
        os.close(descriptor)


def lock(path: Path) -> int | None:
    """Takes a life lock and returns its descriptor to pass on; None when it is held.

    Raises:
        OSError: the lock file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if _take(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def unlock(descriptor: int) -> None:
    """Lets this process's hold of a life lock go; a process that inherited it goes on holding it."""
    os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def spawn_detached(command: Sequence[str], *, output: Path, keep_open: int) -> int:
    """Starts a process in a session of its own that inherits only `keep_open`; returns its pid.

    Its standard output and error go to `output`; it survives the caller.

    Raises:
        OSError: the program cannot be started.
    """
    os.set_inheritable(keep_open, True)
    try:
        return os.posix_spawn(
            command[0],
            list(command),
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
    finally:
        os.set_inheritable(keep_open, False)


def reap(pid: int) -> bool:
    """Collects an ended child, so that it leaves no zombie; False while it still runs."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


async def run_command(command: Sequence[str], *, scratch: Path, timeout_s: float) -> Finished:
    """Runs a short command to its end; past the time limit it is killed with exit code -9.

    Output goes through unnamed files in `scratch`, so nothing can fill a pipe.

    Raises:
        OSError: the program cannot be started, or the disk refuses.
    """
    with tempfile.TemporaryFile(dir=scratch) as output, tempfile.TemporaryFile(dir=scratch) as errors:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
        )
        process = find(child.pid)
        try:
            if process is not None:
                await within(wait_gone(process), timeout_s)
        except asyncio.TimeoutError:
            pass
        finally:
            # Also when the caller was cancelled: nothing it started may stay behind.
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            exit_code = child.wait()
        return Finished(exit_code, _tail(output.fileno()), _tail(errors.fileno()))


def _tail(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, _OUTPUT_BYTES, max(0, size - _OUTPUT_BYTES)).decode(errors="replace")
