"""Warm-up and window rules of the named protocols."""

from __future__ import annotations

import pytest

from edgerig_workload.protocol import RULES, rules_of, settled


@pytest.mark.parametrize(
    ("medians_s", "expected"),
    [([1.0, 1.0], False), ([5.0, 1.0, 1.01, 1.02], True), ([1.0, 1.03, 1.0], False)],
)
def test_settled_needs_three_medians_within_two_percent(medians_s: list[float], expected: bool) -> None:
    assert settled(medians_s) is expected


def test_quick_warms_up_with_two_requests() -> None:
    assert [RULES["quick"].warm([1.0] * count) for count in (1, 2)] == [False, True]


def test_standard_warm_up_ends_after_twenty_restless_requests() -> None:
    restless = [1.0 if place % 2 else 2.0 for place in range(20)]

    assert [RULES["standard"].warm(restless[:count]) for count in (19, 20)] == [False, True]


@pytest.mark.parametrize(
    ("count", "elapsed_s", "complete"), [(19, 99.0, False), (20, 29.0, False), (20, 30.0, True)]
)
def test_standard_block_needs_requests_and_time(count: int, elapsed_s: float, complete: bool) -> None:
    assert RULES["standard"].measured(count, elapsed_s, requested=5) is complete


def test_block_has_at_least_the_requests_of_the_trial() -> None:
    assert not RULES["quick"].measured(29, 99.0, requested=30)


def test_a_trial_sets_its_own_numbers_in_place_of_its_protocols() -> None:
    rules = rules_of("standard", {"idle_s": 0.5, "warmup_most": 1, "block_requests": 3, "block_s": 2.0})

    assert (rules.idle_s, rules.warmup_least, rules.warmup_most, rules.asks_to_settle) == (0.5, 1, 1, False)
    assert not rules.measured(3, 1.9, requested=1)
    assert rules.measured(3, 2.0, requested=1)


def test_without_numbers_of_its_own_a_trial_has_its_protocols() -> None:
    assert rules_of("publishable", {}) == RULES["publishable"]


@pytest.mark.parametrize(
    ("elapsed_s", "still", "complete"),
    [(299.0, True, False), (300.0, True, True), (300.0, False, False), (1800.0, False, True)],
)
def test_a_sustained_block_awaits_steady_temperatures_up_to_a_limit(
    elapsed_s: float, still: bool, complete: bool
) -> None:
    rules = rules_of("standard", {"sustained_s": 300.0})

    assert rules.measured(1000, elapsed_s, 20, still) is complete


def test_a_trial_says_what_steady_means() -> None:
    rules = rules_of(
        "standard", {"sustained_s": 300.0, "sustained_slope_c_per_min": 0.2, "sustained_window_s": 120.0}
    )

    assert (rules.slope_c_per_min, rules.window_s) == (0.2, 120.0)
    assert (RULES["standard"].slope_c_per_min, RULES["standard"].window_s) == (0.5, 60.0)
