"""Fronts against a plain search, known volumes and planted uncertainty."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from edgerig_controller.guidelines.pareto import (
    Axis,
    best_by_utility,
    front,
    hypervolume,
    hypervolume_interval,
    hypervolumes,
    infeasible,
    on_front,
    volumes,
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
    inside = np.any(np.all(rng.random((40000, 1, 3)) <= points[None], axis=2), axis=1).mean()
    assert hypervolume(points, np.zeros(3), axes) == pytest.approx(float(inside), abs=0.012)


def inclusion_exclusion(gains: np.ndarray) -> float:
    """The volume of a union of boxes from 0, by its definition: an algorithm unlike the one under test."""
    total = 0.0
    for size in range(1, len(gains) + 1):
        for subset in combinations(range(len(gains)), size):
            total -= (-1.0) ** size * float(gains[list(subset)].min(axis=0).prod())
    return total


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_the_volume_is_that_of_inclusion_and_exclusion(objectives: int, count: int) -> None:
    rng = np.random.default_rng([objectives, count])
    axes = [Axis(str(at), at % 2 == 0, 0.0) for at in range(objectives)]
    sign = np.array([1.0 if axis.larger_is_better else -1.0 for axis in axes])
    for _ in range(20):
        points = np.round(rng.uniform(-1, 3, size=(count, objectives)), 1)
        gains = points * sign
        inside = gains[(gains > 0).all(axis=1)]
        expected = inclusion_exclusion(inside) if len(inside) else 0.0
        assert hypervolume(points, np.zeros(objectives), axes) == pytest.approx(expected, abs=1e-12)


def test_many_draws_at_once_are_the_draws_one_by_one() -> None:
    drawn = np.random.default_rng(5).uniform(-0.5, 1, size=(40, 6, 3))
    axes = [QUALITY, ENERGY, RAM]
    corner = np.array([0.1, 0.7, 0.9])
    together = hypervolumes(drawn, corner, axes)
    assert together == pytest.approx([hypervolume(points, corner, axes) for points in drawn])
    assert together.max() > 0


def test_the_interval_covers_the_true_volume() -> None:
    rng, axes, corner = np.random.default_rng(8), [QUALITY, ENERGY], np.array([0.0, 1.2])
    hits = 0
    for _ in range(200):
        truth = rng.uniform(0.2, 0.9, size=(5, 2))
        spread = 0.04 * np.sqrt(rng.chisquare(8) / 8)
        seen = truth + 0.04 * rng.standard_normal(truth.shape)
        drawn = seen + spread * rng.standard_t(8, size=(300, *truth.shape))
        estimate = hypervolume(seen, corner, axes)
        low, high = hypervolume_interval(drawn, corner, axes, estimate=estimate)
        assert low <= estimate <= high
        hits += low <= hypervolume(truth, corner, axes) <= high
    # Nominal 190 of 200; 178 or fewer would have a probability of 0.001 at 0.94.
    assert hits >= 178


def test_methods_are_compared_by_what_they_reach_and_by_what_is_lost_without_them() -> None:
    # Of a box of 100 points by 10 J: A spans 60 x 5, B 40 x 8, and both together 60 x 5 + 40 x 3.
    means = np.array([[60.0, 5.0], [40.0, 2.0], [30.0, 9.0]])
    drawn = means + np.random.default_rng(9).normal(size=(400, 3, 2)) * [1.0, 0.1]
    corner, axes = np.array([0.0, 10.0]), [QUALITY, ENERGY]
    got = {v.group: v for v in volumes({"a": [0], "b": [1], "c": [2]}, means, drawn, corner, axes)}
    assert got["a"].volume == pytest.approx(300.0) and got["b"].volume == pytest.approx(320.0)
    assert got["a"].lost == pytest.approx(100.0) and got["b"].lost == pytest.approx(120.0)
    assert got["c"].lost == 0.0 and got["c"].lost_high == pytest.approx(0.0, abs=1e-9)
    assert got["a"].lost_low < 100.0 < got["a"].lost_high
    assert got["a"].low < 300.0 < got["a"].high
    alone = volumes({"all": [0, 1, 2]}, means, drawn, corner, axes)[0]
    assert alone.lost == alone.volume == pytest.approx(420.0)


def test_points_of_another_number_of_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="axes"):
        on_front(np.ones((3, 2)), [QUALITY])
