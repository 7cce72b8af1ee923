"""The probe tells kernels that run from those that fail, in whatever way they fail."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from edgerig_workload import compress
from edgerig_workload.compress.kernels import library, probe
from edgerig_workload.faults import WorkerFault

CPU = torch.device("cpu")


def run(make: Any, *shapes: tuple[int, int]) -> None:
    layers = [nn.Linear(*shape) for shape in shapes or [(64, 32)]]
    probe("some kernel", make, layers, CPU, 0.05)


def rounded(dense: nn.Linear) -> nn.Linear:
    copy = nn.Linear(dense.in_features, dense.out_features, bias=False)
    copy.weight = nn.Parameter((dense.weight * 32).round() / 32)
    return copy


def test_a_kernel_that_is_near_passes() -> None:
    run(rounded)


def test_every_shape_is_tried_once_and_small_with_its_edges_kept() -> None:
    tried: list[tuple[int, int]] = []

    def make(dense: nn.Linear) -> nn.Linear:
        tried.append((dense.in_features, dense.out_features))
        return rounded(dense)

    run(make, (64, 32), (64, 32), (1000, 300), (256, 2048))

    assert sorted(tried) == [(64, 32), (256, 256), (256 + 1000 % 256, 300)]


def failing(dense: nn.Linear) -> nn.Linear:
    raise RuntimeError("named symbol not found")


def zeros(dense: nn.Linear) -> Any:
    return lambda x: torch.zeros(len(x), dense.out_features)


def broken(dense: nn.Linear) -> Any:
    return lambda x: torch.full((len(x), dense.out_features), float("nan"))


@pytest.mark.parametrize(
    ("make", "words"), [(failing, "named symbol"), (zeros, "wrong outputs"), (broken, "wrong outputs")]
)
def test_a_kernel_that_fails_or_lies_is_missing(make: Any, words: str) -> None:
    with pytest.raises(WorkerFault, match=words) as caught:
        run(make)

    assert caught.value.failure_class == "kernel_missing"


@pytest.mark.parametrize(
    "refusal",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_lack_of_memory_is_not_a_missing_kernel(refusal: Exception) -> None:
    def hungry(dense: nn.Linear) -> Any:
        raise refusal

    with pytest.raises(type(refusal)) as caught:
        run(hungry)

    assert caught.value is refusal


@pytest.mark.parametrize("kind", ["bnb-int8", "bnb-nf4", "torchao-int8"])
def test_absent_library_names_the_command(
    kind: str, llama: Any, choose: Any, material: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "torchao" if kind.startswith("torchao") else "bitsandbytes"
    for loaded in [module for module in sys.modules if module.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(WorkerFault, match=f"pip install {name}") as caught:
        compress.transform(kind)(llama, choose(kind), material)

    assert caught.value.failure_class == "not_installed"


def test_library_for_which_there_is_no_memory_is_not_a_missing_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "too_large.py").write_text(
        "raise ImportError('x.so: failed to map segment from shared object')"
    )
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ImportError, match="failed to map"):
        library("too_large")


def test_library_that_breaks_at_import_is_a_missing_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "built_for_another_board.py").write_text("raise OSError('wrong ELF class')")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(WorkerFault, match="wrong ELF class") as caught:
        library("built_for_another_board")

    assert caught.value.failure_class == "kernel_missing"
