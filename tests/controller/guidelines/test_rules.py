"""Rules on worlds with and without a pattern to learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgerig_controller.guidelines.rules import (
    Contexts,
    Leaf,
    Split,
    Tie,
    decide,
    fit,
    learn,
    ties,
    validate,
    words,
)

ACTIONS = ("none", "rag", "lora", "rag+lora")


def contexts(pattern: float, seed: int, tasks: int = 12, noise: float = 1.0) -> Contexts:
    """Tasks x 3 RAM tiers x 2 amounts of history; RAG is better by the pattern where a task is hard."""
    rng = np.random.default_rng(seed)
    names = [f"task-{t}" for t in range(tasks) for _ in range(6)]
    difficulty = np.repeat(np.linspace(0, 1, tasks), 6)
    tier, history = np.tile([4.0, 4.0, 8.0, 8.0, 16.0, 16.0], tasks), np.tile([4.0, 64.0], 3 * tasks)
    own = np.repeat(2.0 * rng.normal(size=(tasks, 4)), 6, axis=0)
    own[:, 1] += np.where(difficulty > 0.5, pattern, -pattern)
    halves = [own + noise * rng.normal(size=own.shape) for _ in range(2)]
    devices = tuple(f"box-{int(t)}" for t in tier)
    features = np.stack([difficulty, tier, history], axis=1)
    return Contexts(("D1", "ram", "history"), ACTIONS, tuple(names), devices, features, halves[0], halves[1])


def test_a_real_pattern_is_found_and_published() -> None:
    found = learn(contexts(10.0, seed=1), resamples=20)
    assert isinstance(found.tree, Split)
    assert found.tree.feature == 0 and 0.35 < found.tree.threshold < 0.65
    assert found.published
    assert found.validations[0].regret_rule < found.validations[0].regret_fixed
    assert found.root_share is not None and found.root_share >= 0.8


def test_without_a_pattern_rules_are_hardly_ever_published() -> None:
    published = sum(learn(contexts(0.0, seed=seed), resamples=1).published for seed in range(20))
    # Nominal 2.5 %; four of twenty would have a probability of 0.001.
    assert published <= 3


def test_in_sample_gain_is_more_than_what_holds_on_other_tasks() -> None:
    inside, outside = [], []
    for seed in range(10):
        found = contexts(0.0, seed=seed)
        tree = fit(found, np.ones(len(found.tasks), dtype=np.bool_))
        picks = [decide(tree, row) for row in found.features]
        best = found.chosen_on.mean(axis=0).max()
        inside.append(found.chosen_on[np.arange(len(picks)), picks].mean() - best)
        outside.append(validate(found, found.tasks, "task").gain.estimate or 0.0)
    assert np.mean(inside) > 0 > np.mean(outside)


def test_devices_are_left_out_too_where_there_are_several() -> None:
    found = contexts(10.0, seed=2)
    assert [v.left_out for v in learn(found, resamples=1).validations] == ["task", "device"]
    single = replace(found, devices=("box",) * len(found.devices))
    assert [v.left_out for v in learn(single, resamples=1).validations] == ["task"]


def test_one_action_that_is_always_best_is_a_leaf() -> None:
    found = contexts(0.0, seed=3)
    found.chosen_on[:, 2] += 100
    got = learn(found, resamples=1)
    assert got.tree == Leaf(2)
    assert (got.published, got.fixed_action, got.root_share) == (False, "lora", None)


def test_leaves_keep_enough_tasks_and_contexts() -> None:
    few = contexts(10.0, seed=4, tasks=4)
    got = fit(few, np.ones(len(few.tasks), dtype=np.bool_))
    # Four tasks cannot be split by difficulty into three and three.
    assert not (isinstance(got, Split) and got.feature == 0)


def test_a_rule_is_worded() -> None:
    tree = Split(0, 0.5, Leaf(2), Split(1, 8.0, Leaf(0), Leaf(1)))
    assert words(tree, contexts(0.0, seed=1)) == (
        "if D1 <= 0.5:\n  lora\nelse:\n  if ram <= 8:\n    none\n  else:\n    rag"
    )


def test_a_leaf_whose_best_two_cannot_be_told_apart_says_either_and_names_the_cheaper() -> None:
    found = contexts(0.0, seed=7)
    found.chosen_on[:, 0] += 50
    found.scored_on[:, 0] += 50
    # Nothing else comes near the first: it stands alone.
    assert ties(found, Leaf(0)) == {}
    found.chosen_on[:, 2] = found.chosen_on[:, 0] - 0.01
    found.scored_on[:, 2] = found.scored_on[:, 0] + 0.1 * (np.arange(len(found.tasks)) % 2 - 0.5)
    tied = ties(found, Leaf(0))
    assert tied == {(): Tie(0, 2, -1)}
    costs = np.tile([9.0, 1.0, 4.0, 1.0], (len(found.tasks), 1))
    priced = replace(found, costs=costs)
    assert words(Leaf(0), priced, ties(priced, Leaf(0))) == "either none or lora (cheaper: lora)"
    unknown = replace(found, costs=np.where(costs == 4.0, np.nan, costs))
    assert words(Leaf(0), unknown, ties(unknown, Leaf(0))) == "either none or lora"


def test_ties_are_found_in_the_leaf_where_they_are() -> None:
    found = contexts(10.0, seed=1)
    learned = learn(found, resamples=1)
    assert isinstance(learned.tree, Split)
    assert learned.ties == ties(found, learned.tree)
    # Actions 2 and 3 are alike by chance only; a leaf that is no tie leads by its lower bound.
    for way in learned.ties:
        assert len(way) in (1, 2)


def test_what_cannot_be_validated_is_refused() -> None:
    found = contexts(0.0, seed=1)
    with pytest.raises(ValueError, match="two tasks"):
        learn(replace(found, tasks=("t",) * len(found.tasks)))
    with pytest.raises(ValueError, match="length"):
        learn(replace(found, devices=("box",)))
