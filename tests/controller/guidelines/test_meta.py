"""Pooling against statsmodels' figures, scipy and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, special, stats

from edgerig_controller.guidelines.meta import mcnemar_p, p_value, pool, sign_test_p, smoothed

EFFECTS = [1.2, -0.4, 2.1, 0.3, 3.0, 0.9, -1.1]
VARIANCES = [0.2, 0.5, 0.3, 0.9, 0.4, 0.25, 0.6]


def test_pooling_is_that_of_statsmodels() -> None:
    # statsmodels 0.15.0, combine_effects(EFFECTS, VARIANCES, method_re="chi2", use_t=True).
    got = pool(EFFECTS, VARIANCES)
    assert got.tau2 == pytest.approx(1.2228951350093105, rel=1e-12)
    assert got.estimate == pytest.approx(0.9372447631729379, rel=1e-12)
    assert got.se == pytest.approx(0.5260818449668462, rel=1e-12)
    assert got.interval(0.95) == pytest.approx((-0.35003114, 2.22452066), abs=1e-8)


def test_tasks_of_equal_precision_are_scipys_one_sample_t_test() -> None:
    expected = stats.ttest_1samp(EFFECTS, 0.0)
    got = pool(EFFECTS, [0.3] * 7)
    assert got.interval(0.95) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert p_value(got.estimate, got.se, got.df) == pytest.approx(expected.pvalue)


def test_the_prediction_interval_is_higgins_form() -> None:
    got = pool(EFFECTS, VARIANCES)
    half = stats.t.ppf(0.975, 5) * math.sqrt(got.tau2 + got.se**2)
    assert got.prediction() == pytest.approx((got.estimate - half, got.estimate + half))
    assert pool([1.0, 2.0], [0.1, 0.1]).prediction() is None


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_the_mean_over_new_tasks_is_covered_as_often_as_promised(tau: float) -> None:
    rng = np.random.default_rng(6)
    held = 0
    for _ in range(2000):
        variances = rng.uniform(0.3, 1.5, 7)
        low, high = pool(list(rng.normal(0, np.sqrt(variances + tau**2))), list(variances)).interval(0.95)
        held += low <= 0.0 <= high
    # Standard error 0.005.
    assert 0.93 <= held / 2000 <= 0.965


@pytest.mark.parametrize(
    ("effects", "variances"),
    [([1.0], [1.0]), ([1.0, 2.0], [1.0, 0.0]), ([1.0, math.nan], [1.0, 1.0]), ([1.0, 2.0], [1.0])],
)
def test_what_cannot_be_pooled_is_refused(effects: list[float], variances: list[float]) -> None:
    with pytest.raises(ValueError, match="task"):
        pool(effects, variances)


def test_tasks_that_agree_exactly_keep_their_own_error() -> None:
    assert pool([1.0, 1.0], [0.5, 0.5]).se == pytest.approx(0.5)


@pytest.mark.parametrize(("positive", "negative"), [(7, 0), (6, 1), (3, 11), (4, 4), (0, 0)])
def test_the_sign_test_is_scipys(positive: int, negative: int) -> None:
    n = positive + negative
    expected = stats.binomtest(positive, n).pvalue if n else 1.0
    assert sign_test_p(positive, negative) == pytest.approx(expected)


def test_six_of_seven_tasks_prove_nothing_and_mcnemar_is_that_of_statsmodels() -> None:
    assert (round(sign_test_p(7, 0), 3), sign_test_p(6, 1)) == (0.016, 0.125)
    # statsmodels 0.15.0, mcnemar([[10, 3], [11, 5]], exact=True).
    assert mcnemar_p(3, 11) == pytest.approx(0.057373046875)


def test_variances_that_differ_by_chance_alone_become_one() -> None:
    rng = np.random.default_rng(2)
    df = 12.0
    spreads = []
    for _ in range(300):
        noisy = rng.chisquare(df, 7) / df
        smooth = smoothed(list(noisy), [df] * 7)
        spreads.append((np.log(noisy).std(), np.log(smooth).std(), np.mean(smooth)))
    raw, left, level = np.mean(spreads, axis=0)
    assert left < 0.35 * raw
    assert level == pytest.approx(1.0, abs=0.03)


def test_variances_that_truly_differ_are_kept_apart() -> None:
    variances = [0.01, 0.1, 1.0, 10.0, 100.0]
    assert smoothed(variances, [40.0] * 5) == pytest.approx(variances, rel=0.12)


def test_the_smoothed_variance_is_the_weighted_mean_that_smyth_gives() -> None:
    # Equation 9 of Smyth (2004), prior from solving its moment equations with scipy's root finder.
    variances, df = np.array([0.5, 1.0, 4.0, 9.0]), np.array([5.0, 8.0, 5.0, 20.0])
    level = np.log(variances) - special.psi(df / 2) + np.log(df / 2)
    excess = level.var(ddof=1) - special.polygamma(1, df / 2).mean()
    half = optimize.brentq(lambda x: float(special.polygamma(1, x)) - excess, 1e-3, 1e6)
    prior = math.exp(level.mean() + special.psi(half) - math.log(half))
    expected = (2 * half * prior + df * variances) / (2 * half + df)
    assert smoothed(list(variances), list(df)) == pytest.approx(list(expected))


def test_noisy_weights_cost_no_coverage_once_smoothed() -> None:
    rng = np.random.default_rng(4)
    held = np.zeros(2)
    for _ in range(3000):
        effects, df = list(rng.standard_normal(7)), 6.0
        noisy = list(rng.chisquare(df, 7) / df)
        for at, variances in enumerate((noisy, smoothed(noisy, [df] * 7))):
            low, high = pool(effects, variances).interval(0.95)
            held[at] += low <= 0.0 <= high
    # Standard error 0.004.
    assert held[1] / 3000 >= 0.93
    assert held[1] - held[0] > 30


@pytest.mark.parametrize(("variances", "dfs"), [([1.0], [1.0, 2.0]), ([0.0, 1.0], [1.0, 1.0])])
def test_what_cannot_be_smoothed_is_refused(variances: list[float], dfs: list[float]) -> None:
    with pytest.raises(ValueError, match="smoothing"):
        smoothed(variances, dfs)
