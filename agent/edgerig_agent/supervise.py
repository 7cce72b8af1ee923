"""Waits for the worker without disturbing it: blocks in poll(), reads, and enforces limits.

Between two readings of the pipes it rests, so that a talkative worker wakes it
a few times a second at most. Nothing is parsed or written to the event file
before the worker has ended. Knows nothing of what events mean.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from edgerig_agent.runtime import Worker, kill_group

MAX_LINE_BYTES = 1024 * 1024
MAX_EVENT_BYTES = 64 * 1024 * 1024
MAX_LOG_BYTES = 1024 * 1024
TERM_PATIENCE_S = 3.0

_REST_S = 0.2
_READ_BYTES = 256 * 1024


@dataclass
class Ended:
    """What came out of a worker, and what was done to it."""

    exit_code: int = 0
    events: bytearray = field(default_factory=bytearray)
    # What the worker wrote that the contract forbids.
    violation: str = ""
    timed_out: bool = False
    cancel_signal: int = 0
    begin_mono_ns: int = 0
    end_mono_ns: int = 0
    # The largest resident set of the worker, as the kernel kept it.
    max_rss_bytes: int = 0
    major_fault_count: int = 0


@dataclass(frozen=True)
class Beat:
    """Something short that is done again and again while the worker lives."""

    period_s: float
    act: Callable[[], None]


class Signals:
    """SIGTERM and SIGINT as a request to cancel; every signal wakes a poll()."""

    def __init__(self) -> None:
        self.cancel_signal = 0
        self.wake_fd, self._wake_write = os.pipe()
        os.set_blocking(self.wake_fd, False)
        os.set_blocking(self._wake_write, False)
        self._previous_fd = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._previous = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, self._cancel),
                (signal.SIGINT, self._cancel),
                (signal.SIGCHLD, _ignore),
            )
        }

    def clear(self) -> None:
        """Empties the wake pipe; the state is in the flags and in the child's status."""
        try:
            while os.read(self.wake_fd, 512):
                pass
        except BlockingIOError:
            return

    def restore(self) -> None:
        """Puts the former handlers back."""
        signal.set_wakeup_fd(self._previous_fd)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        os.close(self.wake_fd)
        os.close(self._wake_write)

    def _cancel(self, number: int, _frame: FrameType | None) -> None:
        self.cancel_signal = self.cancel_signal or number


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """SIGCHLD must have a handler to reach the wake pipe."""


