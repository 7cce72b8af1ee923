"""bitsandbytes and torchao on real models: their kernels, their sizes, adapters on top."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from edgerig_workload import compress
from edgerig_workload.compress.footprint import memory_bytes
from edgerig_workload.compress.layers import linears
from edgerig_workload.faults import WorkerFault
from edgerig_workload.infer.generate import generate

IDS = torch.arange(4, 36)[None]
# Kind, library, bits a weight with what is stored beside, largest relative error of the logits.
KINDS = [("bnb-int8", 8, 0.06), ("bnb-nf4", 4, 0.5), ("torchao-int8", 8, 0.06)]
OF_KIND = {"bnb-int8": "bitsandbytes", "bnb-nf4": "bitsandbytes", "torchao-int8": "torchao"}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("kind", "bits", "worst"), KINDS)
def test_model_is_near_and_small(
    kind: str, bits: int, worst: float, llama: Any, wide: Any, choose: Any, material: Any
) -> None:
    pytest.importorskip(OF_KIND[kind])
    before = logits(wide)
    count = sum(layer.module.weight.numel() for layer in linears(wide))
    rest = memory_bytes(wide) - 4 * count

    done = compress.transform(kind)(replace(llama, model=wide), choose(kind), material)

    error = float((logits(done.loaded.model) - before).norm() / before.norm())
    assert 0 < error < worst
    assert done.kernel.endswith("(cpu)")
    held = done.loaded.weights_bytes - rest
    # Scales and tables beside the weights weigh heavily on layers as small as these.
    assert count * bits / 8 <= held < 2 * count
    assert done.loaded.weights_bytes <= done.stored_bytes < done.loaded.weights_bytes + 40_000
    assert done.loaded.parameter_count == llama.parameter_count
    assert len(generate(done.loaded, [[5, 6, 7]], 4, lambda text: False)[0]) == 4


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", [kind for kind, _, _ in KINDS])
def test_adapters_learn_on_top(
    kind: str, llama: Any, wide: Any, choose: Any, material: Any, adapted: Any
) -> None:
    pytest.importorskip(OF_KIND[kind])
    done = compress.transform(kind)(replace(llama, model=wide), choose(kind), material)

    weights, losses = adapted(done.loaded.model)

    assert len(weights) == 28
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", ["bnb-int8", "torchao-int8"])
def test_encoder_decoder_generates(kind: str, t5: Any, choose: Any, material: Any) -> None:
    pytest.importorskip(OF_KIND[kind])

    done = compress.transform(kind)(t5, choose(kind), material)

    assert len(generate(done.loaded, [[5, 6, 7]], 4, lambda text: False)[0]) > 0


@pytest.mark.filterwarnings("default")
def test_layers_too_narrow_for_the_kernel_are_found_before_any_is_changed(
    llama: Any, choose: Any, material: Any
) -> None:
    """32 inputs are half a block of NF4: some processors' kernels run that, others do not."""
    pytest.importorskip("bitsandbytes")
    layer = linears(llama.model)[0]

    try:
        compress.transform("bnb-nf4")(llama, choose("bnb-nf4"), material)
    except WorkerFault as fault:
        assert fault.failure_class == "kernel_missing"
        assert "for 32 inputs" in fault.message
        assert linears(llama.model)[0].module is layer.module
        assert layer.module.weight.dtype == torch.float32
    else:
        assert torch.isfinite(logits(llama.model)).all()
