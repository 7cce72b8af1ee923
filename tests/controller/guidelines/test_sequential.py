"""Spending and boundaries against published figures and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edgerig_controller.guidelines.sequential import nominal_levels, spent


def test_five_equal_looks_have_the_published_obrien_fleming_bounds() -> None:
    # Lan and DeMets' O'Brien-Fleming type, two-sided 0.05: R package ldbounds, ldBounds(t = 1:5/5, iuse = 1).
    published = [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]
    bounds = stats.norm.isf(np.array(nominal_levels([0.2, 0.4, 0.6, 0.8, 1.0], 0.05)) / 2)
    assert bounds == pytest.approx(published, abs=2e-4)


def test_one_look_at_the_end_is_an_ordinary_test() -> None:
    assert nominal_levels([1.0], 0.05) == pytest.approx((0.05,))
    assert spent(1.0, 0.01) == pytest.approx(0.01)


def test_the_level_is_kept_over_all_looks_in_simulation() -> None:
    fractions = np.array([0.5, 0.8, 0.9, 1.0])
    levels = np.array(nominal_levels(list(fractions), 0.05))
    rng = np.random.default_rng(3)
    steps = np.sqrt(np.diff(np.r_[0.0, fractions])) * rng.standard_normal((100_000, 4))
    z = np.cumsum(steps, axis=1) / np.sqrt(fractions)
    rejected = (2 * stats.norm.sf(np.abs(z)) <= levels).any(axis=1).mean()
    # Standard error 0.0007.
    assert rejected == pytest.approx(0.05, abs=0.0025)


def test_peeking_at_the_full_level_would_not_keep_it() -> None:
    assert all(level < 0.05 for level in nominal_levels([0.5, 0.8, 1.0], 0.05))


def test_a_look_without_new_information_tests_nothing() -> None:
    first, again, last = nominal_levels([1.0, 1.0, 1.0], 0.05)
    assert (first, again, last) == (pytest.approx(0.05), 0.0, 0.0)


def test_smaller_levels_have_smaller_nominal_levels_at_every_look() -> None:
    # What handing on the level of rejected claims rests on (Maurer and Bretz 2013).
    small, large = (nominal_levels([0.4, 0.7, 1.0], alpha) for alpha in (0.004, 0.05))
    assert all(a < b for a, b in zip(small, large, strict=True))


@pytest.mark.parametrize(
    ("fractions", "alpha"), [([], 0.05), ([0.5, 0.4], 0.05), ([1.2], 0.05), ([0.5], 0.0)]
)
def test_looks_that_make_no_sense_are_refused(fractions: list[float], alpha: float) -> None:
    with pytest.raises(ValueError, match=r"fraction|alpha"):
        nominal_levels(fractions, alpha)
