"""Wanda against its definition, and against magnitude pruning where inputs differ in size."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from edgerig_workload import compress
from edgerig_workload.compress.layers import linears
from edgerig_workload.compress.masks import Pattern
from edgerig_workload.compress.wanda import Norms, prune


def inputs_of_many_sizes(tokens: int = 200, columns: int = 64) -> torch.Tensor:
    torch.manual_seed(6)
    return torch.randn(tokens, columns) * torch.logspace(-1, 1, columns)[torch.randperm(columns)]


def test_scores_are_magnitude_times_norm_within_each_row() -> None:
    x = inputs_of_many_sizes()
    weight = torch.randn(10, 64)
    norms = Norms(64, torch.device("cpu"))
    for part in x.split(50):
        norms.add(part)
    pruned = weight.clone()

    prune(pruned, norms.values(), Pattern(0.5))

    for row, old in zip(pruned, weight, strict=True):
        scores = [abs(old[column].item()) * x[:, column].norm().item() for column in range(64)]
        lowest = sorted(range(64), key=lambda column: scores[column])[:32]
        assert sorted(lowest) == torch.nonzero(row == 0).view(-1).tolist()
        assert torch.equal(row[row != 0], old[row != 0])


@pytest.mark.parametrize("wanted", [Pattern(0.5), Pattern(0.5, 2, 4)])
def test_outputs_change_less_than_by_magnitude(wanted: Pattern) -> None:
    x = inputs_of_many_sizes()
    weight = torch.randn(32, 64)
    norms = Norms(64, torch.device("cpu"))
    norms.add(x)
    by_score = weight.clone()
    prune(by_score, norms.values(), wanted)
    by_size = weight.clone()
    prune(by_size, torch.ones(64), wanted)

    def error(pruned: torch.Tensor) -> float:
        return (x @ (pruned - weight).T).square().sum().item()

    assert error(by_score) < 0.7 * error(by_size)


@pytest.mark.parametrize("word", ["unstructured", "2:4"])
def test_whole_models_reach_the_share_in_every_row(llama: Any, choose: Any, material: Any, word: str) -> None:
    done = compress.transform("wanda")(llama, choose("wanda", pattern=word), material)

    assert (done.kernel, done.sparsity) == ("dense", 0.5)
    for layer in linears(done.loaded.model):
        weight = layer.module.weight
        assert ((weight == 0).sum(1) == weight.shape[1] // 2).all()
        if word == "2:4":
            assert ((weight.view(-1, 4) == 0).sum(1) == 2).all()


def test_encoder_decoder_is_pruned(t5: Any, choose: Any, material: Any) -> None:
    assert compress.transform("wanda")(t5, choose("wanda"), material).sparsity == 0.5
