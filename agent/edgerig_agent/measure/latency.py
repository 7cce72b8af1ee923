"""Latency and rates of the measured requests; pure.

Definitions (docs/how-we-measure.md): the clock of a request starts before
tokenisation; a token's instant is when its id is on the host; rates are ratios
of sums over the run, never means of ratios. The unit of the statistics is the
request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from edgerig.v1.attempt_pb2 import PHASE_DECODE, PHASE_INFERENCE, PHASE_PREFILL, Measurement, Phase, Request
from edgerig_agent.measure.figures import Origin, figure, unavailable
from edgerig_agent.measure.statistic import fewest_requests, interval_of, is_admissible, percentile

TOGETHER = "multi_token_step"
_PERCENTILES = ((0.50, "p50"), (0.90, "p90"), (0.95, "p95"), (0.99, "p99"))
_S = 1e-9


def request_figures(requests: Sequence[Request], flags: tuple[str, ...] = ()) -> list[Measurement]:
    """Returns all latency figures and rates of a run's requests; none without requests.

    Every request has its stamps in order; `tokens_in` and `tokens_out` count one
    sequence of the batch.
    """
    answered = [request for request in requests if request.token_mono_ns]
    if not answered:
        return []
    origin = Origin("worker", "host_monotonic", flags=flags)
    ttft = [(r.token_mono_ns[0] - r.accept_mono_ns) * _S for r in answered]
    ttft_model = [(r.token_mono_ns[0] - r.model_mono_ns) * _S for r in answered]
    e2e = [(r.token_mono_ns[-1] - r.accept_mono_ns) * _S for r in answered]
    longer = [r for r in answered if len(r.token_mono_ns) >= 2]
    tpot = [(r.token_mono_ns[-1] - r.token_mono_ns[0]) * _S / (len(r.token_mono_ns) - 1) for r in longer]
    figures = _distribution("ttft_s", ttft, origin)
    figures += _distribution("ttft_model_s", ttft_model, origin)
    figures += _distribution("e2e_s", e2e, origin)
    figures += _distribution("tpot_s", tpot, origin)
    figures += _gap_figures(longer, origin)
    return figures + _rates(answered, longer, origin)


def _distribution(name: str, values: list[float], origin: Origin) -> list[Measurement]:
    """One value per request: mean and the admissible percentiles."""
    if not values:
        return []
    ordered = sorted(values)
    count = len(ordered)
    mean = figure(name, PHASE_INFERENCE, "mean", sum(ordered) / count, origin, sample_count=count)
    return [mean, *_percentiles(name, ordered, count, origin, with_interval=True)]


def _gap_figures(requests: list[Request], origin: Origin) -> list[Measurement]:
    """Gaps between tokens: many values, but no more independent than their requests are.

    Tokens that came together (one stamp: speculative decoding, a server's chunk) all waited since the tokens
    before them: one gap that counts for each of them, and a flag on the figures.
    """
    gaps: list[float] = []
    flags = origin.flags
    for request in requests:
        steps = Counter(request.token_mono_ns)
        if len(steps) < len(request.token_mono_ns) and TOGETHER not in flags:
            flags = (*flags, TOGETHER)
        for before, after in pairwise(sorted(steps)):
            gaps += [(after - before) * _S] * steps[after]
    if not gaps:
        return []
    gaps.sort()
    origin = replace(origin, flags=flags)
    mean = figure("itl_s", PHASE_INFERENCE, "mean", sum(gaps) / len(gaps), origin, sample_count=len(requests))
    return [mean, *_percentiles("itl_s", gaps, len(requests), origin, with_interval=False)]


def _percentiles(
    name: str, ordered: list[float], request_count: int, origin: Origin, *, with_interval: bool
) -> list[Measurement]:
    figures = []
    for share, statistic in _PERCENTILES:
        if not is_admissible(share, request_count):
            reason = (
                f"too_few_requests: {request_count} of the {fewest_requests(share)} that {statistic} needs"
            )
            figures.append(
                unavailable(name, PHASE_INFERENCE, statistic, reason, origin, sample_count=request_count)
            )
            continue
        value = percentile(ordered, share)
        measured = figure(name, PHASE_INFERENCE, statistic, value, origin, sample_count=request_count)
        interval = interval_of(ordered, share) if with_interval else None
        if interval:
            measured.low, measured.high = interval
            measured.interval_kind = "order_statistic_95"
        figures.append(measured)
    return figures


def _rates(answered: list[Request], longer: list[Request], origin: Origin) -> list[Measurement]:
    figures = []
    batch = max(max(request.batch for request in answered), 1)
    prefill_s = sum(r.token_mono_ns[0] - r.model_mono_ns for r in answered) * _S
    tokens_in = sum(request.tokens_in for request in answered)
    if prefill_s > 0 and tokens_in:
        rate = tokens_in / prefill_s
        figures += _per_batch("prefill_tokens_per_s", PHASE_PREFILL, rate, batch, len(answered), origin)
    decode_s = sum(r.token_mono_ns[-1] - r.token_mono_ns[0] for r in longer) * _S
    tokens_out = sum(len(request.token_mono_ns) - 1 for request in longer)
    if decode_s > 0:
        rate = tokens_out / decode_s
        figures += _per_batch("decode_tokens_per_s", PHASE_DECODE, rate, batch, len(longer), origin)
    return figures


def _per_batch(
    name: str, phase: Phase, rate: float, batch: int, count: int, origin: Origin
) -> list[Measurement]:
    """The rate of one sequence and, for a batch, that of all of them with the size in its name."""
    figures = [figure(name, phase, "ratio", rate, origin, sample_count=count)]
    if batch > 1:
        total = f"{name}_batch_{batch}"
        figures.append(figure(total, phase, "ratio", rate * batch, origin, sample_count=count))
    return figures
