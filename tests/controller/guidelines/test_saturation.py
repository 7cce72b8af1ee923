"""Saturation curves and bends with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgerig_controller.guidelines.curvature import curvature
from edgerig_controller.guidelines.meta import p_value
from edgerig_controller.guidelines.saturation import x95

BUDGETS = np.array([25.0, 50.0, 100.0, 200.0, 400.0])


def curves(tau: float, units: int = 6, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.7 - 0.3 * np.exp(-BUDGETS / tau) + noise * rng.normal(size=(units, len(BUDGETS)))


@pytest.mark.parametrize("tau", [20.0, 61.0, 150.0])
def test_the_budget_of_95_percent_of_the_gain_is_tau_ln_20(tau: float) -> None:
    assert x95(BUDGETS, curves(tau)).estimate == pytest.approx(tau * math.log(20), rel=1e-3)


def test_the_interval_holds_the_truth_as_often_as_promised() -> None:
    truth = 60 * math.log(20)
    found = [x95(BUDGETS, curves(60, units=8, noise=0.005, seed=seed)) for seed in range(400)]
    held = sum(r.low is not None and r.high is not None and r.low <= truth <= r.high for r in found)
    # Standard error 0.011 at 0.95.
    assert 0.91 <= held / 400 <= 0.985


def test_quality_that_falls_has_no_saturation() -> None:
    got = x95(BUDGETS, -curves(60))
    assert got.estimate is None
    assert "does not rise" in got.note


def test_two_units_have_no_interval() -> None:
    assert x95(BUDGETS, curves(60, units=2)).low is None


@pytest.mark.parametrize("budgets", [[1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 2.0, 4.0]])
def test_budgets_that_make_no_curve_are_refused(budgets: list[float]) -> None:
    with pytest.raises(ValueError, match="four increasing"):
        x95(np.array(budgets), np.ones((3, len(budgets))))


def test_the_bend_is_the_middle_above_the_ends() -> None:
    difficulty = np.linspace(2.0, 4.0, 9)
    gains = 3 + 5 * (1 - (difficulty - 3) ** 2)
    noisy = gains + 0.1 * np.random.default_rng(1).normal(size=9)
    got = curvature(difficulty, noisy)
    assert got.effect.estimate == pytest.approx(5.0, abs=0.3)
    assert got.vertex == pytest.approx(3.0, abs=0.05)
    assert got.vertex_inside
    assert got.effect.p < 0.002


def test_the_bend_has_the_least_squares_interval() -> None:
    rng = np.random.default_rng(2)
    difficulty, gains = np.linspace(-1, 1, 8), rng.normal(size=8)
    design = np.vander(difficulty, 3)
    coefficients, rest, _, _ = np.linalg.lstsq(design, gains)
    se = math.sqrt(float(rest[0]) / 5 * np.linalg.inv(design.T @ design)[0, 0])
    got = curvature(difficulty, gains).effect
    assert (got.estimate, got.se, got.df) == pytest.approx((-coefficients[0], se, 5.0))


def test_a_slope_turns_outside_of_the_range() -> None:
    difficulty = np.linspace(0, 1, 7)
    assert not curvature(difficulty, 10 * difficulty + 0.5 * difficulty**2).vertex_inside


def test_the_permutation_counts_where_students_t_is_too_sure() -> None:
    # Five tasks have 120 orders, and in this curve several of them bend as far.
    got = curvature(np.linspace(-1, 1, 5), np.array([0.0, 3.0, 4.0, 3.0, 0.0]) + 1e-6 * np.arange(5) ** 3)
    assert got.effect.se is not None and got.effect.df is not None
    assert p_value(got.effect.estimate, got.effect.se, got.effect.df) < 1e-9
    assert got.effect.p > 1 / 500


def test_four_tasks_have_no_bend() -> None:
    with pytest.raises(ValueError, match="five tasks"):
        curvature(np.arange(4.0), np.arange(4.0))
