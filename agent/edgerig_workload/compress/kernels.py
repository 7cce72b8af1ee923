"""Tells whether a library's kernel runs on this device, by running it on small layers.

An import proves nothing: a wheel built for other boards imports well and fails at
its first kernel. Some kernels run for some shapes alone, so that every shape of the
model is tried, made small. Knows no library by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import torch
from torch import nn

from edgerig_workload.faults import WorkerFault, memory_class

# Kernels work in tiles of powers of two up to this. A larger side is made smaller by
# whole tiles, so that what is left over at the edge stays what it was.
_TILE = 256
_PROBE_TOKENS = 4


def library(name: str) -> Any:
    """Import a library.

    Raises:
        WorkerFault: it is not there (not_installed), or its import fails on this
            board (kernel_missing).
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition(".")[0]
        raise WorkerFault(
            "not_installed", f"the library {missing!r} is missing; install it: pip install {missing}"
        ) from error
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        if memory_class(error):
            raise
        raise WorkerFault("kernel_missing", f"{name} cannot be loaded on this board: {error}") from error


def probe(
    kernel: str,
    make: Callable[[nn.Linear], Any],
    dense_layers: Iterable[nn.Linear],
    device: torch.device,
    worst: float,
) -> None:
    """Run compressed layers of random weights beside dense ones, one of each shape, made small.

    Args:
        kernel: what the kernel is called in reports.
        make: gives the compressed layer for a dense one on the device; may change it.
        dense_layers: the layers that are to be compressed; they are not touched.
        device: where the model is.
        worst: largest error of the outputs that is still right, relative to their norm.

    Raises:
        WorkerFault: of class kernel_missing, where the kernel fails or computes something else.
    """
    shapes = {
        (_small(layer.in_features), _small(layer.out_features), layer.weight.dtype) for layer in dense_layers
    }
    for columns, rows, dtype in sorted(shapes, key=str):
        error = _error(kernel, make, _dense(columns, rows).to(device, dtype))
        # Written so that NaN counts as wrong.
        if not error <= worst:
            raise WorkerFault(
                "kernel_missing",
                f"the kernel {kernel} computes wrong outputs on {device} for {columns} inputs and {rows} "
                f"outputs: relative error {error:.3g}, at most {worst:g} is right",
            )


def _small(side: int) -> int:
    return side if side <= _TILE else _TILE + side % _TILE


def _dense(columns: int, rows: int) -> nn.Linear:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(columns, rows, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(rows, columns, generator=generator))
    return layer.eval()


def _error(kernel: str, make: Callable[[nn.Linear], Any], layer: nn.Linear) -> float:
    """Returns the relative error of the outputs of a compressed layer."""
    weight = layer.weight
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(_PROBE_TOKENS, layer.in_features, generator=generator).to(weight)
    shape = f"{layer.in_features} inputs and {layer.out_features} outputs"
    try:
        with torch.no_grad():
            expected = layer(x).float()
            found = make(layer)(x).float()
            # Reading the value waits for the kernel, whose failure may show only then.
            return float((found - expected).norm() / expected.norm())
    except Exception as error:
        if memory_class(error):
            raise
        raise WorkerFault(
            "kernel_missing",
            f"the kernel {kernel} does not run on {weight.device} for {shape}: "
            f"{type(error).__name__}: {error}",
        ) from error
