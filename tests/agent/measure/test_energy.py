"""Energy of windows, against waveforms whose energy is known."""

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerig_agent.measure.energy import Curve, counter_curve, power_curve

S = 1_000_000_000


def jittered(power_w: Callable[[float], float], duration_s: float, rate_hz: float, seed: int) -> Curve:
    """Samples a waveform once in each interval, at a random instant of it."""
    random_numbers = random.Random(seed)
    count = int(duration_s * rate_hz)
    times = [int((index + random_numbers.random()) / rate_hz * S) for index in range(count)]
    return power_curve(times, [power_w(t / S) for t in times])


def test_constant_power_is_exact_and_fully_covered() -> None:
    series = power_curve(range(0, 11 * S, S // 10), [10.0] * 110)
    integral = series.integrate([(2 * S + 123, 7 * S + 456)])
    assert integral.energy_j == pytest.approx(10.0 * (5 * S + 333) / S, rel=1e-12)
    assert integral.coverage == pytest.approx(1.0)


def test_the_edges_of_a_window_are_interpolated() -> None:
    series = power_curve([0, S, 2 * S], [0.0, 10.0, 20.0])
    integral = series.integrate([(S // 2, S + S // 2)])
    assert integral.energy_j == pytest.approx(10.0)
    assert integral.sample_count == 1


def test_a_window_between_two_samples_has_its_share() -> None:
    series = power_curve([0, S, 2 * S], [4.0, 8.0, 8.0])
    integral = series.integrate([(S // 4, S // 2)])
    assert integral.energy_j == pytest.approx(0.25 * 5.5)
    assert integral.sample_count == 0


def test_a_step_keeps_its_energy_because_equal_neighbours_are_kept() -> None:
    times = list(range(0, 10 * S, S // 100))
    series = power_curve(times, [10.0 if t < 5 * S else 30.0 for t in times])
    integral = series.integrate([(1 * S, 9 * S)])
    assert integral.energy_j == pytest.approx(4 * 10 + 4 * 30, rel=0.002)


def test_a_gap_of_more_than_three_intervals_is_left_out_and_lowers_coverage() -> None:
    times = [t for t in range(0, 10 * S, S // 100) if not 4 * S < t < 6 * S]
    series = power_curve(times, [10.0] * len(times))
    integral = series.integrate([(1 * S, 9 * S)])
    assert integral.coverage == pytest.approx(0.75, abs=0.002)
    assert integral.energy_j == pytest.approx(60.0, rel=0.002)


def test_a_window_outside_of_the_samples_is_not_covered() -> None:
    series = power_curve([0, S], [10.0, 10.0])
    integral = series.integrate([(5 * S, 6 * S)])
    assert (integral.energy_j, integral.coverage) == (0.0, 0.0)


def test_no_samples_at_all_give_nothing() -> None:
    assert power_curve([], []).integrate([(0, S)]).coverage == 0.0


@pytest.mark.parametrize("period_s", [1.0, 0.2])
def test_square_waves_are_right_within_half_a_percent_in_ten_seconds(period_s: float) -> None:
    def power_w(t: float) -> float:
        return 25.0 if (t % period_s) < period_s / 2 else 5.0

    errors = []
    for seed in range(40):
        series = jittered(power_w, 12.0, 100.0, seed)
        energy_j = series.integrate([(S, 11 * S)]).energy_j
        errors.append(energy_j / 150.0 - 1.0)
    assert math.sqrt(sum(error**2 for error in errors) / len(errors)) < 0.005


def test_a_ripple_at_a_quarter_of_the_rate_does_not_alias() -> None:
    def power_w(t: float) -> float:
        return 23.0 if (t * 25.0) % 1.0 < 0.5 else 15.0

    errors = [
        jittered(power_w, 61.0, 100.0, seed).integrate([(S // 2, 60 * S + S // 2)]).energy_j / 1140.0 - 1.0
        for seed in range(10)
    ]
    assert math.sqrt(sum(error**2 for error in errors) / len(errors)) < 0.004


@given(
    values=st.lists(st.floats(0.0, 100.0), min_size=8, max_size=40),
    cut=st.integers(1, 6 * S),
)
def test_the_energy_of_a_window_is_that_of_its_parts(values: list[float], cut: int) -> None:
    series = power_curve([index * S for index in range(len(values))], values)
    end = (len(values) - 1) * S
    whole = series.integrate([(0, end)]).energy_j
    parts = series.integrate([(0, cut), (cut, end)]).energy_j
    assert parts == pytest.approx(whole, rel=1e-9, abs=1e-9)


@given(st.lists(st.floats(0.0, 100.0), min_size=3, max_size=20))
def test_a_sample_that_repeats_the_line_changes_nothing(values: list[float]) -> None:
    times = [index * S for index in range(len(values))]
    doubled_times = list(range(0, times[-1] + 1, S // 2))
    between = [(a + b) / 2 for a, b in pairwise(values)]
    doubled = [v for pair in zip(values, [*between, 0.0], strict=True) for v in pair][:-1]
    window = [(0, times[-1])]
    once = power_curve(times, values).integrate(window).energy_j
    twice = power_curve(doubled_times, doubled).integrate(window).energy_j
    assert twice == pytest.approx(once, rel=1e-9, abs=1e-9)


def ramp(step_raw: int, count: int, wrap_raw: int = 0, start: int = 0) -> list[int]:
    values = [start + step_raw * index for index in range(count)]
    return [value % wrap_raw for value in values] if wrap_raw else values


def test_a_counter_gives_its_difference_in_the_window() -> None:
    counter = counter_curve(range(0, 10 * S, S // 100), ramp(100_000, 1000), 0, 1e-6)
    integral = counter.integrate([(2 * S, 5 * S)])
    assert integral.energy_j == pytest.approx(30.0, rel=1e-6)
    assert integral.coverage == pytest.approx(1.0)


def test_a_wrap_adds_exactly_one_range() -> None:
    raws = ramp(100_000, 1000, wrap_raw=33_000_000, start=20_000_000)
    counter = counter_curve(range(0, 10 * S, S // 100), raws, 33_000_000, 1e-6)
    assert counter.integrate([(S, 9 * S)]).energy_j == pytest.approx(80.0, rel=1e-6)


def test_a_reset_is_not_taken_for_a_wrap() -> None:
    raws = ramp(100_000, 500) + ramp(100_000, 500)
    counter = counter_curve(range(0, 10 * S, S // 100), raws, 262_143_328_850, 1e-6)
    integral = counter.integrate([(S, 9 * S)])
    assert integral.energy_j == pytest.approx(79.9, rel=1e-6)
    assert integral.coverage < 1.0


def test_a_counter_without_a_range_never_wraps() -> None:
    counter = counter_curve([0, S, 2 * S, 3 * S], [900, 1000, 50, 150], 0, 1.0)
    assert counter.integrate([(0, 3 * S)]).energy_j == pytest.approx(100.0)


def test_a_counter_that_is_renewed_rarely_is_read_at_its_steps() -> None:
    times = list(range(0, 10 * S, S // 50))
    raws = [t // (S // 10) * 2 for t in times]  # 20 J a second, renewed every 100 ms
    counter = counter_curve(times, raws, 0, 1.0)
    integral = counter.integrate([(2 * S + S // 20, 7 * S + S // 20)])
    assert integral.energy_j == pytest.approx(100.0, rel=0.005)


def test_a_gap_inside_a_window_loses_nothing_of_a_counter() -> None:
    times = [t for t in range(0, 10 * S, S // 100) if not 4 * S < t < 6 * S]
    counter = counter_curve(times, [t // 10_000 for t in times], 0, 1e-4)
    integral = counter.integrate([(1 * S, 9 * S)])
    assert integral.energy_j == pytest.approx(80.0, rel=1e-6)
    assert integral.coverage == pytest.approx(1.0)


def test_a_window_that_ends_in_a_gap_is_not_covered_there() -> None:
    times = [t for t in range(0, 10 * S, S // 100) if not 4 * S < t < 6 * S]
    counter = counter_curve(times, [t // 10_000 for t in times], 0, 1e-4)
    assert counter.integrate([(3 * S, 5 * S)]).coverage == pytest.approx(0.5, abs=0.01)


def test_a_counter_that_never_moves_says_nothing() -> None:
    counter = counter_curve([0, S, 2 * S], [7, 7, 7], 0, 1.0)
    assert counter.integrate([(0, 2 * S)]).coverage == 0.0
