"""Corrections for many tests against statsmodels' figures, scipy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgerig_controller.guidelines.multiplicity import (
    benjamini_hochberg,
    critical,
    exceedance,
    holm,
    holm_levels,
    largest_t,
)

P = [0.001, 0.04, 0.012, 0.6, 0.02, 0.049]


def test_holm_is_that_of_statsmodels() -> None:
    assert holm(P) == pytest.approx([0.006, 0.12, 0.06, 0.6, 0.08, 0.12])


def test_bh_is_that_of_scipy() -> None:
    assert benjamini_hochberg(P) == pytest.approx(list(stats.false_discovery_control(P)))


@given(st.lists(st.floats(0.0005, 1.0), min_size=1, max_size=12))
def test_the_interval_at_holms_level_excludes_zero_exactly_when_holm_rejects(p_values: list[float]) -> None:
    for p, level, adjusted in zip(p_values, holm_levels(p_values), holm(p_values), strict=True):
        assert (p <= 1 - level + 1e-12) == (adjusted <= 0.05 + 1e-12)


def test_no_test_needs_no_correction() -> None:
    assert (holm([]), holm_levels([]), benjamini_hochberg([])) == ([], [], [])


def test_independent_contrasts_have_sidaks_critical_value_and_equal_ones_students() -> None:
    rng = np.random.default_rng(0)
    apart = np.linalg.qr(rng.normal(size=(40, 5)) - 0.0)[0]
    apart = np.linalg.qr(apart - apart.mean(axis=0))[0]
    sidak = stats.norm.ppf(0.95 ** (1 / 5))
    assert critical(largest_t(apart, 1e6, draws=40000), 0.95) == pytest.approx(sidak, rel=0.015)
    alike = np.repeat(rng.normal(size=(40, 1)), 5, axis=1)
    assert critical(largest_t(alike, 8, draws=40000), 0.95) == pytest.approx(stats.t.ppf(0.95, 8), rel=0.03)


def test_the_adjusted_p_agrees_with_the_critical_value_and_is_never_zero() -> None:
    largest = largest_t(np.random.default_rng(1).normal(size=(20, 4)), 10)
    assert exceedance(largest, critical(largest, 0.95)) == pytest.approx(0.05, abs=0.001)
    assert exceedance(largest, -1e9) == 1 / 4001


def test_one_unit_has_no_correlation() -> None:
    with pytest.raises(ValueError, match="two units"):
        largest_t(np.ones((1, 3)), 5)


def test_bounds_of_a_few_units_hold_the_largest_of_individually_studentised_means() -> None:
    # Six contrasts of five arms on seven tasks, each with the error of its own differences.
    rng = np.random.default_rng(8)
    weights = np.zeros((5, 6))
    for at, (a, b) in enumerate((a, b) for a in (0, 1) for b in (2, 3, 4)):
        weights[a, at], weights[b, at] = 1.0, -1.0
    bound = critical(largest_t(rng.standard_normal((500, 5)) @ weights, 6.0), 0.95)
    data = rng.standard_normal((6000, 7, 5)) @ weights
    t = data.mean(axis=1) / (data.std(axis=1, ddof=1) / np.sqrt(7))
    # Standard error 0.003; one shared error would give 0.93.
    assert (t.max(axis=1) <= bound).mean() == pytest.approx(0.95, abs=0.01)
