"""Errors of all programs, as one tree.

EdgerigError                 has: exit_code, hint (the next command to type)
├── UsageError               the caller's fault: arguments, a study file        exit 2
│   └── StudyProblems        several problems of one study file at once          exit 2
├── NotFoundError            names a study, device, model that does not exist    exit 5
├── DataError                a model or data set that cannot be used             exit 2
├── UnreachableError         a peer does not answer, or refuses the connection   exit 3
├── DeviceError              the device cannot do what was asked                 exit 4
├── TimeoutExceededError     a deadline passed                                   exit 6
├── RejectedError            a measurement was rejected as invalid               exit 7
├── StorageError             a disk is full or a file is damaged                 exit 4
├── ProtocolError            a peer sent what the contract forbids               exit 3
└── BugError                 our fault: an invariant does not hold               exit 1

Exit code 0 is success, 1 means that a trial died (or a bug), 130 that the
person interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_DEVICE = 4
EXIT_NOT_FOUND = 5
EXIT_TIMEOUT = 6
EXIT_REJECTED = 7
EXIT_INTERRUPTED = 130


class EdgerigError(Exception):
    """Says what happened, whose fault it is (the class) and what to type next."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nNext: {self.hint}" if self.hint else self.message


class UsageError(EdgerigError):
    exit_code = EXIT_USAGE


@dataclass(frozen=True)
class Problem:
    """One fault of a study file: where it is, what is wrong, what helps."""

    place: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        tail = f" ({self.hint})" if self.hint else ""
        return f"{self.place}: {self.message}{tail}"


class StudyProblems(UsageError):  # noqa: N818 - it is a list of problems, and reads as one
    """All problems of a study file together."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class NotFoundError(EdgerigError):
    exit_code = EXIT_NOT_FOUND


class DataError(EdgerigError):
    exit_code = EXIT_USAGE


class UnreachableError(EdgerigError):
    exit_code = EXIT_UNREACHABLE


class DeviceError(EdgerigError):
    exit_code = EXIT_DEVICE


class TimeoutExceededError(EdgerigError):
    exit_code = EXIT_TIMEOUT


class RejectedError(EdgerigError):
    exit_code = EXIT_REJECTED


class StorageError(EdgerigError):
    exit_code = EXIT_DEVICE


class ProtocolError(EdgerigError):
    exit_code = EXIT_UNREACHABLE


class BugError(EdgerigError):
    exit_code = EXIT_FAILED