class WorkerLog:
    """The last MiB of what the worker printed, on disk as it arrives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._tail = bytearray()
        self._on_disk_bytes = 0

    def add(self, piece: bytes) -> None:
        """Appends a piece; rewrites the file when it has grown to twice what is kept."""
        self._tail += piece
        del self._tail[:-MAX_LOG_BYTES]
        self._on_disk_bytes += len(piece)
        if self._on_disk_bytes > 2 * MAX_LOG_BYTES:
            self._rewrite()
        else:
            self._file.write(piece)
            self._file.flush()

    def close(self) -> None:
        """Leaves at most the last MiB in the file."""
        if self._on_disk_bytes > MAX_LOG_BYTES:
            self._rewrite()
        self._file.close()

    def tail(self, size_bytes: int = 4096) -> str:
        """Returns the end of the text."""
        return bytes(self._tail[-size_bytes:]).decode("utf-8", "replace")

    def _rewrite(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(self._tail)
        self._file.flush()
        self._on_disk_bytes = len(self._tail)


def supervise(
    worker: Worker,
    log: WorkerLog,
    signals: Signals,
    *,
    budget_s: float,
    beat: Beat | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Ended:
    """Returns when the worker and its whole process group have ended.

    Args:
        worker: just started.
        log: takes what it prints.
        signals: tells of a wish to cancel.
        budget_s: wall time after which the worker is ended; 0 = no limit.
        beat: something to do all the while.
        clock: seconds, monotonic.
    """
    ended = Ended(begin_mono_ns=time.monotonic_ns())
    watch = _Watch(worker, log, ended)
    deadline = clock() + budget_s if budget_s > 0 else None
    kill_at: float | None = None
    beat_at = clock() if beat is not None else None
    while not watch.is_over():
        kill_at = _enforce(worker.process.pid, ended, signals, deadline, kill_at, clock)
        if beat is not None and beat_at is not None and clock() >= beat_at:
            beat.act()
            beat_at = clock() + beat.period_s
        moments = [
            moment
            for moment in (deadline if kill_at is None else None, kill_at, beat_at)
            if moment is not None
        ]
        timeout_s = max(0.0, min(moments) - clock()) if moments else None
        watch.wait(signals, timeout_s)
    ended.end_mono_ns = time.monotonic_ns()
    kill_group(worker.process.pid, signal.SIGKILL)
    watch.drain()
    return ended


def _enforce(
    pid: int,
    ended: Ended,
    signals: Signals,
    deadline: float | None,
    kill_at: float | None,
    clock: Callable[[], float],
) -> float | None:
    """Ends the worker where something calls for it; returns when force is used."""
    now = clock()
    if kill_at is not None:
        if now >= kill_at:
            kill_group(pid, signal.SIGKILL)
            return now + TERM_PATIENCE_S
        return kill_at
    if ended.violation:
        kill_group(pid, signal.SIGKILL)
    elif signals.cancel_signal:
        ended.cancel_signal = signals.cancel_signal
        kill_group(pid, signal.SIGTERM)
    elif deadline is not None and now >= deadline:
        ended.timed_out = True
        kill_group(pid, signal.SIGTERM)
    else:
        return None
    return now + TERM_PATIENCE_S


class _Watch:
    """Reads a worker's pipes and its end into an `Ended`."""

    def __init__(self, worker: Worker, log: WorkerLog, ended: Ended) -> None:
        self._worker = worker
        self._log = log
        self._ended = ended
        self._line_start = 0
        self._open = {worker.event_fd, worker.log_fd}
        self._exited = False
        self._resting = False

    def is_over(self) -> bool:
        """Reaps the worker when it has ended; tells whether it has."""
        if not self._exited:
            pid, status, usage = os.wait4(self._worker.process.pid, os.WNOHANG)
            if pid:
                self._exited = True
                self._ended.exit_code = os.waitstatus_to_exitcode(status)
                self._ended.max_rss_bytes = usage.ru_maxrss * 1024
                self._ended.major_fault_count = usage.ru_majflt
                # Popen must not wait for a process that is reaped.
                self._worker.process.returncode = self._ended.exit_code
        return self._exited

    def wait(self, signals: Signals, timeout_s: float | None) -> None:
        """Blocks until a pipe has something, a signal came, or the time is over."""
        poll = select.poll()
        poll.register(signals.wake_fd, select.POLLIN)
        if not self._resting:
            for descriptor in self._open:
                poll.register(descriptor, select.POLLIN)
        limits = [limit for limit in (timeout_s, _REST_S if self._resting else None) if limit is not None]
        events = poll.poll(min(limits) * 1000 if limits else None)
        ready = {descriptor for descriptor, _ in events}
        if signals.wake_fd in ready:
            signals.clear()
        if self._resting and not ready:
            self._resting = False
        for descriptor in ready & self._open:
            while descriptor in self._open and not self._ended.violation and self._read(descriptor):
                pass
            self._resting = True

    def drain(self) -> None:
        """Reads what is left in the pipes and closes them."""
        for descriptor in (self._worker.event_fd, self._worker.log_fd):
            while descriptor in self._open and self._read(descriptor):
                pass
            os.close(descriptor)
        self._open.clear()

    def _read(self, descriptor: int) -> bool:
        """Reads one piece; returns whether there may be more."""
        try:
            piece = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        if not piece:
            self._open.discard(descriptor)
            return False
        if descriptor == self._worker.log_fd:
            self._log.add(piece)
        elif not self._ended.violation:
            self._take_events(piece)
        return True

    def _take_events(self, piece: bytes) -> None:
        events = self._ended.events
        events += piece
        last_newline = piece.rfind(b"\n")
        if last_newline >= 0:
            longest = max(len(line) for line in bytes(events[self._line_start :]).split(b"\n"))
            self._line_start = len(events) - (len(piece) - last_newline - 1)
        else:
            longest = len(events) - self._line_start
        if longest > MAX_LINE_BYTES:
            self._ended.violation = f"the worker wrote an event of more than {MAX_LINE_BYTES} bytes"
        elif len(events) > MAX_EVENT_BYTES:
            self._ended.violation = f"the worker wrote more than {MAX_EVENT_BYTES} bytes of events"
