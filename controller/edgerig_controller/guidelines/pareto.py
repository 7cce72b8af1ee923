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

    Points that are worse than the reference on some axis add nothing. Unit: the
    product of the axes' units.
    """
    gain = _oriented(points, axes) - _oriented(reference[None], axes)
    return _volume(gain[(gain > 0).all(axis=1)])


def hypervolume_interval(
    replicates: Floats, reference: Floats, axes: Sequence[Axis], *, level: float = 0.95
) -> tuple[float, float]:
    """Returns the percentile interval of the hypervolume over joint draws."""
    drawn = [hypervolume(points, reference, axes) for points in replicates]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _oriented(points: Floats, axes: Sequence[Axis]) -> Floats:
    if points.shape[-1] != len(axes):
        raise ValueError(f"the points have {points.shape[-1]} axes, expected {len(axes)}")
    return np.asarray(points * np.array([1.0 if axis.larger_is_better else -1.0 for axis in axes]))


def _volume(gain: Floats) -> float:
    """Sweeps the last axis and adds slabs, each the volume of the points that reach it."""
    if not len(gain):
        return 0.0
    if gain.shape[1] == 1:
        return float(gain.max())
    ordered = gain[np.argsort(-gain[:, -1])]
    heights = np.r_[ordered[:, -1], 0.0]
    slabs = heights[:-1] - heights[1:]
    return float(sum(slab * _volume(ordered[: i + 1, :-1]) for i, slab in enumerate(slabs) if slab > 0))
