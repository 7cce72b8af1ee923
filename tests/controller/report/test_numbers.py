"""Figures as text: units, digits, signs."""

from __future__ import annotations

import pytest

from edgerig_controller.report.numbers import plain, points, quantity, signed_points, unit_of


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("ttft_s", "s"),
        ("decode_tokens_per_s", "tokens/s"),
        ("samples_per_s", "samples/s"),
        ("rss_peak_bytes", "B"),
        ("energy_j", "J"),
        ("power_mean_w", "W"),
        ("j_per_output_token", "J/output token"),
        ("swap_in_count", ""),
    ],
)
def test_the_unit_stands_in_the_name(name: str, unit: str) -> None:
    assert unit_of(name) == unit


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0042, "s", "4.20 ms"),
        (75.0, "s", "75.0 s"),
        (3 * 2.0**30, "B", "3.00 GiB"),
        (0.25, "J", "250 mJ"),
        (912.4, "tokens/s", "912 tokens/s"),
        (0.0, "s", "0.0 µs"),
        (0.0, "B", "0 B"),
        (512.0, "B", "512 B"),
    ],
)
def test_a_value_is_printed_in_a_unit_that_needs_no_powers_of_ten(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_digits_follow_the_interval() -> None:
    assert quantity(0.012345678, "s", 0.0119, 0.0129) == "12.35 ms [11.90, 12.90]"


def test_no_value_is_a_dash_and_not_a_zero() -> None:
    assert quantity(None, "s") == "–"
    assert points(None) == "–"


def test_scores_are_points_of_a_hundred() -> None:
    assert points(0.525, 0.481, 0.569) == "52.5 [48.1, 56.9]"


def test_differences_always_carry_their_sign() -> None:
    assert signed_points(0.021, -0.004, 0.046) == "+2.1 [−0.4, +4.6]"


def test_a_negative_value_that_rounds_to_zero_has_no_sign() -> None:
    assert plain(-0.0001, 5.0) == "0.0"
