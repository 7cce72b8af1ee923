"""Step times and rates of training."""

import pytest

from edgerig_agent.measure.training import training_figures, warmup_count
from tests.fakes.reports import MS, S, find, step


def test_the_first_three_steps_are_warm_up_and_at_most_a_third() -> None:
    assert [warmup_count(count) for count in (1, 2, 3, 6, 9, 60)] == [0, 0, 1, 2, 3, 3]


def test_warm_up_steps_are_not_in_the_distribution() -> None:
    steps = [step(i, i * S, 900 * MS if i < 3 else 100 * MS) for i in range(12)]
    assert find(training_figures(steps, [(0, 100 * S)]), "step_s", "mean").value == pytest.approx(0.1)


def test_rates_count_the_time_between_steps() -> None:
    steps = [step(i, i * 200 * MS, 100 * MS, tokens=50, samples=2) for i in range(9)]
    figures = training_figures(steps, [(0, 100 * S)])
    elapsed_s = 5 * 0.2 + 0.1  # six steps are left, one begins every 200 ms
    assert find(figures, "train_tokens_per_s", "ratio").value == pytest.approx(300 / elapsed_s)
    assert find(figures, "samples_per_s", "ratio").value == pytest.approx(12 / elapsed_s)


def test_what_lies_between_two_windows_of_training_is_no_training() -> None:
    # Fifty steps of 1 s, five minutes of scoring, fifty more.
    early = [step(i, i * S, S, tokens=1000) for i in range(50)]
    later = [step(i, (300 + i) * S, S, tokens=1000) for i in range(50, 100)]
    figures = training_figures([*early, *later], [(0, 50 * S), (350 * S, 400 * S)])
    assert find(figures, "train_tokens_per_s", "ratio").value == pytest.approx(1000)


def test_the_first_step_counts_from_the_begin_of_training() -> None:
    figures = training_figures([step(0, 5 * S, 500 * MS)], [(3 * S, 6 * S)])
    assert find(figures, "time_to_first_step_s", "sum").value == pytest.approx(2.5)


def test_without_a_mark_of_the_phase_there_is_no_time_to_the_first_step() -> None:
    figures = training_figures([step(0, 0, MS)], [])
    assert not [one for one in figures if one.name == "time_to_first_step_s"]


def test_a_percentile_of_too_few_steps_is_unavailable() -> None:
    figures = training_figures([step(i, i * S, MS) for i in range(10)], [(0, 100 * S)])
    assert "too_few_steps" in find(figures, "step_s", "p90").unavailable_reason


def test_no_training_has_no_figures() -> None:
    assert training_figures([], []) == []
