"""SparseGPT: exact shares and patterns, and outputs nearer than without its updates."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from edgerig_workload import compress
from edgerig_workload.compress.layers import linears
from edgerig_workload.compress.masks import Pattern
from edgerig_workload.compress.obs import curvature, sweep
from edgerig_workload.compress.sparsegpt import Pruning
from edgerig_workload.compress.wanda import prune


@pytest.mark.parametrize("wanted", [Pattern(0.5), Pattern(0.5, 2, 4), Pattern(0.5, 4, 8)])
def test_outputs_change_less_than_by_wanda(wanted: Pattern) -> None:
    torch.manual_seed(9)
    x = torch.randn(300, 64) @ torch.randn(64, 64)
    weight = torch.randn(32, 64)
    by_wanda = weight.clone()
    prune(by_wanda, x.norm(dim=0), wanted)

    found = sweep(weight, curvature(2 * x.T @ x / len(x), 0.01, "layer"), Pruning(wanted))

    def error(pruned: torch.Tensor) -> float:
        return (x @ (pruned - weight).T).square().sum().item()

    assert (found == 0).sum() == found.numel() // 2
    if wanted.neighbours:
        assert ((found.view(-1, wanted.neighbours) == 0).sum(1) == wanted.zeros).all()
    assert error(found) < error(by_wanda)


def test_a_zeroed_weight_costs_what_its_score_says() -> None:
    """With one column the loss of a mask is its score: w^2 / (2 inverse of H), up to the factor."""
    x = torch.randn(50, 2)
    weight = torch.tensor([[0.5, 2.0]])
    hessian = 2 * x.T @ x / len(x)

    found = sweep(weight, curvature(hessian, 0.0, "layer"), Pruning(Pattern(0.5)))

    lost = (x @ (found - weight).T).square().mean().item()
    place = int(torch.nonzero(found[0] == 0).item())
    inverse = torch.linalg.inv(hessian)
    if place == 0:
        expected = weight[0, 0] ** 2 / (2 * inverse[0, 0])
    else:
        # Nothing stands to the right of the last column to make up for it.
        expected = weight[0, 1] ** 2 * hessian[1, 1] / 2
    assert lost == pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize("word", ["unstructured", "2:4"])
def test_whole_models_reach_the_share(llama: Any, choose: Any, material: Any, word: str) -> None:
    done = compress.transform("sparsegpt")(llama, choose("sparsegpt", pattern=word), material)

    assert (done.kernel, done.sparsity) == ("dense", 0.5)
    for layer in linears(done.loaded.model):
        assert torch.isfinite(layer.module.weight).all()
        if word == "2:4":
            assert ((layer.module.weight.view(-1, 4) == 0).sum(1) == 2).all()
