"""What can go wrong in a worker, each with its failure class.

Classifies exceptions by type and by what the libraries write in them. Knows
nothing of signals and exit codes: those are for the process that watches.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edgerig_workload.tasks.items import DataFault

MESSAGE_CHARS = 4_000
TRACEBACK_CHARS = 16_000

# What torch, glibc and the loader write when memory is refused.
_NO_MEMORY_TEXTS = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory: you tried to allocate",
    "failed to map segment from shared object",
    "std::bad_alloc",
)
# What the driver, CUDA's libraries and torch's allocator write when a device's memory is refused.
_NO_DEVICE_MEMORY_TEXTS = (
    "cuda out of memory",
    "cuda error: out of memory",
    "cuda driver error: out of memory",
    "cudaerrormemoryallocation",
    # cuBLAS, cuSPARSE, cuSOLVER and cuDNN.
    "_status_alloc_failed",
    "device_allocation_failed",
)
# Torch's allocator asks NVML about a refusal, which boards with shared memory cannot answer.
_REFUSED_WITHOUT_NVML = ("nvml_success == r", "cudacachingallocator")
# A limit on private memory stops thread stacks as well.
_NO_THREAD_TEXTS = ("can't start new thread",)
# What the interpreter says where something failed and left no exception.
_LOST_TEXTS = ("without exception set", "without setting an exception")
_NO_KERNEL_TEXTS = ("no kernel image is available", "no available kernel")

_INSTALL = {
    "torch": "a torch build for this board, for example: make install TORCH=cpu",
    "numpy": "pip install numpy",
}


# Names that a message lists before it only counts.
_NAMES_SHOWN = 8


def some(names: Iterable[Any]) -> str:
    """List the first names in alphabetical order, and say how many more there are."""
    listed = sorted(str(name) for name in names)
    more = len(listed) - _NAMES_SHOWN
    return ", ".join(listed[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


class WorkerFault(Exception):  # noqa: N818 - it names what went wrong in the worker
    """A failure whose class is known where it happens. `failure_class` is the short word."""

    def __init__(self, failure_class: str, message: str) -> None:
        super().__init__(message)
        self.failure_class = failure_class
        self.message = message


@dataclass(frozen=True)
class Failure:
    """An exception as it is reported: short class word, bounded message and traceback."""

    failure_class: str
    message: str
    traceback: str


def classify(error: BaseException, *, limited: bool = False) -> Failure:
    """Give an exception its failure class, with message and traceback of bounded length.

    `limited` says that the process had a limit of memory: the interpreter may then have lost
    the exception for a refusal and have said so instead.
    """
    failure_class, message = _class_and_message(error)
    if limited and isinstance(error, SystemError) and any(part in str(error) for part in _LOST_TEXTS):
        failure_class = "oom_host"
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return Failure(failure_class, message[:MESSAGE_CHARS], trace[-TRACEBACK_CHARS:])


def _class_and_message(error: BaseException) -> tuple[str, str]:
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, WorkerFault):
        return error.failure_class, error.message
    if isinstance(error, DataFault):
        return "bad_data", error.message
    if refused := memory_class(error):
        return refused, text
    if isinstance(error, ModuleNotFoundError):
        name = (error.name or "").partition(".")[0]
        return "not_installed", f"the library {name!r} is missing; install it: {_install(name)}"
    if isinstance(error, RuntimeError) and any(part in text.lower() for part in _NO_KERNEL_TEXTS):
        return "kernel_missing", text
    return "worker_error", text


def memory_class(error: BaseException) -> str:
    """Return the failure class of an exception that says that memory was refused, else nothing.

    Whoever turns exceptions of a library into faults of its own lets these pass.
    """
    if _is_out_of_device_memory(error):
        return "oom_cuda"
    return "oom_host" if _is_out_of_host_memory(error) else ""


def _is_out_of_device_memory(error: BaseException) -> bool:
    # By name, so that nothing here imports torch.
    if any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        any(part in text for part in _NO_DEVICE_MEMORY_TEXTS)
        or all(part in text for part in _REFUSED_WITHOUT_NVML)
    )


def _is_out_of_host_memory(error: BaseException) -> bool:
    text = str(error).lower()
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    if isinstance(error, RuntimeError) and any(part in text for part in _NO_THREAD_TEXTS):
        return True
    return isinstance(error, (RuntimeError, ImportError, OSError)) and any(
        part in text for part in _NO_MEMORY_TEXTS
    )


def _install(name: str) -> str:
    return _INSTALL.get(name, f"pip install {name}" if name else "pip install 'edgerig[workload]'")
