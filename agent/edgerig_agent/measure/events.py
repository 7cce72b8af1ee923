"""The worker's events, sorted by kind, as the reducing modules want them; pure.

Knows the `WorkerEvent` message and nothing of pipes or files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from edgerig.v1.attempt_pb2 import (
    PHASE_DECODE,
    PHASE_PREFILL,
    PHASE_TRAIN_STEP,
    CorpusMetric,
    ItemScore,
    Phase,
    PhaseInterval,
    Request,
    TrainPoint,
    TrainStep,
    WorkerEvent,
    WorkerFacts,
    WorkerFailure,
)
from edgerig_agent.measure.energy import Window


@dataclass
class WorkerReport:
    """Everything one worker said, complete or up to where it died."""

    intervals: list[PhaseInterval] = field(default_factory=list)
    steps: list[TrainStep] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    # Those of the trial itself; those at points of its training budget are not among them.
    scores: list[ItemScore] = field(default_factory=list)
    metrics: list[CorpusMetric] = field(default_factory=list)
    points: list[TrainPoint] = field(default_factory=list)
    facts: WorkerFacts | None = None
    failure: WorkerFailure | None = None
    is_done: bool = False
    # The phase that had begun and not ended when the worker fell silent.
    open_phase: Phase | None = None

    def windows(self, phase: Phase) -> list[Window]:
        """Returns begin and end of each window of a phase, in order.

        Prefill, decode and train_step are those of the measured requests and steps:
        intervals that the worker marks for them may belong to an extra request that
        is only there to find peak memory.
        """
        answered = [request for request in self.requests if request.token_mono_ns]
        if phase == PHASE_PREFILL and answered:
            return [(r.model_mono_ns, r.token_mono_ns[0]) for r in answered]
        if phase == PHASE_DECODE and answered:
            return [(r.token_mono_ns[0], r.token_mono_ns[-1]) for r in answered if len(r.token_mono_ns) > 1]
        if phase == PHASE_TRAIN_STEP and self.steps:
            return [(step.begin_mono_ns, step.end_mono_ns) for step in self.steps]
        return [(i.begin_mono_ns, i.end_mono_ns) for i in self.intervals if i.phase == phase]

    def phases(self) -> list[Phase]:
        """Returns the phases that have windows, in the order of their first begin."""
        marked = {interval.phase for interval in self.intervals}
        derived = {PHASE_PREFILL, PHASE_DECODE, PHASE_TRAIN_STEP}
        first = {phase: min(windows)[0] for phase in marked | derived if (windows := self.windows(phase))}
        return sorted(first, key=lambda phase: (first[phase], phase))


def collect(events: Iterable[WorkerEvent]) -> WorkerReport:
    """Sorts a worker's events by kind."""
    report = WorkerReport()
    for event in events:
        kind = event.WhichOneof("event")
        if kind == "phase_begin":
            report.open_phase = event.phase_begin.phase
        elif kind == "phase":
            report.intervals.append(event.phase)
            if report.open_phase == event.phase.phase:
                report.open_phase = None
        elif kind == "train_step":
            report.steps.append(event.train_step)
        elif kind == "request":
            report.requests.append(event.request)
        elif kind == "score":
            if not event.score.point:
                report.scores.append(event.score)
        elif kind == "metric":
            if not event.metric.point:
                report.metrics.append(event.metric)
        elif kind == "point":
            report.points.append(event.point)
        elif kind == "facts":
            # A later line completes an earlier one (training figures come last).
            report.facts = report.facts or WorkerFacts()
            report.facts.MergeFrom(event.facts)
        elif kind == "failure":
            report.failure = event.failure
        elif kind == "done":
            report.is_done = True
    return report
