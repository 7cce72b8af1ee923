"""Default rates: every kind and gradient has one, and it falls with width up to a cap."""

from __future__ import annotations

import pytest

from edgerig_workload.learn.catalog import TRAINED
from edgerig_workload.learn.rates import default_epsilon, default_rate


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize("gradient", ["backprop", "checkpointed", "mezo", "forward"])
def test_every_combination_has_a_rate_that_never_rises_with_width(kind: str, gradient: str) -> None:
    narrow, middle, wide = (default_rate(kind, gradient, hidden) for hidden in (8, 512, 8192))

    assert narrow >= middle >= wide > 0


def test_rate_of_lora_falls_with_width_up_to_a_cap() -> None:
    assert [default_rate("lora", "backprop", hidden) for hidden in (4096, 2048, 8)] == [2e-4, 4e-4, 0.01]


@pytest.mark.parametrize(
    ("kind", "rate", "epsilon"), [("full", 1e-7, 1e-3), ("lora", 5e-5, 1e-2), ("prefix", 1e-3, 1e-1)]
)
def test_zeroth_order_defaults_of_wide_models_are_the_published_ones(
    kind: str, rate: float, epsilon: float
) -> None:
    assert (default_rate(kind, "mezo", 4096), default_epsilon(kind)) == (rate, epsilon)
