"""Which configurations are worth choosing: Pareto fronts with uncertainty.

Configurations that do not fit the limits are removed first and listed. One
dominates another if it is no worse on every axis by more than that axis'
smallest effect of interest and better on one axis by more than it (epsilon dominance).
How sure that is comes from joint bootstrap replicates: the share of draws in
which a configuration lies on the front. Source of the hypervolume: Zitzler and
Thiele (1998). No single score ranks anything; a utility is the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgerig_controller.guidelines.resources import upper_bound
from edgerig_controller.guidelines.scores import Floats

CERTIFIED, EXCLUDED = 0.9, 0.1
LEVEL = 0.95
PIECE = 100


@dataclass(frozen=True)
class Axis:
    """One axis of the front; `epsilon` is the smallest difference that counts, in the axis' unit."""

    name: str
    larger_is_better: bool
    epsilon: float


@dataclass(frozen=True)
class Member:
    """A configuration and how probably it lies on the front."""

    config_id: str
    probability: float

    @property
    def state(self) -> str:
        """Returns certified (0.9 and more), excluded (0.1 and less) or undetermined."""
        if self.probability >= CERTIFIED:
            return "certified"
        return "excluded" if self.probability <= EXCLUDED else "undetermined"


def infeasible(
    runs: Mapping[str, Mapping[str, Sequence[float]]], limits: Mapping[str, float], *, margin: float = 0.0
) -> dict[str, str]:
    """Returns why configurations do not fit.

    Args:
        runs: configuration -> figure -> one value per run.
        limits: figure -> largest value allowed, in the figure's unit.
        margin: relative margin added to the largest run.
    """
    reasons = {}
    for config_id, figures in runs.items():
        for name, limit in limits.items():
            if not figures.get(name):
                reasons[config_id] = f"{name} was not measured"
            elif (needed := upper_bound(figures[name], margin=margin)) > limit:
                reasons[config_id] = f"{name} reaches {needed:.6g}, the limit is {limit:.6g}"
    return reasons


def on_front(points: Floats, axes: Sequence[Axis]) -> npt.NDArray[np.bool_]:
    """Tells which points no other point dominates.

    Args:
        points: shape (..., configurations, axes); leading axes are draws.
        axes: direction and epsilon of each.

    Returns:
        Shape (..., configurations).

    Raises:
        ValueError: the last dimension is not that of the axes.
    """
    gain, epsilon = _oriented(points, axes), np.array([axis.epsilon for axis in axes])
    # difference[..., i, j, axis]: how much better j is than i.
    difference = gain[..., None, :, :] - gain[..., :, None, :]
    no_worse = (difference >= -epsilon).all(axis=-1)
    better = (difference > epsilon).any(axis=-1)
    return np.asarray(~(no_worse & better).any(axis=-1))


def front(config_ids: Sequence[str], replicates: Floats, axes: Sequence[Axis]) -> tuple[Member, ...]:
    """Returns every configuration with its probability of lying on the front.

    Args:
        config_ids: the feasible configurations.
        replicates: joint draws, shape (draws, configurations, axes).
        axes: direction and epsilon of each.
    """
    # Every pair of configurations is compared in every draw: in pieces, that memory stays small.
    pieces = [on_front(replicates[at : at + PIECE], axes) for at in range(0, len(replicates), PIECE)]
    share = np.concatenate(pieces).mean(axis=0)
    return tuple(Member(name, float(value)) for name, value in zip(config_ids, share, strict=True))


def best_by_utility(
    config_ids: Sequence[str], replicates: Floats, utility: Callable[[Floats], Floats]
) -> dict[str, float]:
    """Returns how often each configuration has the highest utility (draws, configurations, axes in)."""
    winners = utility(replicates).argmax(axis=-1)
    share = np.bincount(winners, minlength=len(config_ids)) / len(winners)
    return dict(zip(config_ids, share.tolist(), strict=True))


def hypervolume(points: Floats, reference: Floats, axes: Sequence[Axis]) -> float:
    """Returns the volume between the points (configurations x axes) and a reference point.

    Exact for any number of axes. Points that are worse than the reference on some axis add nothing.
    Unit: the product of the axes' units.
    """
    return float(hypervolumes(points[None], reference, axes)[0])


