"""Why a worker ended, from the evidence; pure.

The order is that of certainty: what we did ourselves (cancel, deadline), what
the worker said, what the kernel counted, and only then the bare exit status.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from edgerig.v1.attempt_pb2 import (
    FAILURE_CLASS_KILLED,
    FAILURE_CLASS_NOT_INSTALLED,
    FAILURE_CLASS_OOM_CGROUP,
    FAILURE_CLASS_OOM_HOST,
    FAILURE_CLASS_SWAP_STORM,
    FAILURE_CLASS_TIMEOUT,
    FAILURE_CLASS_UNSPECIFIED,
    FAILURE_CLASS_WORKER_ERROR,
    STATUS_FAILED,
    STATUS_OK,
    FailureClass,
    Status,
    WorkerFailure,
)

# A worker that pages in more than 16 MiB a second does nothing else.
SWAP_STORM_PAGES_PER_S = 4096.0

_MAX_MESSAGE = 4000
_MISSING_MODULE = re.compile(r": No module named '?([\w.]+)")
_NO_MEMORY = ("std::bad_alloc", "MemoryError", "Cannot allocate memory", "can't allocate memory")


@dataclass(frozen=True)
class Evidence:
    """How a worker ended, and what else moved in the meantime."""

    # Exit code, negative for a signal; None = it could not be started.
    exit_code: int | None = None
    start_error: str = ""
    is_done: bool = False
    failure: WorkerFailure | None = None
    # What the worker wrote that the contract forbids.
    violation: str = ""
    was_cancelled: bool = False
    cancel_reason: str = ""
    timed_out_after_s: float | None = None
    oom_kill_count: int = 0
    cgroup_oom_kill_count: int = 0
    swapped_in_pages: int = 0
    duration_s: float = 0.0
    memory_limit_bytes: int = 0
    last_available_bytes: int | None = None
    last_rss_bytes: int | None = None
    log_tail: str = ""


@dataclass(frozen=True)
class Ending:
    """Status, failure class and a message for a person."""

    status: Status
    failure_class: FailureClass
    message: str


def classify(evidence: Evidence) -> Ending:
    """Returns what came of a worker."""
    for judge in (_own_doing, _start, _spoken, _kernel, _silent):
        ending = judge(evidence)
        if ending:
            return ending
    return Ending(STATUS_OK, FAILURE_CLASS_UNSPECIFIED, "")


def _own_doing(evidence: Evidence) -> Ending | None:
    if evidence.is_done and evidence.exit_code == 0 and not evidence.violation:
        return None
    if evidence.violation:
        return _failed(FAILURE_CLASS_WORKER_ERROR, evidence.violation)
    if evidence.was_cancelled:
        return _failed(FAILURE_CLASS_KILLED, evidence.cancel_reason or "cancelled")
    if evidence.timed_out_after_s is None:
        return None
    rate = evidence.swapped_in_pages / evidence.duration_s if evidence.duration_s > 0 else 0.0
    if rate > SWAP_STORM_PAGES_PER_S:
        message = (
            f"not finished after {evidence.timed_out_after_s:g} s, "
            f"while {rate:.0f} pages a second came back from swap"
        )
        return _failed(FAILURE_CLASS_SWAP_STORM, message + _memory_words(evidence))
    return _failed(
        FAILURE_CLASS_TIMEOUT, f"not finished after its budget of {evidence.timed_out_after_s:g} s"
    )


def _start(evidence: Evidence) -> Ending | None:
    if evidence.exit_code is None:
        return _failed(FAILURE_CLASS_NOT_INSTALLED, evidence.start_error or "the worker could not be started")
    return None


def _spoken(evidence: Evidence) -> Ending | None:
    failure = evidence.failure
    if failure is None:
        return None
    failure_class = failure.failure_class or FAILURE_CLASS_WORKER_ERROR
    message = failure.message or "the worker reported a failure without a message"
    return _failed(failure_class, message)


def _kernel(evidence: Evidence) -> Ending | None:
    if evidence.exit_code is None or evidence.exit_code >= 0:
        return None
    number = -evidence.exit_code
    if number == signal.SIGKILL:
        memory = _memory_words(evidence)
        if evidence.cgroup_oom_kill_count > 0:
            return _failed(
                FAILURE_CLASS_OOM_CGROUP, f"killed by the kernel at the memory limit of its cgroup{memory}"
            )
        if evidence.oom_kill_count > 0:
            return _failed(FAILURE_CLASS_OOM_HOST, f"killed by the kernel for lack of memory{memory}")
        message = "killed by SIGKILL from outside; the kernel counted no out-of-memory kill"
        return _failed(FAILURE_CLASS_KILLED, message)
    if any(words in evidence.log_tail for words in _NO_MEMORY):
        return _failed(FAILURE_CLASS_OOM_HOST, f"an allocation failed{_memory_words(evidence)}")
    if number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        return _failed(FAILURE_CLASS_KILLED, f"ended by {_signal_name(number)} from outside")
    return _failed(FAILURE_CLASS_WORKER_ERROR, f"ended by {_signal_name(number)}{_last_line(evidence)}")


def _silent(evidence: Evidence) -> Ending | None:
    """An exit without a word: neither `done` nor `failure`."""
    if evidence.is_done and evidence.exit_code == 0:
        return None
    missing = _MISSING_MODULE.search(evidence.log_tail)
    if missing:
        name = missing.group(1).partition(".")[0]
        return _failed(FAILURE_CLASS_NOT_INSTALLED, f"the worker's interpreter has no package '{name}'")
    if any(words in evidence.log_tail for words in _NO_MEMORY):
        return _failed(FAILURE_CLASS_OOM_HOST, f"an allocation failed{_memory_words(evidence)}")
    message = f"ended with exit code {evidence.exit_code} without saying that it was done"
    return _failed(FAILURE_CLASS_WORKER_ERROR, message + _last_line(evidence))


def _failed(failure_class: FailureClass, message: str) -> Ending:
    return Ending(STATUS_FAILED, failure_class, message[:_MAX_MESSAGE])


def _memory_words(evidence: Evidence) -> str:
    parts = []
    if evidence.last_rss_bytes is not None:
        parts.append(f"the worker's largest resident set was {evidence.last_rss_bytes / 2**20:.0f} MiB")
    if evidence.last_available_bytes is not None:
        parts.append(f"{evidence.last_available_bytes / 2**20:.0f} MiB were available at the last sample")
    if evidence.memory_limit_bytes:
        parts.append(f"the trial limits it to {evidence.memory_limit_bytes / 2**20:.0f} MiB")
    return f" ({'; '.join(parts)})" if parts else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(evidence: Evidence) -> str:
    lines = [line for line in evidence.log_tail.splitlines() if line.strip()]
    return f"; it last said: {lines[-1].strip()[:500]}" if lines else ""
