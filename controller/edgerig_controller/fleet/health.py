"""Control charts over the golden trials of one device: is it still what it was? Pure functions.

Two charts per figure. A Shewhart chart of single values finds a large sudden
change: the limits are the prediction interval of one more value from the same
device (Student's t over the baseline, both sides 0.27 % as in Montgomery,
Introduction to Statistical Quality Control, 7th ed., 6.4), so that a short
baseline has wide limits instead of wrong ones. An exponentially weighted
moving average finds a small lasting one (lambda 0.2 and L 2.962, Lucas and
Saccucci 1990, table 3: about 500 values between false alarms), widened by the
uncertainty of the baseline's mean.

A change that is significant and smaller than what matters (2 %) is no drift:
boards that repeat to a permille must not be taken out of work for a permille.
Times and databases are the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from scipy.stats import norm
from scipy.stats import t as student_t

PointVerdict = Literal["learning", "steady", "drifted"]

BASELINE_COUNT = 8
EWMA_LAMBDA = 0.2
EWMA_L = 2.962
SHEWHART_TAIL = 0.00135
RELEVANT_SHARE = 0.02


@dataclass(frozen=True)
class Baseline:
    """What was normal: mean and standard deviation of the first values."""

    count: int
    mean: float
    sd: float


@dataclass(frozen=True)
class Judgement:
    """What the charts say of the newest value, in the figure's unit.

    `low` and `high` are the Shewhart limits, `ewma_low` and `ewma_high` those
    of the average; all None while the baseline is learnt.
    """

    verdict: PointVerdict
    detail: str
    baseline: Baseline | None = None
    low: float | None = None
    high: float | None = None
    ewma: float | None = None
    ewma_low: float | None = None
    ewma_high: float | None = None


def judge(
    values: Sequence[float], *, baseline_count: int = BASELINE_COUNT, figure_count: int = 1
) -> Judgement:
    """Judges the newest of the values of one figure, given in the order of time.

    The first `baseline_count` values say what is normal; while there are no
    more than those the verdict is `learning`. `figure_count` figures are judged
    at the same time: each gets its share of the false alarms (Bonferroni).

    Raises:
        ValueError: no values, one that is not finite, or a baseline of less than 3.
    """
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError("a control chart takes one finite value at least")
    if baseline_count < 3:
        raise ValueError("fewer than 3 values have no useful spread")
    if len(values) <= baseline_count:
        return Judgement("learning", f"value {len(values)} of {baseline_count} of the baseline")
    first, later = values[:baseline_count], values[baseline_count:]
    baseline = Baseline(baseline_count, fmean(first), stdev(first))
    relevant = RELEVANT_SHARE * abs(baseline.mean)
    half = max(shewhart_half_width(baseline, figure_count), relevant)
    ewma = baseline.mean
    for value in later:
        ewma = EWMA_LAMBDA * value + (1 - EWMA_LAMBDA) * ewma
    ewma_half = max(ewma_half_width(baseline, len(later), figure_count), relevant)
    newest = values[-1]
    detail = _detail(newest, baseline, half, ewma, ewma_half)
    return Judgement(
        "drifted" if detail else "steady",
        detail or f"{_share(newest, baseline)} from the baseline",
        baseline,
        baseline.mean - half,
        baseline.mean + half,
        ewma,
        baseline.mean - ewma_half,
        baseline.mean + ewma_half,
    )


def shewhart_half_width(baseline: Baseline, figure_count: int = 1) -> float:
    """Returns half the prediction interval of one more value: t * s * sqrt(1 + 1/n)."""
    quantile = float(student_t.isf(SHEWHART_TAIL / figure_count, baseline.count - 1))
    return quantile * baseline.sd * math.sqrt(1 + 1 / baseline.count)


def ewma_half_width(baseline: Baseline, later_count: int, figure_count: int = 1) -> float:
    """Returns half the width of the average's limits after so many values.

    L * s * sqrt(lambda / (2 - lambda) * (1 - (1 - lambda)^(2 i)) + 1 / n), where
    1 / n is the variance of the baseline's mean.
    """
    settling = 1 - (1 - EWMA_LAMBDA) ** (2 * later_count)
    variance = EWMA_LAMBDA / (2 - EWMA_LAMBDA) * settling + 1 / baseline.count
    # The tail of L under the normal law, taken from Student's t for the short baseline.
    tail = float(norm.sf(EWMA_L)) / figure_count
    return float(student_t.isf(tail, baseline.count - 1)) * baseline.sd * math.sqrt(variance)


def _detail(newest: float, baseline: Baseline, half: float, ewma: float, ewma_half: float) -> str:
    if abs(newest - baseline.mean) > half:
        return (
            f"{newest:.6g} is {_share(newest, baseline)} from the baseline {baseline.mean:.6g}, "
            f"outside ±{half:.3g}"
        )
    if abs(ewma - baseline.mean) > ewma_half:
        return (
            f"the average of the last values, {ewma:.6g}, is {_share(ewma, baseline)} from the baseline "
            f"{baseline.mean:.6g}, outside ±{ewma_half:.3g}"
        )
    return ""


def _share(value: float, baseline: Baseline) -> str:
    if baseline.mean == 0:
        return f"{value - baseline.mean:+.3g}"
    return f"{100 * (value - baseline.mean) / abs(baseline.mean):+.1f} %"
