"""Fronts against a plain search, known volumes and planted uncertainty."""

from __future__ import annotations

import numpy as np
import pytest

from edgerig_controller.guidelines.pareto import (
    Axis,
    best_by_utility,
    front,
    hypervolume,
    hypervolume_interval,
    infeasible,
    on_front,
)

QUALITY, ENERGY, RAM = Axis("quality", True, 0.0), Axis("j", False, 0.0), Axis("ram", False, 0.0)


def test_the_front_is_that_of_a_plain_search() -> None:
    points = np.random.default_rng(1).random((30, 3))
    gains = points * [1, -1, -1]
    plain = [not any((g >= own).all() and (g > own).any() for g in gains) for own in gains]
    assert on_front(points, [QUALITY, ENERGY, RAM]).tolist() == plain


def test_differences_below_epsilon_do_not_dominate() -> None:
    points = np.array([[70.0, 5.0], [71.0, 5.0], [75.0, 5.0]])
    coarse = [Axis("quality", True, 2.0), Axis("j", False, 0.5)]
    assert on_front(points, coarse).tolist() == [False, False, True]
    assert on_front(points[:2], coarse).tolist() == [True, True]


def test_a_much_cheaper_one_dominates_where_quality_is_the_same() -> None:
    points = np.array([[70.0, 5.0], [71.0, 9.0]])
    assert on_front(points, [Axis("quality", True, 2.0), Axis("j", False, 0.5)]).tolist() == [True, False]


def test_certified_excluded_and_undetermined_come_from_the_draws() -> None:
    rng = np.random.default_rng(2)
    means = np.array([[70.0, 5.0], [60.0, 9.0], [69.9, 5.0]])
    draws = means + rng.normal(size=(500, 3, 2)) * [1.0, 0.01]
    got = {
        member.config_id: member.state for member in front(("best", "worst", "twin"), draws, [QUALITY, RAM])
    }
    assert got["worst"] == "excluded"
    assert got["best"] == got["twin"] == "undetermined"
    alone = front(("best", "worst"), draws[:, :2], [QUALITY, RAM])
    assert [member.state for member in alone] == ["certified", "excluded"]


def test_limits_are_held_against_the_worst_run_and_unmeasured_is_not_fitting() -> None:
    runs = {"a": {"ram": [3.0, 4.1]}, "b": {"ram": [3.0]}, "c": {"p95_s": [0.1]}}
    got = infeasible(runs, {"ram": 4.0})
    assert set(got) == {"a", "c"}
    assert "4.1" in got["a"] and "not measured" in got["c"]
    assert "b" in infeasible(runs, {"ram": 3.2}, margin=0.1)


def test_the_user_s_utility_gives_a_probability() -> None:
    draws = np.array([[[1.0, 1.0], [3.0, 2.0]], [[1.0, 1.0], [1.5, 2.0]]])
    assert best_by_utility(("a", "b"), draws, lambda x: x[..., 0] - x[..., 1]) == {"a": 0.5, "b": 0.5}


def test_the_volume_of_boxes_is_known() -> None:
    axes, corner = [QUALITY, ENERGY], np.array([0.0, 10.0])
    assert hypervolume(np.array([[2.0, 7.0]]), corner, axes) == pytest.approx(6.0)
    # Two boxes 2 x 3 and 1 x 5 that overlap in 1 x 3.
    assert hypervolume(np.array([[2.0, 7.0], [1.0, 5.0]]), corner, axes) == pytest.approx(8.0)
    assert hypervolume(np.array([[2.0, 11.0]]), corner, axes) == 0.0


def test_the_volume_in_three_dimensions_is_that_of_a_count() -> None:
    rng = np.random.default_rng(7)
    points, axes = rng.random((6, 3)), [QUALITY, Axis("b", True, 0.0), Axis("c", True, 0.0)]
    inside = (rng.random((40000, 1, 3)) <= points[None]).all(axis=2).any(axis=1).mean()
    assert hypervolume(points, np.zeros(3), axes) == pytest.approx(float(inside), abs=0.012)


def test_the_volume_s_interval_holds_the_middle_of_the_draws() -> None:
    draws = np.array([2.0, 7.0]) + 0.1 * np.random.default_rng(3).normal(size=(300, 1, 2))
    low, high = hypervolume_interval(draws, np.array([0.0, 10.0]), [QUALITY, ENERGY])
    assert low < 6.0 < high
    assert high - low < 2.0


def test_points_of_another_number_of_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="axes"):
        on_front(np.ones((3, 2)), [QUALITY])
