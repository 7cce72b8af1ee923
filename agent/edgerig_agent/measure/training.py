"""Step times and rates of training; pure.

The first steps warm caches and allocators; they are left out of the
distribution and of the rates, and their time stands alone in
`time_to_first_step_s`.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgerig.v1.attempt_pb2 import PHASE_TRAIN, PHASE_TRAIN_STEP, Measurement, TrainStep
from edgerig_agent.measure.energy import Window
from edgerig_agent.measure.figures import Origin, figure, unavailable
from edgerig_agent.measure.statistic import fewest_requests, interval_of, is_admissible, percentile

WARMUP_STEPS = 3
_PERCENTILES = ((0.50, "p50"), (0.90, "p90"))
_S = 1e-9


def warmup_count(step_count: int) -> int:
    """Returns how many first steps are left out: three, but at most a third of all."""
    return min(WARMUP_STEPS, step_count // 3)


def training_figures(
    steps: Sequence[TrainStep], train: Sequence[Window], flags: tuple[str, ...] = ()
) -> list[Measurement]:
    """Returns step times and rates of a run's training; none without steps.

    Args:
        steps: in order.
        train: windows of the training phase in order, several where evaluation came between.
        flags: go on every figure.
    """
    if not steps:
        return []
    origin = Origin("worker", "host_monotonic", flags=flags)
    kept = steps[warmup_count(len(steps)) :]
    figures = _step_figures(kept, origin)
    elapsed_s = _elapsed_ns(kept, train) * _S
    if elapsed_s > 0:
        tokens_per_s = sum(step.tokens for step in kept) / elapsed_s
        samples_per_s = sum(step.samples for step in kept) / elapsed_s
        count = len(kept)
        figures.append(
            figure("train_tokens_per_s", PHASE_TRAIN, "ratio", tokens_per_s, origin, sample_count=count)
        )
        figures.append(
            figure("samples_per_s", PHASE_TRAIN, "ratio", samples_per_s, origin, sample_count=count)
        )
    if train:
        first_s = (steps[0].end_mono_ns - train[0][0]) * _S
        figures.append(figure("time_to_first_step_s", PHASE_TRAIN, "sum", first_s, origin, sample_count=1))
    return figures


def _elapsed_ns(kept: Sequence[TrainStep], train: Sequence[Window]) -> int:
    """Wall time from first to last step with the loading of data in between, of each window by itself.

    What lies between two windows, scoring at a point of the budget or another user's set-up, is no training.
    """
    windows = train or [(kept[0].begin_mono_ns, kept[-1].end_mono_ns)]
    elapsed_ns = 0
    for begin_ns, end_ns in windows:
        inside = [step for step in kept if begin_ns <= step.begin_mono_ns < end_ns]
        if inside:
            elapsed_ns += inside[-1].end_mono_ns - inside[0].begin_mono_ns
    return elapsed_ns


def _step_figures(kept: Sequence[TrainStep], origin: Origin) -> list[Measurement]:
    durations = sorted((step.end_mono_ns - step.begin_mono_ns) * _S for step in kept)
    count = len(durations)
    mean = sum(durations) / count
    figures = [figure("step_s", PHASE_TRAIN_STEP, "mean", mean, origin, sample_count=count)]
    for share, statistic in _PERCENTILES:
        if not is_admissible(share, count):
            reason = f"too_few_steps: {count} of the {fewest_requests(share)} that {statistic} needs"
            figures.append(
                unavailable("step_s", PHASE_TRAIN_STEP, statistic, reason, origin, sample_count=count)
            )
            continue
        value = percentile(durations, share)
        measured = figure("step_s", PHASE_TRAIN_STEP, statistic, value, origin, sample_count=count)
        interval = interval_of(durations, share)
        if interval:
            measured.low, measured.high = interval
            measured.interval_kind = "order_statistic_95"
        figures.append(measured)
    return figures
