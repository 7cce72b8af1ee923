"""The curve of training with the energy that each point had cost, and figures of all items together; pure."""

from __future__ import annotations

from collections.abc import Sequence

from edgerig.v1.attempt_pb2 import (
    PHASE_EVALUATE,
    CorpusMetric,
    Measurement,
    PointEnergy,
    TrainPoint,
    TrainStep,
)
from edgerig_agent.measure.energy import Window
from edgerig_agent.measure.events import WorkerReport
from edgerig_agent.measure.figures import Origin, figure
from edgerig_agent.measure.sources import PowerSource

CORPUS = "corpus"


def corpus_figures(metrics: Sequence[CorpusMetric], flags: tuple[str, ...]) -> list[Measurement]:
    """Returns what the worker computed over all items together: macro_f1, mae, rmse and the like."""
    origin = Origin("worker", "all_items", flags=flags)
    return [figure(metric.name, PHASE_EVALUATE, CORPUS, metric.value, origin) for metric in metrics]


def points_with_energy(report: WorkerReport, sources: Sequence[PowerSource]) -> tuple[TrainPoint, ...]:
    """Returns the points of training, each with what it had used of every power source that is a total.

    The windows are those of the steps: what lies between two stretches of training, such as
    the evaluation of a point, is not in them.
    """
    totals = [source for source in sources if source.is_total]
    windows = stretches(report.steps, [point.t_mono_ns for point in report.points])
    points = []
    for count, point in enumerate(report.points, start=1):
        told = TrainPoint()
        told.CopyFrom(point)
        del told.energy[:]
        told.energy.extend(_energies(totals, windows[:count]))
        points.append(told)
    return tuple(points)


def stretches(steps: Sequence[TrainStep], ends_ns: Sequence[int]) -> list[Window]:
    """Returns a window for each point: from the first step behind the point before it to the last step."""
    windows = []
    begin_ns = 0
    for end_ns in ends_ns:
        inside = [step for step in steps if begin_ns <= step.begin_mono_ns and step.end_mono_ns <= end_ns]
        windows.append((inside[0].begin_mono_ns, inside[-1].end_mono_ns) if inside else (end_ns, end_ns))
        begin_ns = end_ns
    return windows


def _energies(sources: Sequence[PowerSource], windows: Sequence[Window]) -> list[PointEnergy]:
    energies = []
    for source in sources:
        integral = source.integrate(windows)
        if integral.covered_s > 0:
            energies.append(
                PointEnergy(
                    source=source.source,
                    boundary=f"BOUNDARY_{source.boundary.upper()}",
                    energy_j=integral.energy_j,
                    coverage=integral.coverage,
                )
            )
    return energies