def hypervolumes(replicates: Floats, reference: Floats, axes: Sequence[Axis]) -> Floats:
    """Returns the hypervolume of every draw (draws, configurations, axes); see `hypervolume`."""
    gain = _oriented(replicates, axes) - _oriented(reference[None], axes)
    # A point that is no better somewhere spans no box: it goes into the corner.
    inside = np.asarray((gain > 0).all(axis=-1))
    return _volumes(np.where(inside[..., None], gain, 0.0))


@dataclass(frozen=True)
class Volume:
    """The hypervolume that a group of configurations reaches, and what the front loses without the group.

    `low` and `high` bound the volume, `lost_low` and `lost_high` the loss, both at 95 %.
    """

    group: str
    count: int
    volume: float
    low: float
    high: float
    lost: float
    lost_low: float
    lost_high: float


def volumes(
    groups: Mapping[str, Sequence[int]],
    means: Floats,
    replicates: Floats,
    reference: Floats,
    axes: Sequence[Axis],
    *,
    level: float = LEVEL,
) -> tuple[Volume, ...]:
    """Compares groups of configurations (such as methods) by the hypervolume of their fronts.

    Args:
        groups: name to positions of its configurations.
        means: estimates, (configurations, axes).
        replicates: joint draws, (draws, configurations, axes).
        reference: fixed beforehand, (axes,).
        axes: direction of each.
        level: of the intervals.

    Returns:
        The groups in the order given. All come from the same draws, so that they may be compared.
    """
    everything = list(range(means.shape[0]))
    whole, drawn_whole = (hypervolumes(v, reference, axes) for v in (means[None], replicates))
    found = []
    for name, mine in groups.items():
        rest = [at for at in everything if at not in set(mine)]
        own, drawn_own = (hypervolumes(v[:, list(mine)], reference, axes) for v in (means[None], replicates))
        without, drawn_without = (
            hypervolumes(v[:, rest], reference, axes) if rest else np.zeros(len(v))
            for v in (means[None], replicates)
        )
        # Less than nothing is rounding.
        volume, lost = float(own[0]), max(0.0, float(whole[0] - without[0]))
        low, high = centred_interval(drawn_own, volume, level)
        lost_low, lost_high = centred_interval(drawn_whole - drawn_without, lost, level)
        found.append(Volume(name, len(mine), volume, low, high, lost, lost_low, lost_high))
    return tuple(found)


def hypervolume_interval(
    replicates: Floats, reference: Floats, axes: Sequence[Axis], *, estimate: float, level: float = LEVEL
) -> tuple[float, float]:
    """Returns the interval of the hypervolume over joint draws, about the estimate."""
    return centred_interval(hypervolumes(replicates, reference, axes), estimate, level)


def centred_interval(drawn: Floats, estimate: float, level: float = LEVEL) -> tuple[float, float]:
    """Returns the percentiles of draws, moved by how far their median lies off the estimate; never below 0.

    A front of noisy points lies above the front of the true ones, and the draws are noisier
    than the estimate by as much again: the shift takes that second part away.
    """
    low, middle, high = np.quantile(drawn, [(1 - level) / 2, 0.5, (1 + level) / 2])
    shift = estimate - middle
    return max(0.0, float(low + shift)), max(0.0, float(high + shift))


def _oriented(points: Floats, axes: Sequence[Axis]) -> Floats:
    if points.shape[-1] != len(axes):
        raise ValueError(f"the points have {points.shape[-1]} axes, expected {len(axes)}")
    return np.asarray(points * np.array([1.0 if axis.larger_is_better else -1.0 for axis in axes]))


def _volumes(gain: Floats) -> Floats:
    """Sweeps the last axis from above and adds slabs, each the volume of the points that reach it.

    Shape (draws, configurations, axes), corners of boxes from 0; all draws at once.
    """
    count, axes = gain.shape[1:]
    if not count:
        return np.zeros(len(gain))
    if axes == 1:
        return np.asarray(gain[..., 0].max(axis=1))
    order = np.argsort(-gain[..., -1], axis=1, kind="stable")
    ordered = np.take_along_axis(gain, order[..., None], axis=1)
    heights = np.concatenate([ordered[..., -1], np.zeros((len(gain), 1))], axis=1)
    slabs = heights[:, :-1] - heights[:, 1:]
    if axes == 2:
        return np.asarray((slabs * np.maximum.accumulate(ordered[..., 0], axis=1)).sum(axis=1))
    total = np.zeros(len(gain))
    for at in range(count):
        if bool((slabs[:, at] > 0).any()):
            total += slabs[:, at] * _volumes(ordered[:, : at + 1, :-1])
    return total
