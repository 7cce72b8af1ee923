"""GPTQ: nearer than rounding, equal to rounding where inputs are independent, true to its codes."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from edgerig_workload import compress
from edgerig_workload.compress.gptq import quantise
from edgerig_workload.compress.packed import Codes, Format, PackedLinear, PackedWeight, nearest


def dense(codes: Codes, written: Format) -> torch.Tensor:
    return PackedWeight(codes, written, torch.float32).dense()


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize(
    "written", [Format(4, 128, True), Format(3, 16, False), Format(4, 0, True), Format(3, 48, True)]
)
def test_outputs_are_nearer_than_by_rounding(written: Format, act_order: bool) -> None:
    torch.manual_seed(10)
    x = torch.randn(400, 160) @ torch.randn(160, 160)
    weight = torch.randn(24, 160)
    codes = quantise(weight, 2 * x.T @ x / len(x), written, damping=0.01, act_order=act_order, name="layer")

    def error(rounded: torch.Tensor) -> float:
        return (x @ (rounded - weight).T).square().sum().item()

    assert error(dense(codes, written)) < 0.6 * error(dense(nearest(weight, written), written))


def test_independent_inputs_leave_nothing_to_make_up_for() -> None:
    written = Format(4, 32, True)
    weight = torch.randn(6, 64)

    codes = quantise(weight, torch.eye(64), written, damping=0.01, act_order=False, name="layer")

    assert torch.equal(codes.codes, nearest(weight, written).codes)


def test_order_is_that_of_the_largest_inputs() -> None:
    hessian = torch.diag(torch.tensor([1.0, 4.0, 2.0, 3.0]))

    codes = quantise(
        torch.randn(2, 4), hessian, Format(8, 0, True), damping=0.01, act_order=True, name="layer"
    )

    assert codes.order is not None
    assert codes.order.tolist() == [1, 3, 2, 0]


def test_whole_model_is_nearer_than_by_rounding_layer_for_layer(
    llama_folder: Any, choose: Any, material: Any
) -> None:
    """On the last inputs of the calibration itself, in three bits."""
    from edgerig_workload.compress import calibration
    from edgerig_workload.models import load

    def first_layer(kind: str) -> torch.Tensor:
        loaded = load(llama_folder, "float32", torch.device("cpu"))
        done = compress.transform(kind)(loaded, choose(kind, group=16), material)
        layer = done.loaded.model.model.layers[0].mlp.down_proj
        assert isinstance(layer, PackedLinear)
        assert done.kernel == "dequantised"
        return layer.weight

    source = load(llama_folder, "float32", torch.device("cpu"))
    heard: list[torch.Tensor] = []
    down = source.model.model.layers[0].mlp.down_proj
    down.register_forward_pre_hook(lambda module, args: heard.append(args[0].reshape(-1, 64)) and None)
    with torch.no_grad():
        for sample in calibration.inputs(source, choose("gptq-int3"), material):
            source.model(**sample)
    x = torch.cat(heard)

    errors = [(x @ (first_layer(kind) - down.weight).T).norm().item() for kind in ("gptq-int3", "rtn-int3")]
    assert errors[0] < errors[1]


def test_encoder_decoder_is_quantised(t5: Any, choose: Any, material: Any) -> None:
    done = compress.transform("gptq-int4")(t5, choose("gptq-int4"), material)

    packed = [module for module in done.loaded.model.modules() if isinstance(module, PackedLinear)]
    assert len(packed) == 2 * 6 + 2 * 10
    assert all(torch.isfinite(layer.weight).all() for layer in packed)
