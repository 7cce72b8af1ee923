"""Magnitude pruning: the share reached, which weights go, and what stays untouched."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from edgerig_workload import compress
from edgerig_workload.compress.layers import Layer, linears
from edgerig_workload.compress.magnitude import prune_together
from edgerig_workload.faults import WorkerFault


def test_each_layer_loses_its_smallest_half(llama: Any, choose: Any, material: Any) -> None:
    before = {layer.name: layer.module.weight.detach().clone() for layer in linears(llama.model)}
    table = llama.model.get_input_embeddings().weight.detach().clone()

    done = compress.transform("magnitude")(llama, choose("magnitude"), material)

    assert done.kernel == "dense"
    assert done.sparsity == 0.5
    assert done.loaded.weights_bytes == llama.weights_bytes
    assert torch.equal(llama.model.get_input_embeddings().weight, table)
    for layer in linears(llama.model):
        pruned, old = layer.module.weight == 0, before[layer.name]
        assert pruned.sum() == old.numel() // 2
        assert old[pruned].abs().max() <= old[~pruned].abs().min()
        assert torch.equal(layer.module.weight[~pruned], old[~pruned])


def test_each_row_loses_its_smallest(llama: Any, choose: Any, material: Any) -> None:
    before = [layer.module.weight.detach().clone() for layer in linears(llama.model)]

    compress.transform("magnitude")(llama, choose("magnitude", scope="row", sparsity=0.25), material)

    for layer, old in zip(linears(llama.model), before, strict=True):
        for row, kept in zip(layer.module.weight, old, strict=True):
            gone = row == 0
            assert gone.sum() == len(row) // 4
            assert kept[gone].abs().max() <= kept[~gone].abs().min()


@pytest.mark.parametrize("word", ["2:4", "4:8"])
def test_patterns_are_exact(llama: Any, choose: Any, material: Any, word: str) -> None:
    zeros, neighbours = (int(part) for part in word.split(":"))

    done = compress.transform("magnitude")(llama, choose("magnitude", pattern=word), material)

    assert done.sparsity == 0.5
    for layer in linears(llama.model):
        assert ((layer.module.weight.view(-1, neighbours) == 0).sum(1) == zeros).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
def test_one_threshold_over_all_layers(dtype: torch.dtype, sparsity: float) -> None:
    torch.manual_seed(4)
    layers = [Layer(str(size), torch.nn.Linear(size, 30, dtype=dtype)) for size in (8, 64)]
    before = torch.cat([layer.module.weight.detach().view(-1) for layer in layers])

    with torch.no_grad():
        prune_together(layers, sparsity)

    after = torch.cat([layer.module.weight.detach().view(-1) for layer in layers])
    gone = after == 0
    # bfloat16 has many equal magnitudes, and the count is exact all the same.
    assert gone.sum() == int(len(before) * sparsity)
    assert before[gone].abs().max() <= before[~gone].abs().min()
    assert torch.equal(before[~gone], after[~gone])


def test_scope_model_spares_layers_with_large_weights(llama: Any, choose: Any, material: Any) -> None:
    with torch.no_grad():
        linears(llama.model)[0].module.weight.mul_(100)

    done = compress.transform("magnitude")(llama, choose("magnitude", scope="model", sparsity=0.3), material)

    assert abs(done.sparsity - 0.3) < 1e-4
    assert (linears(llama.model)[0].module.weight == 0).float().mean() < 0.05


def test_scope_model_with_a_pattern_is_refused(llama: Any, choose: Any, material: Any) -> None:
    with pytest.raises(WorkerFault, match="scope layer"):
        compress.transform("magnitude")(llama, choose("magnitude", scope="model", pattern="2:4"), material)
