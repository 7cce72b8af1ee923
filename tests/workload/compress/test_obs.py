"""The column loop against optimal brain surgeon, written out plainly with explicit inverses."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from edgerig_workload.compress.obs import Hessian, curvature, sweep
from edgerig_workload.faults import WorkerFault

COLUMNS = 12


class Fixed:
    """Rounds to whole numbers, or zeroes what a mask says; counts its blocks."""

    def __init__(self, mask: torch.Tensor | None = None) -> None:
        self._mask = mask
        self._begin, self._width = 0, 0
        self.blocks: list[int] = []

    def block(self, current: torch.Tensor, diagonal: torch.Tensor) -> None:
        self._begin += self._width
        self._width = current.shape[1]
        self.blocks.append(self._width)

    def column(self, current: torch.Tensor, place: int) -> torch.Tensor:
        if self._mask is None:
            return current[:, place].round()
        return current[:, place].masked_fill(self._mask[:, self._begin + place], 0)


def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(8)
    x = torch.randn(80, COLUMNS) @ torch.randn(COLUMNS, COLUMNS)
    return x, 2 * torch.randn(5, COLUMNS), 2 * x.T @ x / len(x)


def plain(weights: torch.Tensor, hessian: torch.Tensor, rule: Fixed, damping: float) -> torch.Tensor:
    """Goes column by column and shrinks the inverse by Gaussian elimination, in float64."""
    hessian = hessian.double()
    damped = hessian + damping * hessian.diagonal().mean() * torch.eye(COLUMNS, dtype=torch.float64)
    inverse = torch.linalg.inv(damped)
    current = weights.double().clone()
    rule.block(current, inverse.diagonal())
    for place in range(COLUMNS):
        new = rule.column(current, place)
        error = (current[:, place] - new) / inverse[place, place]
        current -= torch.outer(error, inverse[place])
        current[:, place] = new
        inverse = inverse - torch.outer(inverse[:, place], inverse[place]) / inverse[place, place]
    return current.float()


@pytest.mark.parametrize("block_columns", [1, 5, 128])
@pytest.mark.parametrize("masked", [True, False])
def test_any_block_width_gives_what_plain_elimination_gives(block_columns: int, masked: bool) -> None:
    _, weights, hessian = problem()
    mask = torch.rand(5, COLUMNS) < 0.5 if masked else None

    found = sweep(weights, curvature(hessian, 0.01, "layer"), Fixed(mask), block_columns)

    torch.testing.assert_close(found, plain(weights, hessian, Fixed(mask), 0.01), atol=1e-3, rtol=1e-3)
    if mask is not None:
        assert (found[mask] == 0).all()


def test_weights_right_of_one_changed_column_are_the_least_squares_answer() -> None:
    x, weights, hessian = problem()
    mask = torch.zeros(5, COLUMNS, dtype=torch.bool)
    mask[:, 0] = True

    found = sweep(weights, curvature(hessian, 0.0, "layer"), Fixed(mask))

    best = torch.linalg.lstsq(x[:, 1:].double(), (x @ weights.T).double()).solution.T.float()
    torch.testing.assert_close(found[:, 1:], best, atol=2e-3, rtol=2e-3)


def test_statistic_is_the_mean_of_outer_products() -> None:
    x, _, hessian = problem()
    found = Hessian(COLUMNS, torch.device("cpu"))

    for part in x.split(33):
        found.add(part)

    torch.testing.assert_close(found.matrix(), hessian, rtol=1e-4, atol=1e-4)


def test_columns_without_input_become_zero() -> None:
    x, weights, _ = problem()
    x[:, 3] = 0

    found = sweep(weights, curvature(2 * x.T @ x / len(x), 0.01, "layer"), Fixed())

    assert (found[:, 3] == 0).all()
    assert torch.isfinite(found).all()


def test_dependent_inputs_without_damping_are_bad_data() -> None:
    x = torch.ones(4, 1) @ torch.ones(1, COLUMNS)

    with pytest.raises(WorkerFault, match="damping above 0") as caught:
        curvature(-2 * x.T @ x, 0.0, "model.layers.0")

    assert caught.value.failure_class == "bad_data"


def test_the_callers_weights_stay() -> None:
    _, weights, hessian = problem()
    kept = weights.clone()

    sweep(weights, curvature(hessian, 0.01, "layer"), Fixed())

    assert torch.equal(weights, kept)
