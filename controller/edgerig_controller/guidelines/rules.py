"""Decision rules learned from results, and published only if they generalise.

A context is a task on a device with an amount of history; its features are known
before deployment; its rewards are the utilities of the actions (quality under
the limits, minus what energy is worth; the user declares it). The learner
searches all trees of depth two or less over a coarse grid of thresholds. No
forests: a guideline must be readable.

In-sample gain is fiction at this scale, so a rule is judged on tasks and on
devices that it has not seen, fitted on one half of users and seeds and scored on the
other. It is published only if the lower bound of its gain over the best fixed
action, tasks being the clusters, is above zero. A leaf whose best two actions cannot be
told apart says so and names the cheaper. Pure; knows arrays only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgerig_controller.guidelines.estimate import MeanEstimate, mean_interval
from edgerig_controller.guidelines.scores import Floats

GRID_QUANTILES = (0.2, 0.4, 0.6, 0.8)
LEAST_TASKS, LEAST_CONTEXTS = 3, 9
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Leaf:
    """Do this."""

    action: int


@dataclass(frozen=True)
class Split:
    """Contexts with the feature at or below the threshold go left."""

    feature: int
    threshold: float
    left: Split | Leaf
    right: Split | Leaf


@dataclass(frozen=True)
class Contexts:
    """What rules are learned from and judged on.

    `features` is (contexts, features); `chosen_on` and `scored_on` are rewards
    (contexts, actions) from the two halves of users and seeds.
    """

    feature_names: tuple[str, ...]
    actions: tuple[str, ...]
    tasks: tuple[str, ...]
    devices: tuple[str, ...]
    features: Floats
    chosen_on: Floats
    scored_on: Floats
    # What an action costs, (contexts, actions) in any one unit, NaN where it is not known.
    costs: Floats | None = None


@dataclass(frozen=True)
class Tie:
    """Two actions of a leaf that cannot be told apart; `cheaper` is -1 where costs are not known."""

    first: int
    second: int
    cheaper: int


@dataclass(frozen=True)
class Validation:
    """Gains over the best fixed action on unseen groups; regrets against the oracle; unit of the rewards."""

    left_out: str
    gain: MeanEstimate
    regret_rule: float
    regret_fixed: float
    regret_random: float


@dataclass(frozen=True)
class Rule:
    """A tree with its validation; `published` says whether it may be stated at all."""

    tree: Split | Leaf
    fixed_action: str
    validations: tuple[Validation, ...]
    published: bool
    root_share: float | None
    threshold_interval: tuple[float, float] | None
    # Leaves that are ties, by the way to them: True = left.
    ties: Mapping[tuple[bool, ...], Tie]


def learn(contexts: Contexts, *, resamples: int = 100, seed: int = 20240607) -> Rule:
    """Learns a rule, validates it on tasks and devices left out, and says how stable it is.

    Raises:
        ValueError: fewer than two tasks, or lengths that differ.
    """
    _check(contexts)
    everything = np.ones(len(contexts.tasks), dtype=np.bool_)
    tree = fit(contexts, everything)
    by_task = validate(contexts, contexts.tasks, "task")
    validations = [by_task]
    if len(set(contexts.devices)) > 1:
        validations.append(validate(contexts, contexts.devices, "device"))
    low = by_task.gain.low
    share, interval = stability(contexts, tree, resamples=resamples, seed=seed)
    fixed = contexts.actions[int(contexts.chosen_on.mean(axis=0).argmax())]
    published = isinstance(tree, Split) and low is not None and low > 0
    return Rule(tree, fixed, tuple(validations), published, share, interval, ties(contexts, tree))


def fit(contexts: Contexts, among: Mask, depth: int = 2) -> Split | Leaf:
    """Finds the tree of the highest total reward on half A; of equals, the simplest."""
    return _best(contexts, np.flatnonzero(among), depth)[1]


def decide(tree: Split | Leaf, features: Floats) -> int:
    """Returns the action for one context's features."""
    while isinstance(tree, Split):
        tree = tree.left if features[tree.feature] <= tree.threshold else tree.right
    return tree.action


def validate(contexts: Contexts, groups: Sequence[str], name: str) -> Validation:
    """Leaves out each group in turn, learns on the rest and scores on half B of the group.

    The gain's interval has tasks (or devices) as clusters.
    """
    labels = np.array(groups)
    gains, rules, fixed, chance = [], [], [], []
    for group in sorted(set(groups)):
        held = labels == group
        tree = fit(contexts, ~held)
        constant = int(contexts.chosen_on[~held].mean(axis=0).argmax())
        rewards = contexts.scored_on[held]
        picks = [decide(tree, row) for row in contexts.features[held]]
        own, oracle = rewards[np.arange(len(rewards)), picks], rewards.max(axis=1)
        gains.append(float((own - rewards[:, constant]).mean()))
        rules.append(float((oracle - own).mean()))
        fixed.append(float((oracle - rewards[:, constant]).mean()))
        chance.append(float((oracle - rewards.mean(axis=1)).mean()))
    regrets = (float(np.mean(values)) for values in (rules, fixed, chance))
    return Validation(name, mean_interval(gains), *regrets)


