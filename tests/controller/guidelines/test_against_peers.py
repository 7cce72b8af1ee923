"""Every estimator against statsmodels, scipy or a closed form on known cases, within stated tolerance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from edgerig_controller.guidelines.curvature import curvature
from edgerig_controller.guidelines.difficulty import K1, B, ProfileItem, Question, best_match, code_length
from edgerig_controller.guidelines.estimate import spread_of_mean
from edgerig_controller.guidelines.meta import mcnemar_p, pool
from edgerig_controller.guidelines.multiplicity import (
    benjamini_hochberg,
    critical,
    holm,
    holm_levels,
    largest_t,
)
from edgerig_controller.guidelines.power import equivalence_reach, mde
from edgerig_controller.guidelines.resources import RunTable, fieller, log_ratio
from edgerig_controller.guidelines.saturation import x95

anova = pytest.importorskip("statsmodels.stats.anova")
formula = pytest.importorskip("statsmodels.formula.api")
api = pytest.importorskip("statsmodels.stats.api")
meta_analysis = pytest.importorskip("statsmodels.stats.meta_analysis")
contingency = pytest.importorskip("statsmodels.stats.contingency_tables")
pandas = pytest.importorskip("pandas")

P_VALUES = [0.001, 0.2, 0.013, 0.04, 0.0009, 0.7, 0.04]


def test_holm_and_benjamini_hochberg_are_those_of_statsmodels() -> None:
    # Exact to rounding.
    assert holm(P_VALUES) == pytest.approx(api.multipletests(P_VALUES, method="holm")[1], rel=1e-12)
    assert benjamini_hochberg(P_VALUES) == pytest.approx(
        api.multipletests(P_VALUES, method="fdr_bh")[1], rel=1e-12
    )


def test_a_level_of_holm_excludes_zero_exactly_when_holm_rejects() -> None:
    rejected = api.multipletests(P_VALUES, alpha=0.05, method="holm")[0]
    levels = holm_levels(P_VALUES)
    assert [p <= 1 - level for p, level in zip(P_VALUES, levels, strict=True)] == list(rejected)


@pytest.mark.parametrize("seed", range(5))
def test_pooling_is_that_of_statsmodels_on_random_cases(seed: int) -> None:
    rng = np.random.default_rng(seed)
    effects, variances = rng.normal(1, 1, 9), rng.uniform(0.1, 2, 9)
    theirs = meta_analysis.combine_effects(effects, variances, method_re="chi2", use_t=True)
    ours = pool(list(effects), list(variances))
    assert ours.heterogeneity_p == pytest.approx(theirs.test_homogeneity().pvalue, rel=1e-8)
    if theirs.tau2 < 0:
        # statsmodels goes on with a negative variance; cut at zero it is the fixed-effect mean.
        assert ours.tau2 == 0.0
        assert ours.estimate == pytest.approx(np.average(effects, weights=1 / variances), rel=1e-12)
        return
    low, high = theirs.conf_int()[3]
    assert ours.estimate == pytest.approx(theirs.mean_effect_re, rel=1e-10)
    assert ours.tau2 == pytest.approx(theirs.tau2, rel=1e-10)
    assert ours.interval(0.95) == pytest.approx((low, high), rel=1e-8)


@pytest.mark.parametrize("table", [(10, 3, 11, 5), (4, 9, 1, 7), (5, 2, 2, 8)])
def test_mcnemar_is_that_of_statsmodels(table: tuple[int, int, int, int]) -> None:
    a, b, c, d = table
    assert mcnemar_p(b, c) == pytest.approx(
        contingency.mcnemar([[a, b], [c, d]], exact=True).pvalue, rel=1e-12
    )


def test_the_two_way_variance_is_that_of_statsmodels_mean_squares() -> None:
    rng = np.random.default_rng(1)
    users, seeds = 12, 5
    means = rng.normal(0, 1, (users, 1)) + rng.normal(0, 0.5, (1, seeds)) + rng.normal(0, 0.3, (users, seeds))
    frame = pandas.DataFrame(
        {
            "y": means.ravel(),
            "user": np.repeat(np.arange(users), seeds),
            "seed": np.tile(np.arange(seeds), users),
        }
    )
    table = anova.anova_lm(formula.ols("y ~ C(user) + C(seed)", frame).fit())
    squares = table["mean_sq"]
    parts = [squares[name] / (users * seeds) for name in ("C(user)", "C(seed)", "Residual")]
    expected = max(parts[0] + parts[1] - parts[2], parts[0], parts[1])
    found = spread_of_mean(means)
    assert found.variance == pytest.approx(expected, rel=1e-9)
    free = (users - 1, seeds - 1, (users - 1) * (seeds - 1))
    df = expected**2 / sum(part**2 / n for part, n in zip(parts, free, strict=True))
    assert found.df == pytest.approx(df, rel=1e-9)


def test_one_seed_is_the_one_sample_t_test() -> None:
    rows = np.random.default_rng(2).normal(0.3, 1, 15)
    found = spread_of_mean(rows[:, None])
    assert found.variance is not None
    assert math.sqrt(found.variance) == pytest.approx(stats.sem(rows))


def test_a_log_ratio_is_welchs_test_of_logarithms() -> None:
    a, b = (5.0, 5.2, 5.1, 4.8), (3.0, 3.3, 2.9)
    found = log_ratio(RunTable("t", "d", "", {"x_s": {"a": a, "b": b}}), "x_s", "a", "b")
    expected = stats.ttest_ind(np.log(a), np.log(b), equal_var=False)
    assert found is not None
    assert found.interval(0.95) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)


def test_the_bend_is_that_of_ordinary_least_squares() -> None:
    rng = np.random.default_rng(4)
    difficulty = np.sort(rng.uniform(0, 1, 12))
    gains = 5 - 8 * (difficulty - 0.5) ** 2 + rng.normal(0, 0.5, 12)
    x = 2 * (difficulty - difficulty.min()) / np.ptp(difficulty) - 1
    fit = formula.ols("y ~ x + I(x ** 2)", pandas.DataFrame({"y": gains, "x": x})).fit()
    found = curvature(difficulty, gains)
    assert found.effect.estimate == pytest.approx(-fit.params["I(x ** 2)"], rel=1e-9)
    assert found.effect.se == pytest.approx(fit.bse["I(x ** 2)"], rel=1e-9)
    assert found.effect.df == fit.df_resid


@pytest.mark.parametrize("df", [4.0, 11.0, 200.0])
def test_the_minimal_detectable_effect_has_its_power(df: float) -> None:
    # The shifted-t formula against the noncentral t of statsmodels: 1 % of power for df of 11 on, 4 % at 4.
    effect = mde(1.0, df)
    power = stats.nct.sf(stats.t.isf(0.025, df), df, effect) + stats.nct.cdf(
        -stats.t.isf(0.025, df), df, effect
    )
    theirs = api.TTestPower().power(effect / math.sqrt(df + 1), df + 1, 0.05)
    assert power == pytest.approx(theirs, rel=1e-6)
    assert power == pytest.approx(0.8, abs=0.04 if df < 10 else 0.01)


def test_equivalence_is_shown_with_the_power_that_is_promised() -> None:
    df = 60.0
    delta = equivalence_reach(1.0, df)
    bound = stats.t.isf(0.05, df)

    # Probability that both one-sided tests reject at a true zero, over the distribution of the error.
    def inside(scale: float) -> float:
        half = delta - bound * scale
        return float((2 * stats.norm.cdf(half) - 1) * 2 * df * scale * stats.chi2.pdf(df * scale**2, df))

    power, _ = integrate.quad(inside, 0, delta / bound)
    assert power == pytest.approx(0.8, abs=0.01)


def test_simultaneous_bounds_are_those_of_the_multivariate_t() -> None:
    rng = np.random.default_rng(5)
    correlation = np.array([[1.0, 0.6, 0.2], [0.6, 1.0, 0.4], [0.2, 0.4, 1.0]])
    residuals = rng.multivariate_normal(np.zeros(3), correlation, size=4000)
    sample = np.corrcoef(residuals.T)
    bound = critical(largest_t(residuals, 100.0, draws=40_000), 0.95)
    inside = stats.multivariate_t(shape=sample, df=100, seed=1).cdf(np.full(3, bound))
    # 40,000 draws: standard error of the share 0.001.
    assert inside == pytest.approx(0.95, abs=0.005)


def test_fieller_is_the_set_of_ratios_that_a_t_test_keeps() -> None:
    top, plus, minus = (100.0, 104.0, 98.0, 101.0), (5.0, 5.2, 4.9, 5.1), (3.0, 3.1, 2.9, 3.2)
    found = fieller(top, plus, minus)
    assert found.low is not None and found.high is not None
    limit = stats.t.isf(0.025, 3)

    def t(ratio: float) -> float:
        down = np.mean(plus) - np.mean(minus)
        variance = (np.var(top, ddof=1) + ratio**2 * (np.var(plus, ddof=1) + np.var(minus, ddof=1))) / 4
        return float((np.mean(top) - ratio * down) / math.sqrt(variance))

    assert t(found.low) == pytest.approx(limit, rel=1e-9)
    assert t(found.high) == pytest.approx(-limit, rel=1e-9)


def test_saturation_is_that_of_nonlinear_least_squares() -> None:
    budgets = np.array([25.0, 50.0, 100.0, 200.0, 400.0])
    rng = np.random.default_rng(6)
    curves = 60 - 25 * np.exp(-budgets / 70) + rng.normal(0, 0.4, (6, 5))

    def curve(x: np.ndarray, a: float, b: float, tau: float) -> np.ndarray:
        return np.asarray(a - b * np.exp(-x / tau))

    (_, _, tau), _ = optimize.curve_fit(curve, budgets, curves.mean(axis=0), p0=(60, 20, 50))
    # A grid of 400 log steps with a parabola between them: 0.1 % of the optimum.
    assert x95(budgets, curves).estimate == pytest.approx(tau * math.log(20), rel=1e-3)


def test_code_length_of_one_label_is_nothing_and_of_a_fair_coin_is_laplaces() -> None:
    same = [Question("u", "word", "a", ()) for _ in range(5)]
    assert code_length(same) == 0.0
    # Two labels, no words: each is told at (seen + 1) / (n + 2).
    coin = [Question("u", "", label, ()) for label in "abba"]
    expected = -sum(math.log2(p) for p in (1 / 2, 1 / 3, 2 / 4, 2 / 5)) / 4
    assert code_length(coin) == pytest.approx(expected)


def test_retrieval_is_okapis_formula() -> None:
    profile = [ProfileItem("a b b c", "1"), ProfileItem("a a d", "2"), ProfileItem("e", "3")]
    query = "a b"

    def okapi(item: ProfileItem) -> float:
        words, total = item.text.split(), 0.0
        mean = sum(len(entry.text.split()) for entry in profile) / len(profile)
        for term in query.split():
            having = sum(term in entry.text.split() for entry in profile)
            idf = math.log(1 + (len(profile) - having + 0.5) / (having + 0.5))
            count = words.count(term)
            total += idf * count * (K1 + 1) / (count + K1 * (1 - B + B * len(words) / mean))
        return total

    assert best_match(query, profile) == max(profile, key=okapi) == profile[0]
