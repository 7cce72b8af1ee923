"""Failure classes of what libraries raise."""

from __future__ import annotations

import errno

import pytest

from edgerig_workload.faults import MESSAGE_CHARS, TRACEBACK_CHARS, WorkerFault, classify
from edgerig_workload.tasks.items import DataFault


class OutOfMemoryError(RuntimeError):
    """Named as torch names the one of CUDA."""


class AcceleratorError(RuntimeError):
    """Named as torch names the one of the driver."""


# What torch's allocator says on Jetson boards when memory is short.
ALLOCATOR = (
    'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "/opt/pytorch/c10/cuda/CUDACachingAllocator.cpp":838, '
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), "oom_host"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
            "oom_host",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "oom_host"),
        (ImportError("x.so: failed to map segment from shared object"), "oom_host"),
        (RuntimeError("can't start new thread"), "oom_host"),
        (OutOfMemoryError("CUDA out of memory"), "oom_cuda"),
        (RuntimeError("unable to mmap 8 bytes from file <x>: Cannot allocate memory (12)"), "oom_host"),
        (AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be"), "oom_cuda"),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            "oom_cuda",
        ),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "oom_cuda"),
        (RuntimeError(ALLOCATOR + "please report a bug to PyTorch. "), "oom_cuda"),
        (RuntimeError('NVML_SUCCESS == r INTERNAL ASSERT FAILED at "NVML.cpp":1'), "worker_error"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), "worker_error"),
        (RuntimeError("CUDA error: no kernel image is available for execution"), "kernel_missing"),
        (DataFault("line 3 is faulty"), "bad_data"),
        (WorkerFault("diverged", "the loss is nan"), "diverged"),
        (ModuleNotFoundError("No module named 'peft'", name="peft"), "not_installed"),
        (ValueError("odd"), "worker_error"),
    ],
)
def test_class_of_an_exception(error: Exception, expected: str) -> None:
    assert classify(error).failure_class == expected


def test_torch_refused_by_the_host_is_oom_host() -> None:
    torch = pytest.importorskip("torch")

    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)

    assert classify(caught.value).failure_class == "oom_host"


def test_torch_cuda_error_is_oom_cuda() -> None:
    torch = pytest.importorskip("torch")

    assert classify(torch.OutOfMemoryError("CUDA out of memory")).failure_class == "oom_cuda"


@pytest.mark.parametrize(("limited", "expected"), [(True, "oom_host"), (False, "worker_error")])
def test_an_exception_that_was_lost_under_a_limit_is_oom_host(limited: bool, expected: str) -> None:
    lost = SystemError("error return without exception set")

    assert classify(lost, limited=limited).failure_class == expected
    assert classify(SystemError("bad argument"), limited=limited).failure_class == "worker_error"


def test_missing_library_comes_with_the_command_that_installs_it() -> None:
    failure = classify(ModuleNotFoundError("No module named 'peft'", name="peft.utils"))

    assert "pip install peft" in failure.message


def test_long_texts_are_bounded() -> None:
    failure = classify(ValueError("x" * 1_000_000))

    assert (len(failure.message), len(failure.traceback)) == (MESSAGE_CHARS, TRACEBACK_CHARS)
