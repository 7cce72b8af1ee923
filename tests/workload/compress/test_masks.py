"""Masks hold exact counts, also among equal scores."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from edgerig_workload.compress.masks import Pattern, of_matrix, of_neighbours, of_rows, pattern
from edgerig_workload.faults import WorkerFault


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.99])
def test_counts_are_exact_among_equal_scores(sparsity: float) -> None:
    scores = torch.ones(6, 20)

    assert of_matrix(scores, sparsity).sum() == int(120 * sparsity)
    assert of_rows(scores, sparsity).sum(1).tolist() == [int(20 * sparsity)] * 6


def test_lowest_scores_are_marked() -> None:
    scores = torch.tensor([[1.0, 9.0, 2.0, 8.0], [5.0, 6.0, 7.0, 4.0]])

    assert of_matrix(scores, 0.5).tolist() == [[True, False, True, False], [True, False, False, True]]
    assert of_matrix(scores, 0.25).tolist() == [[True, False, True, False], [False] * 4]
    assert of_rows(scores, 0.5).tolist() == [[True, False, True, False], [True, False, False, True]]


@pytest.mark.parametrize(("zeros", "neighbours"), [(2, 4), (4, 8)])
def test_every_few_neighbours_lose_their_lowest(zeros: int, neighbours: int) -> None:
    torch.manual_seed(2)
    scores = torch.rand(5, 3 * neighbours + 3)

    mask = of_neighbours(scores, zeros, neighbours)

    groups = mask[:, : 3 * neighbours].reshape(-1, neighbours)
    assert (groups.sum(1) == zeros).all()
    assert not mask[:, 3 * neighbours :].any()
    values = scores[:, : 3 * neighbours].reshape(-1, neighbours)
    assert (values.masked_fill(~groups, 0).amax(1) < values.masked_fill(groups, 2).amin(1)).all()


def test_pattern_and_sparsity_must_agree(choose: Any) -> None:
    assert pattern(choose("wanda", pattern="2:4")) == Pattern(0.5, 2, 4)
    assert pattern(choose("wanda", sparsity=0.7)) == Pattern(0.7)
    with pytest.raises(WorkerFault, match="leave sparsity out") as caught:
        pattern(choose("wanda", pattern="2:4", sparsity=0.7))
    assert caught.value.failure_class == "precondition"
