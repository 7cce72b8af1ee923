"""Grids: errors within half a step, ends met exactly, zero kept."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from edgerig_workload.compress.grid import fit


@pytest.mark.parametrize("bits", [8, 6, 5, 4, 3])
@pytest.mark.parametrize("symmetric", [True, False])
def test_no_weight_is_further_than_half_a_step(bits: int, symmetric: bool) -> None:
    torch.manual_seed(1)
    weights = torch.randn(7, 40) + 0.3
    grid = fit(weights, bits, symmetric=symmetric)

    codes = grid.codes(weights)

    assert torch.equal(codes, codes.round())
    assert codes.min() >= 0 and codes.max() <= 2**bits - 1
    # The zero point is rounded too, which may cost another half step at the ends.
    worst = 0.5 if symmetric else 1.0
    assert ((grid.values(codes) - weights).abs() <= (worst + 1e-4) * grid.scale).all()


def test_symmetric_grid_meets_the_largest_weight_and_zero() -> None:
    weights = torch.tensor([[-3.0, 0.0, 1.0, 3.0]])
    grid = fit(weights, 3, symmetric=True)

    assert torch.equal(grid.values(grid.codes(weights)), weights)
    assert grid.scale.item() == 1.0


def test_asymmetric_grid_spends_all_codes_on_one_sided_weights() -> None:
    weights = torch.linspace(0, 7, 8)[None]

    asymmetric = fit(weights, 3, symmetric=False)
    symmetric = fit(weights, 3, symmetric=True)

    assert torch.equal(asymmetric.values(asymmetric.codes(weights)), weights)
    assert not torch.equal(symmetric.values(symmetric.codes(weights)), weights)


@pytest.mark.parametrize("symmetric", [True, False])
def test_row_of_zeros_stays_zero(symmetric: bool) -> None:
    weights = torch.zeros(1, 4)
    grid = fit(weights, 4, symmetric=symmetric)

    assert torch.equal(grid.values(grid.codes(weights)), weights)
