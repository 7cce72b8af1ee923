"""Control charts: limits against the formulas, false alarms and detection on drawn series."""

from __future__ import annotations

import math
import random

import pytest

from edgerig_controller.fleet.health import (
    Baseline,
    ewma_half_width,
    judge,
    shewhart_half_width,
)


def series(rng: random.Random, count: int, *, mean: float = 100.0, sd: float = 3.0) -> list[float]:
    return [rng.gauss(mean, sd) for _ in range(count)]


def test_the_first_values_are_the_baseline() -> None:
    for count in range(1, 9):
        assert judge([100.0] * count).verdict == "learning"
    assert judge([100.0] * 9).verdict == "steady"


def test_the_shewhart_limit_is_the_prediction_interval() -> None:
    quantile = shewhart_half_width(Baseline(8, 100.0, 2.0)) / (2.0 * math.sqrt(1 + 1 / 8))
    # Beyond it lie 0.135 % of Student's t with 7 degrees of freedom, integrated from its density.
    scale = math.gamma(4) / (math.sqrt(7 * math.pi) * math.gamma(3.5))
    step = 1e-3
    tail = sum(
        scale * (1 + (quantile + step * (index + 0.5)) ** 2 / 7) ** -4 * step for index in range(200_000)
    )
    assert tail == pytest.approx(0.00135, rel=1e-3)


def test_a_long_baseline_has_nearly_three_sigma() -> None:
    assert shewhart_half_width(Baseline(100_000, 0.0, 1.0)) == pytest.approx(3.0, rel=1e-3)


def test_the_ewma_limit_widens_to_its_end_and_is_that_of_the_table_for_a_long_baseline() -> None:
    known = Baseline(1_000_000, 0.0, 1.0)
    widths = [ewma_half_width(known, count) for count in (1, 2, 10, 1000)]
    assert widths == sorted(widths)
    assert widths[0] == pytest.approx(2.962 * 0.2, rel=5e-3)
    assert widths[-1] == pytest.approx(2.962 * math.sqrt(0.2 / 1.8), rel=5e-3)


def test_a_jump_is_found_at_once() -> None:
    found = judge([*series(random.Random(1), 12), 160.0])
    assert found.verdict == "drifted"
    assert "outside" in found.detail


def test_a_small_lasting_shift_is_found_by_the_average() -> None:
    rng = random.Random(2)
    values = series(rng, 8, sd=1.5)
    found_after = None
    for count in range(1, 40):
        values.append(rng.gauss(105.0, 1.5))
        if judge(values).verdict == "drifted":
            found_after = count
            break
    assert found_after is not None
    assert "average" in judge(values).detail or found_after == 1


def test_a_change_that_does_not_matter_is_no_drift() -> None:
    values = [100.0 + 0.001 * (index % 2) for index in range(12)]
    assert judge([*values, 101.0]).verdict == "steady"
    assert judge([*values, 103.0]).verdict == "drifted"


def test_false_alarms_are_rare_also_with_a_short_baseline() -> None:
    rng = random.Random(3)
    alarms = sum(
        judge([*series(rng, 8), *series(rng, count)]).verdict == "drifted"
        for count in (1, 5, 20)
        for _ in range(400)
    )
    # 1,200 judgements of two charts at about 0.3 % each: 7 expected, with room for chance.
    assert alarms <= 20


def test_several_figures_share_the_false_alarms() -> None:
    baseline = Baseline(20, 0.0, 1.0)
    assert shewhart_half_width(baseline, 5) > shewhart_half_width(baseline)
    assert ewma_half_width(baseline, 3, 5) > ewma_half_width(baseline, 3)
    values = [100.0, 101.0] * 6
    for value in (103.0, 104.0, 105.0):
        few, many = judge([*values, value]), judge([*values, value], figure_count=20)
        assert many.low is not None and few.low is not None and many.low <= few.low


def test_a_large_shift_is_found_nearly_always() -> None:
    rng = random.Random(4)
    found = sum(judge([*series(rng, 8), rng.gauss(100 + 10 * 3, 3)]).verdict == "drifted" for _ in range(200))
    assert found >= 190


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_what_is_no_series_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        judge(values)


def test_a_baseline_of_two_has_no_spread() -> None:
    with pytest.raises(ValueError, match="fewer than 3"):
        judge([1.0] * 5, baseline_count=2)


def test_a_baseline_around_zero_is_worded_without_percent() -> None:
    assert "%" not in judge([0.0] * 9).detail
