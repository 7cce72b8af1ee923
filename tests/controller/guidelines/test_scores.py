"""Score tables against the row-wise estimators, and what they do with gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgerig_controller.guidelines.estimate import paired_contrast
from edgerig_controller.guidelines.scores import ScoreTable, average


def table_of(cube: np.ndarray, items_per_user: int = 2) -> ScoreTable:
    """Writes a configurations x items x seeds array as a table of users in order."""
    configs = tuple(f"c{i}" for i in range(cube.shape[0]))
    seeds = tuple(range(1, cube.shape[2] + 1))
    return ScoreTable("task", configs, seeds, np.arange(cube.shape[1]) // items_per_user, cube)


def random_cube(configs: int = 3, items: int = 24, seeds: int = 5) -> np.ndarray:
    return np.random.default_rng(4).random((configs, items, seeds))


def rows_of(cube: np.ndarray, config: int) -> list[tuple[str, str, int, float]]:
    return [
        (f"u{item // 2:03}", f"i{item:03}", seed, float(cube[config, item, seed]))
        for item in range(cube.shape[1])
        for seed in range(cube.shape[2])
    ]


def test_a_pair_is_the_row_wise_paired_contrast_in_points() -> None:
    cube = random_cube()
    expected = paired_contrast(rows_of(cube, 0), rows_of(cube, 2))
    got = table_of(cube).contrast({"c0": 1.0, "c2": -1.0})
    assert got is not None and expected.low is not None and expected.high is not None
    assert got.estimate == pytest.approx(100 * (expected.estimate or 0.0))
    assert got.interval(0.95) == pytest.approx((100 * expected.low, 100 * expected.high))
    assert (got.n_users, got.n_items, got.n_seeds) == (12, 24, 5)


def test_codes_in_any_order_give_the_same_table_and_repeats_are_averaged() -> None:
    cube = random_cube()
    config, item, seed = (axis.ravel() for axis in np.indices(cube.shape))
    order = np.random.default_rng(1).permutation(cube.size)
    columns = {"config": config, "user": item // 2, "item": item, "seed": seed, "score": cube.ravel()}
    shuffled = {name: np.concatenate([column[order]] * 2) for name, column in columns.items()}
    got = ScoreTable.of_codes("task", ("c0", "c1", "c2"), (1, 2, 3, 4, 5), **shuffled)
    np.testing.assert_allclose(got.scores, cube)
    np.testing.assert_array_equal(got.user_of_item, np.arange(24) // 2)


def test_two_users_may_name_their_items_alike() -> None:
    zero, one = np.array([0, 0]), np.array([0, 1])
    got = ScoreTable.of_codes(
        "t", ("c",), (1,), config=zero, user=one, item=zero, seed=zero, score=np.array([1.0, 0.0])
    )
    assert got.scores.shape == (1, 2, 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_refused(bad: float) -> None:
    zero = np.array([0])
    with pytest.raises(ValueError, match="not a finite number"):
        ScoreTable.of_codes(
            "t", ("c",), (1,), config=zero, user=zero, item=zero, seed=zero, score=np.array([bad])
        )


def test_columns_of_different_length_are_refused() -> None:
    zero = np.array([0])
    with pytest.raises(ValueError, match="differ in length"):
        ScoreTable.of_codes(
            "t", ("c",), (1,), config=zero, user=zero, item=zero, seed=zero, score=np.array([1.0, 2.0])
        )


def test_a_seed_that_one_side_never_ran_is_left_out_for_both() -> None:
    cube = random_cube(2)
    cube[1, :, 3] = np.nan
    got = table_of(cube).contrast({"c0": 1.0, "c1": -1.0})
    rest = table_of(np.delete(cube, 3, axis=2)).contrast({"c0": 1.0, "c1": -1.0})
    assert got is not None and rest is not None
    assert (got.estimate, got.se, got.n_seeds) == (rest.estimate, rest.se, 4)
    assert "1 seeds left out" in got.note


def test_an_item_that_one_seed_lacks_is_left_out() -> None:
    cube = random_cube(2)
    cube[0, 0, 1] = np.nan
    got = table_of(cube).contrast({"c0": 1.0, "c1": -1.0})
    assert got is not None
    assert got.n_items == 23
    assert "1 items left out" in got.note


def test_a_configuration_that_failed_everywhere_gives_no_contrast() -> None:
    cube = random_cube(2)
    cube[1] = np.nan
    table = table_of(cube)
    assert table.contrast({"c0": 1.0, "c1": -1.0}) is None
    assert (table.has("c0"), table.has("c1"), table.has("c9")) == (True, False, False)


def test_an_unknown_configuration_is_named() -> None:
    with pytest.raises(ValueError, match="'c7'"):
        table_of(random_cube()).contrast({"c7": 1.0})


def test_halves_share_no_user_and_no_seed() -> None:
    table = table_of(random_cube())
    first, second = table.half(True), table.half(False)
    assert not set(first.user_of_item) & set(second.user_of_item)
    assert not set(first.seeds) & set(second.seeds)
    assert len(first.user_of_item) + len(second.user_of_item) == 24


def test_few_seeds_stay_in_both_halves_and_one_user_cannot_be_split() -> None:
    assert table_of(random_cube(seeds=3)).half(True).seeds == (1, 2, 3)
    with pytest.raises(ValueError, match="one user"):
        table_of(random_cube(items=2)).half(True)


def test_components_are_those_that_made_the_world() -> None:
    rng = np.random.default_rng(8)
    users, seeds = 400, 60
    means = (
        2 * rng.normal(size=(users, 1)) + rng.normal(size=(1, seeds)) + 3 * rng.normal(size=(users, seeds))
    )
    got = table_of(means[None], items_per_user=1).contrast({"c0": 1.0}, scale=1.0)
    assert got is not None and got.components is not None
    # Relative standard errors of the three estimates are about 7 %, 18 % and 1 %.
    assert got.components == pytest.approx((4.0, 1.0, 9.0), rel=0.5)
    assert got.components[0] == pytest.approx(4.0, rel=0.25)
    assert got.components[2] == pytest.approx(9.0, rel=0.04)


def test_the_average_of_two_pairs_is_the_mean_of_their_contrasts() -> None:
    table = table_of(random_cube(4))
    pairs = [{"c0": 1.0, "c1": -1.0}, {"c2": 1.0, "c3": -1.0}]
    both, apart = table.contrast(average(pairs)), [table.contrast(pair) for pair in pairs]
    assert both is not None
    assert both.estimate == pytest.approx(sum(c.estimate for c in apart if c is not None) / 2)


def paired(plus: list[float], minus: list[float]) -> ScoreTable:
    """Two configurations on items of one user each, under one seed."""
    scores = np.array([[[value] for value in plus], [[value] for value in minus]])
    return ScoreTable("t", ("a", "b"), (7,), np.arange(len(plus)), scores)


def test_mcnemar_counts_the_items_that_one_side_alone_answers() -> None:
    found = paired([1, 1, 1, 0, 0, 1, 1, 1], [0, 0, 1, 1, 0, 0, 0, 0]).mcnemar({"b": -1.0, "a": 1.0})
    assert found is not None and (found.seed, found.won, found.lost) == (7, 5, 1)
    # Exact two-sided binomial: 2 (C(6,0) + C(6,1)) / 2^6.
    assert found.p == pytest.approx(2 * 7 / 64)
    same = paired([1, 0], [1, 0]).mcnemar({"a": 1.0, "b": -1.0})
    assert same is not None and same.p == 1.0


def test_mcnemar_is_for_one_pair_of_right_or_wrong_only() -> None:
    assert paired([0.5, 1], [1, 0]).mcnemar({"a": 1.0, "b": -1.0}) is None
    assert paired([1, 0], [0, 1]).mcnemar({"a": 0.5, "b": -0.5}) is None
    empty = paired([1.0, float("nan")], [float("nan"), 1.0])
    assert empty.mcnemar({"a": 1.0, "b": -1.0}) is None


def test_the_micro_figure_weighs_items_equally() -> None:
    # One user with three items where the first side wins, one user with one item where it loses.
    users = np.array([0, 0, 0, 1])
    scores = np.array([[[1.0], [1.0], [1.0], [0.0]], [[0.0], [0.0], [0.0], [1.0]]])
    found = ScoreTable("t", ("a", "b"), (1,), users, scores).contrast({"a": 1.0, "b": -1.0})
    assert found is not None
    assert found.estimate == pytest.approx(0.0) and found.micro == pytest.approx(50.0)
