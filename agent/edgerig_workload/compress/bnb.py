"""LLM.int8() and NF4 by bitsandbytes, with its own kernels; the only module that imports it.

int8: rows of weights and inputs are scaled to 8 bits, inputs above 6 stay in 16 bits
(Dettmers et al., arXiv 2208.07339). NF4: 16 levels that are quantiles of a normal
distribution, a scale for each 64 weights, which `double_quant` stores in 8 bits
(Dettmers et al., arXiv 2305.14314). Needs no data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from edgerig_workload.compress import Compressed, Material
from edgerig_workload.compress.footprint import finished
from edgerig_workload.compress.kernels import library, probe
from edgerig_workload.compress.layers import linears, replace
from edgerig_workload.models import Loaded
from edgerig_workload.trial import Choice

# Inputs above this are outliers, the published value.
_OUTLIER = 6.0
# Relative output errors of normal weights: about 0.01 and 0.1; a wrong kernel is off by 1 or so.
_WORST_INT8 = 0.05
_WORST_NF4 = 0.2


def transform(loaded: Loaded, choice: Choice, material: Material) -> Compressed:
    """Exchange every linear layer for one of the library's.

    Raises:
        WorkerFault: not_installed, kernel_missing, or no linear layers (bad_model).
    """
    del material
    bnb = library("bitsandbytes")
    # It says at every product that inputs are cast to 16 bits, which is what the method does.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    make: Callable[[nn.Linear], Any]
    if choice.kind == "bnb-int8":
        kernel, worst, flag = "bitsandbytes int8", _WORST_INT8, "is_loaded_in_8bit"

        def make(dense: nn.Linear) -> Any:
            return _int8(bnb, dense, loaded.device)
    else:
        kernel, worst, flag = "bitsandbytes nf4", _WORST_NF4, "is_loaded_in_4bit"
        double = bool(choice.parameters["double_quant"])

        def make(dense: nn.Linear) -> Any:
            return _nf4(bnb, dense, loaded.device, double)

    layers = linears(loaded.model)
    probe(kernel, make, (layer.module for layer in layers), loaded.device, worst)
    with torch.no_grad():
        for layer in layers:
            replace(loaded.model, layer.name, make(layer.module))
    # Read by peft, which then puts adapters on that know these layers.
    setattr(loaded.model, flag, True)
    return finished(loaded, (), f"{kernel} ({loaded.device.type})")


def _int8(bnb: Any, dense: nn.Linear, device: torch.device) -> Any:
    layer = bnb.nn.Linear8bitLt(
        dense.in_features,
        dense.out_features,
        bias=dense.bias is not None,
        has_fp16_weights=False,
        threshold=_OUTLIER,
        device="meta",
    )
    # The library quantises a weight on its way from the processor's memory to a device.
    source = dense.weight.detach().cpu()
    layer.weight = bnb.nn.Int8Params(source, requires_grad=False, has_fp16_weights=False)
    return _placed(layer, dense, device)


def _nf4(bnb: Any, dense: nn.Linear, device: torch.device, double_quant: bool) -> Any:
    layer = bnb.nn.Linear4bit(
        dense.in_features,
        dense.out_features,
        bias=dense.bias is not None,
        compute_dtype=dense.weight.dtype,
        compress_statistics=double_quant,
        quant_type="nf4",
        device="meta",
    )
    layer.weight = bnb.nn.Params4bit(
        dense.weight.detach().cpu(),
        requires_grad=False,
        compress_statistics=double_quant,
        quant_type="nf4",
        module=layer,
    )
    return _placed(layer, dense, device)


def _placed(layer: Any, dense: nn.Linear, device: torch.device) -> Any:
    layer.bias = dense.bias
    layer.to(device)
    layer.train(dense.training)
    return layer