def stability(
    contexts: Contexts, tree: Split | Leaf, *, resamples: int, seed: int
) -> tuple[float | None, tuple[float, float] | None]:
    """Resamples tasks: how often the root asks the same feature, and the 95 % range of its threshold."""
    if isinstance(tree, Leaf):
        return None, None
    rng, labels = np.random.default_rng(seed), np.array(contexts.tasks)
    names = sorted(set(contexts.tasks))
    thresholds = []
    for _ in range(resamples):
        drawn = rng.choice(names, size=len(names))
        rows = np.concatenate([np.flatnonzero(labels == name) for name in drawn])
        found = _best(contexts, rows, 2)[1]
        if isinstance(found, Split) and found.feature == tree.feature:
            thresholds.append(found.threshold)
    if not thresholds:
        return 0.0, None
    low, high = np.quantile(thresholds, [0.025, 0.975])
    return len(thresholds) / resamples, (float(low), float(high))


def ties(contexts: Contexts, tree: Split | Leaf) -> dict[tuple[bool, ...], Tie]:
    """Returns the leaves whose action is not surely better than the next best one, on the other half.

    The next best is that of half A; the difference is taken on half B, tasks being
    the clusters, at 95 %.
    """
    found = {}
    for way, leaf, rows in _leaves(contexts, tree, np.arange(len(contexts.tasks)), ()):
        if len(rows) == 0 or len(contexts.actions) < 2:
            continue
        order = np.argsort(-contexts.chosen_on[rows].mean(axis=0), kind="stable")
        second = int(next(action for action in order if action != leaf.action))
        labels = np.array(contexts.tasks)[rows]
        lead = contexts.scored_on[rows, leaf.action] - contexts.scored_on[rows, second]
        by_task = [float(lead[labels == name].mean()) for name in sorted(set(labels))]
        low = mean_interval(by_task).low
        if low is None or low <= 0:
            found[way] = Tie(leaf.action, second, _cheaper(contexts, rows, leaf.action, second))
    return found


def _cheaper(contexts: Contexts, rows: npt.NDArray[np.int64], first: int, second: int) -> int:
    if contexts.costs is None:
        return -1
    means = contexts.costs[rows][:, [first, second]].mean(axis=0)
    return -1 if bool(np.isnan(means).any()) else (first, second)[int(means[1] < means[0])]


def _leaves(
    contexts: Contexts, tree: Split | Leaf, rows: npt.NDArray[np.int64], way: tuple[bool, ...]
) -> list[tuple[tuple[bool, ...], Leaf, npt.NDArray[np.int64]]]:
    """Lists the leaves with the way to them and the contexts that arrive."""
    if isinstance(tree, Leaf):
        return [(way, tree, rows)]
    left = contexts.features[rows, tree.feature] <= tree.threshold
    return [
        *_leaves(contexts, tree.left, rows[left], (*way, True)),
        *_leaves(contexts, tree.right, rows[~left], (*way, False)),
    ]


def words(
    tree: Split | Leaf,
    contexts: Contexts,
    tied: Mapping[tuple[bool, ...], Tie] | None = None,
    way: tuple[bool, ...] = (),
) -> str:
    """Words a tree, one condition a line; a tied leaf says either."""
    indent = "  " * len(way)
    if isinstance(tree, Leaf):
        tie = (tied or {}).get(way)
        if tie is None:
            return f"{indent}{contexts.actions[tree.action]}"
        names = (contexts.actions[tie.first], contexts.actions[tie.second])
        cheaper = f" (cheaper: {contexts.actions[tie.cheaper]})" if tie.cheaper >= 0 else ""
        return f"{indent}either {names[0]} or {names[1]}{cheaper}"
    name = contexts.feature_names[tree.feature]
    left = words(tree.left, contexts, tied, (*way, True))
    right = words(tree.right, contexts, tied, (*way, False))
    return f"{indent}if {name} <= {tree.threshold:.4g}:\n{left}\n{indent}else:\n{right}"


def _best(contexts: Contexts, rows: npt.NDArray[np.int64], depth: int) -> tuple[float, Split | Leaf]:
    totals = contexts.chosen_on[rows].sum(axis=0)
    best: tuple[float, Split | Leaf] = (float(totals.max()), Leaf(int(totals.argmax())))
    if depth == 0 or len(rows) < 2 * LEAST_CONTEXTS:
        return best
    for feature in range(contexts.features.shape[1]):
        values = contexts.features[rows, feature]
        for threshold in np.unique(np.quantile(contexts.features[:, feature], GRID_QUANTILES)):
            goes_left = values <= threshold
            sides = rows[goes_left], rows[~goes_left]
            if not all(_large_enough(contexts, side) for side in sides):
                continue
            (left_total, left), (right_total, right) = (_best(contexts, side, depth - 1) for side in sides)
            # Of equal trees the simpler one stays: rounding must not grow a branch.
            if left_total + right_total > best[0] + 1e-9 * max(1.0, abs(best[0])):
                best = left_total + right_total, Split(feature, float(threshold), left, right)
    return best


def _large_enough(contexts: Contexts, rows: npt.NDArray[np.int64]) -> bool:
    return len(rows) >= LEAST_CONTEXTS and len({contexts.tasks[row] for row in rows}) >= LEAST_TASKS


def _check(contexts: Contexts) -> None:
    lengths = {
        len(column)
        for column in (
            contexts.tasks,
            contexts.devices,
            contexts.features,
            contexts.chosen_on,
            contexts.scored_on,
        )
    }
    if len(lengths) != 1:
        raise ValueError("the contexts' columns differ in length")
    if len(set(contexts.tasks)) < 2:
        raise ValueError("a rule needs at least two tasks to be validated")
