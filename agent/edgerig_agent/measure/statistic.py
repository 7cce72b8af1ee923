"""Percentiles that the number of requests allows, and their intervals; pure.

A percentile pXX of one run is reported only where 1 - p^n is at least 0.95: with
fewer requests the largest observation lies below it too often.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import ceil, exp, log

CONFIDENCE = 0.95

# A median is reported with its interval, and five values have none of 95 %.
_FEWEST_FOR_MEDIAN = 6


def is_admissible(share: float, request_count: int) -> bool:
    """Tells whether `request_count` requests are enough for the percentile `share` (0 to 1)."""
    if share == 0.5 and request_count < _FEWEST_FOR_MEDIAN:
        return False
    return 1.0 - share**request_count >= CONFIDENCE


def fewest_requests(share: float) -> int:
    """Returns the smallest number of requests that admits the percentile `share`."""
    count = 1
    while not is_admissible(share, count):
        count += 1
    return count


def percentile(ordered: Sequence[float], share: float) -> float:
    """Returns the percentile of sorted values: the smallest with at least `share` at or below it.

    The median of an even count is the mean of the two middle values.
    """
    count = len(ordered)
    if share == 0.5 and count % 2 == 0:
        return (ordered[count // 2 - 1] + ordered[count // 2]) / 2
    return ordered[max(0, ceil(share * count - 1e-9) - 1)]


def median_interval(ordered: Sequence[float]) -> tuple[float, float] | None:
    """Returns the shortest symmetric order-statistic interval of the median with 95 % confidence.

    None where even the whole range has less (five values or fewer).
    """
    count = len(ordered)
    best = None
    # Whole numbers: the binomial tail of a large count is below any float.
    term, tail, all_outcomes = 1, 0, 2**count
    for rank in range(count // 2):
        tail += term
        # 2 x tail of all outcomes must stay within 1/20.
        if 40 * tail > all_outcomes:
            break
        best = rank
        term = term * (count - rank) // (rank + 1)
    return None if best is None else (ordered[best], ordered[count - 1 - best])


def interval_of(ordered: Sequence[float], share: float) -> tuple[float, float] | None:
    """Returns the order-statistic interval of a percentile from the median up, None where there is none."""
    return median_interval(ordered) if share == 0.5 else percentile_interval(ordered, share)


def percentile_interval(ordered: Sequence[float], share: float) -> tuple[float, float] | None:
    """Returns an order-statistic interval of a percentile above the median with at least 95 % confidence.

    The k-th smallest value is below the percentile with probability P(Bin(n, share) >= k). The upper
    side may fail in 2.5 % (more where even the largest value does not reach that), the lower side in
    what this leaves of 5 %. None where nothing is left.
    """
    count = len(ordered)
    if not count or share**count > 1.0 - CONFIDENCE:
        return None
    half = (1.0 - CONFIDENCE) / 2
    # Logarithms, as below. `below[k]` is the probability that at most k values are below the percentile.
    log_term, tail = count * log(1.0 - share), 0.0
    below = []
    for rank in range(count):
        tail += exp(log_term)
        below.append(tail)
        log_term += log((count - rank) / (rank + 1) * share / (1.0 - share))
    # Ends as places from 0: the value at place k is above the percentile when at most k are below it.
    high = min(bisect_left(below, 1.0 - half), count - 1)
    low = bisect_right(below, 1.0 - CONFIDENCE - (1.0 - below[high])) - 1
    return None if low < 0 else (ordered[low], ordered[high])


def mlperf_percentile(ordered: Sequence[float], share: float, confidence: float = 0.99) -> float | None:
    """Returns MLPerf's estimate of a percentile of sorted latencies, None with too few of them.

    With n queries the t largest are above the percentile at this confidence if the
    binomial probability of at most t such queries, Bin(n, 1 - share), is at most
    1 - confidence; the estimate is the t-th largest for the greatest such t, and
    there must be one (loadgen, early_stopping.cc and results.cc). p90 needs 64
    queries and p99 662. For results in MLPerf's layout only: our own percentiles
    are not upper bounds.
    """
    count = len(ordered)
    # Logarithms: 0.99 to the power of a million is below any float.
    log_term, tail, best = count * log(share) if count else 0.0, 0.0, 0
    for above in range(count):
        tail += exp(log_term)
        if tail > 1.0 - confidence:
            break
        best = above
        log_term += log((count - above) / (above + 1) * (1.0 - share) / share)
    return ordered[count - best] if best else None
