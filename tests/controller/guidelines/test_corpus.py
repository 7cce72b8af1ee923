"""Corpus figures against direct computation, and the bootstrap's error against theory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgerig_controller.guidelines.corpus import (
    Draws,
    confusion_sums,
    corpus_contrast,
    macro_f1,
    percentile_allowed,
    rmse,
    squared_error_sums,
)
from edgerig_controller.guidelines.scores import ScoreTable

USERS = np.repeat(np.arange(10), 3)


def table(configs: int = 2, seeds: int = 4) -> ScoreTable:
    scores = np.random.default_rng(3).random((configs, 30, seeds))
    return ScoreTable("t", tuple("ab"[:configs]), tuple(range(seeds)), USERS, scores)


def test_rmse_of_the_sums_is_that_of_the_items() -> None:
    found = table()
    got = rmse(squared_error_sums(found, scale=4.0).sum(axis=(1, 2)))
    expected = np.sqrt(((4 * (1 - found.scores)) ** 2).mean(axis=(1, 2)))
    np.testing.assert_allclose(got, expected)


def test_a_missing_score_is_refused() -> None:
    found = table()
    found.scores[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="every item"):
        squared_error_sums(found, scale=4.0)


def test_macro_f1_of_the_sums_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(5)
    gold, said = rng.integers(0, 3, 30), rng.integers(-1, 3, (1, 30, 1))
    got = macro_f1(confusion_sums(said, gold, USERS, 4).sum(axis=(1, 2)))
    f1 = []
    for label in range(3):
        hits = ((said[0, :, 0] == label) & (gold == label)).sum()
        f1.append(2 * hits / ((said == label).sum() + (gold == label).sum()))
    # The fourth label never occurs and counts 0.
    assert got[0] == pytest.approx(sum(f1) / 4)


def test_a_draw_of_everything_once_is_the_figure_itself() -> None:
    sums = squared_error_sums(table(), scale=4.0)
    once = Draws(np.ones((1, 10)), np.ones((1, 4)))
    np.testing.assert_allclose(once.figures(sums, rmse)[0], rmse(sums.sum(axis=(1, 2))))


def test_draws_keep_their_numbers_and_repeat() -> None:
    first, second = Draws.of(10, 4, draws=50), Draws.of(10, 4, draws=50)
    assert set(first.users.sum(axis=1)) == {10.0} and set(first.seeds.sum(axis=1)) == {4.0}
    np.testing.assert_array_equal(first.users, second.users)


def test_the_error_of_a_mean_is_the_sum_of_its_parts() -> None:
    # Users and seeds add up without meeting: V = s_u^2/U + s_s^2/S exactly.
    rng = np.random.default_rng(9)
    user, seed = rng.normal(size=30), rng.normal(size=6)
    values = user[:, None] + seed[None, :]
    sums = np.stack([values, np.ones_like(values)], axis=-1)[None]
    got = corpus_contrast(
        "t",
        sums,
        np.array([1.0]),
        lambda s: s[..., 0] / s[..., 1],
        Draws.of(30, 6, draws=20000),
        n_items=30,
        unit="u",
    )
    expected = math.sqrt(user.var(ddof=1) / 30 + seed.var(ddof=1) / 6)
    assert got.se == pytest.approx(expected, rel=0.02)
    assert got.df is not None and 5 <= got.df <= 34


def test_equal_configurations_have_no_spread_and_one_user_is_refused() -> None:
    sums = squared_error_sums(table(1), scale=4.0)
    twice = np.concatenate([sums, sums])
    weights, draws = np.array([1.0, -1.0]), Draws.of(10, 4, draws=50)
    got = corpus_contrast("t", twice, weights, rmse, draws, n_items=30, unit="u")
    assert (got.estimate, got.se) == (0.0, None)
    with pytest.raises(ValueError, match="one user"):
        corpus_contrast("t", twice[:, :1], weights, rmse, Draws.of(1, 4, draws=5), n_items=3, unit="u")


def test_percentile_intervals_need_twenty_of_each() -> None:
    assert not percentile_allowed(200, 5)
    assert percentile_allowed(20, 20)
    assert percentile_allowed(20, 1, seed_is_factor=False)
    assert not percentile_allowed(19, 1, seed_is_factor=False)
