"""Percentiles and the interval of the median."""

import random

import pytest

from edgerig_agent.measure.statistic import (
    fewest_requests,
    is_admissible,
    median_interval,
    mlperf_percentile,
    percentile,
    percentile_interval,
)


@pytest.mark.parametrize(("share", "count"), [(0.50, 6), (0.90, 29), (0.95, 59), (0.99, 299)])
def test_a_percentile_needs_so_many_requests(share: float, count: int) -> None:
    assert fewest_requests(share) == count
    assert not is_admissible(share, count - 1)


def test_percentiles_are_observed_values_but_for_an_even_median() -> None:
    ordered = [1.0, 2.0, 3.0, 4.0]
    assert percentile(ordered, 0.5) == 2.5
    assert percentile(ordered, 0.75) == 3.0
    assert percentile(ordered, 0.99) == 4.0


def test_the_90th_of_ten_is_the_ninth() -> None:
    assert percentile([float(value) for value in range(1, 11)], 0.9) == 9.0


def test_six_values_are_the_fewest_with_an_interval_of_the_median() -> None:
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == (1.0, 6.0)


def test_the_interval_of_twenty_is_the_sixth_and_the_fifteenth() -> None:
    assert median_interval([float(value) for value in range(1, 21)]) == (6.0, 15.0)


def test_the_interval_holds_the_median_in_95_of_100_runs() -> None:
    random_numbers = random.Random(1)
    held = 0
    for _ in range(2000):
        low, high = median_interval(sorted(random_numbers.expovariate(1.0) for _ in range(20))) or (0, 0)
        held += low <= 0.6931 <= high
    assert held / 2000 >= 0.94


def test_an_interval_of_many_values_is_found() -> None:
    low, high = median_interval([float(value) for value in range(5000)]) or (0.0, 0.0)
    assert 2400 < low < 2500 < high < 2600


@pytest.mark.parametrize("share", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("count", [28, 29, 58, 59, 298, 299, 662, 5000])
def test_the_interval_of_a_percentile_holds_it_by_the_binomial(share: float, count: int) -> None:
    binom = pytest.importorskip("scipy.stats").binom
    found = percentile_interval(list(range(count)), share)
    assert (found is not None) == is_admissible(share, count)
    if found is None:
        return
    low, high = found
    # The value at place `low` is not above the percentile when more than `low` are below it.
    held = binom.cdf(high, count, share) - binom.cdf(low, count, share)
    assert held >= 0.95
    assert low < percentile(list(range(count)), share) <= high
    # No shorter one by raising its lower end.
    assert binom.cdf(high, count, share) - binom.cdf(low + 1, count, share) < 0.95


@pytest.mark.parametrize(("share", "fewest"), [(0.90, 64), (0.99, 662)])
def test_mlperfs_rule_needs_the_counts_of_its_configuration(share: float, fewest: int) -> None:
    assert mlperf_percentile(list(range(fewest - 1)), share) is None
    assert mlperf_percentile(list(range(fewest)), share) == fewest - 1


def test_mlperfs_estimate_is_an_upper_bound_that_comes_down_with_more_queries() -> None:
    ranks = [mlperf_percentile([index / count for index in range(count)], 0.9) for count in (64, 640, 64_000)]
    assert ranks[0] > ranks[1] > ranks[2] > 0.9
    assert ranks[2] < 0.905
