"""The contract's enumerations as the short words people read and type.

`word(Phase, PHASE_TRAIN_STEP)` is `train_step`; `number` is its inverse. On
disk and on the wire the full names stand; tables, exports and claims use the
words.
"""

from __future__ import annotations

from typing import Any

# Failure classes that are results of a cell and not accidents of a run.
RESULT_FAILURES = frozenset(
    {
        "oom_host",
        "oom_cgroup",
        "oom_cuda",
        "does_not_fit",
        "timeout",
        "diverged",
        "kernel_missing",
        "swap_storm",
    }
)


def _prefix(enum: Any) -> str:
    zero: str = enum.Name(0)
    return zero.removesuffix("UNSPECIFIED")


def word(enum: Any, value: int) -> str:
    """Returns the short word of an enumeration value, '' for unspecified.

    Raises:
        ValueError: the value is not one of the enumeration.
    """
    if value == 0:
        return ""
    name: str = enum.Name(value)
    return name.removeprefix(_prefix(enum)).lower()


def number(enum: Any, text: str) -> int:
    """Returns the enumeration value of a short word.

    Raises:
        ValueError: there is no such word.
    """
    value: int = enum.Value(_prefix(enum) + text.upper()) if text else 0
    return value


def words(enum: Any) -> list[str]:
    """Lists all words of an enumeration in order, without unspecified."""
    return [word(enum, value) for value in enum.values() if value]
