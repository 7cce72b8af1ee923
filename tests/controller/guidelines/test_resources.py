"""Ratios of run figures against scipy and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from edgerig_controller.guidelines.resources import (
    RunTable,
    fieller,
    log_contrast,
    log_ratio,
    percent,
    upper_bound,
)

RAG, LORA = (2.0, 2.2, 2.1, 1.9), (1.0, 1.3, 1.1)
TABLE = RunTable("task", "box", "module_in", {"j_per_request": {"rag": RAG, "lora": LORA}})


def test_log_ratio_is_welchs_t_interval_of_logarithms() -> None:
    got = log_ratio(TABLE, "j_per_request", "rag", "lora")
    expected = stats.ttest_ind(np.log(RAG), np.log(LORA), equal_var=False).confidence_interval(0.95)
    assert got is not None
    assert got.interval(0.95) == pytest.approx((expected.low, expected.high))


def test_several_configurations_on_a_side_are_geometric_means() -> None:
    pair = {"rag": 1.0, "lora": -0.5, "twin": -0.5}
    figures = {"j": {"rag": RAG, "lora": LORA, "twin": tuple(2 * value for value in LORA)}}
    got = log_contrast(RunTable("t", "d", "b", figures), "j", pair)
    assert got is not None and got.se is not None
    assert got.estimate == pytest.approx(np.log(RAG).mean() - np.log(LORA).mean() - math.log(2) / 2)
    parts = np.log(RAG).var(ddof=1) / 4, np.log(LORA).var(ddof=1) / 3
    assert got.se == pytest.approx(math.sqrt(parts[0] + 0.5 * parts[1]))


def test_a_figure_that_was_not_measured_gives_no_ratio() -> None:
    assert log_ratio(TABLE, "j_per_request", "rag", "none") is None
    assert log_ratio(TABLE, "ttft_s", "rag", "lora") is None


def test_one_run_has_a_ratio_but_no_interval() -> None:
    got = log_ratio(RunTable("t", "d", "b", {"x": {"a": (2.0,), "b": (1.0,)}}), "x", "a", "b")
    assert got is not None
    assert (got.estimate, got.interval(0.95)) == (math.log(2), None)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_figure_that_has_no_logarithm_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        log_ratio(RunTable("t", "d", "b", {"x": {"a": (bad,), "b": (1.0,)}}), "x", "a", "b")


def test_percent_words_a_log_ratio() -> None:
    assert percent(math.log(1.1)) == pytest.approx(10.0)


def test_a_limit_is_held_against_the_worst_run() -> None:
    assert upper_bound([3.0, 5.0, 4.0], margin=0.1) == pytest.approx(5.5)
    with pytest.raises(ValueError, match="no run"):
        upper_bound([])


def test_a_difference_that_may_be_zero_has_no_finite_break_even() -> None:
    got = fieller([100.0, 110.0], [1.0, 2.0, 1.5], [1.2, 1.9, 1.4])
    assert (got.low, got.high) == (None, None)
    assert "no finite break-even" in got.note


def test_fieller_covers_the_true_break_even() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(600):
        top, plus, minus = rng.normal(1000, 20, 5), rng.normal(3, 0.1, 5), rng.normal(2, 0.1, 5)
        got = fieller(list(top), list(plus), list(minus))
        held += got.low is not None and got.high is not None and got.low <= 1000.0 <= got.high
    # t(4) for a sum of variances with more degrees of freedom: the interval may only be too wide.
    assert held / 600 >= 0.93


def test_fieller_needs_two_runs_a_side() -> None:
    assert fieller([1.0], [1.0, 2.0], [0.0, 0.1]).estimate is None
