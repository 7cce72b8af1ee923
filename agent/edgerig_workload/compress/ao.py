"""int8 weights by torchao, one scale a row, inputs as they are; the only module that imports it.

The weights become tensors of the library's own kind inside the model's own layers,
so that whatever the layers do goes through its kernels. Needs no data.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgerig_workload.compress import Compressed, Material
from edgerig_workload.compress.footprint import finished
from edgerig_workload.compress.kernels import library, probe
from edgerig_workload.compress.layers import linears
from edgerig_workload.models import Loaded
from edgerig_workload.trial import Choice

KERNEL = "torchao int8 weight-only"
# Relative output error of normal weights is about 0.01; a wrong kernel is off by 1 or so.
_WORST = 0.05


def transform(loaded: Loaded, choice: Choice, material: Material) -> Compressed:
    """Quantise the weight of every linear layer.

    Raises:
        WorkerFault: not_installed, kernel_missing, or no linear layers (bad_model).
    """
    del choice, material
    quantization = library("torchao.quantization")

    def make(dense: nn.Linear) -> Any:
        # The compiler's settings are this process's own affair.
        quantization.quantize_(dense, quantization.Int8WeightOnlyConfig(set_inductor_config=False))
        return dense

    layers = linears(loaded.model)
    probe(KERNEL, make, (layer.module for layer in layers), loaded.device, _WORST)
    with torch.no_grad():
        for layer in layers:
            make(layer.module)
    return finished(loaded, (), f"{KERNEL} ({loaded.device.type})")
