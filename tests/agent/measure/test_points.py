"""The curve of training: windows of each stretch, and the energy that a point had cost."""

from __future__ import annotations

import pytest

from edgerig.v1.attempt_pb2 import BOUNDARY_MODULE_IN, CorpusMetric, TrainPoint, TrainStep, WorkerEvent
from edgerig_agent.measure.accuracy import accuracy_of
from edgerig_agent.measure.energy import power_curve
from edgerig_agent.measure.events import collect
from edgerig_agent.measure.points import corpus_figures, points_with_energy, stretches
from edgerig_agent.measure.sources import PowerSource

S = 10**9


def step(begin_s: float, end_s: float) -> TrainStep:
    return TrainStep(begin_mono_ns=int(begin_s * S), end_mono_ns=int(end_s * S))


STEPS = [step(1, 2), step(2, 3), step(10, 11), step(11, 13)]


def test_a_stretch_goes_from_its_first_step_to_its_last() -> None:
    assert stretches(STEPS, [3 * S, 13 * S]) == [(1 * S, 3 * S), (10 * S, 13 * S)]


def test_a_stretch_without_steps_is_empty() -> None:
    assert stretches([], [0]) == [(0, 0)]


def test_a_point_had_cost_all_stretches_before_it_and_no_evaluation() -> None:
    """5 W throughout: 2 s before the first point, 3 s more before the second; 7 s between do not count."""
    times = [second * S for second in range(20)]
    curve = power_curve(times, [5.0] * len(times))
    total = PowerSource("board", "module_in", "trapezoid", curve, accuracy_of("board", 0.0, 0.0), 0.0)
    rail = PowerSource("rail", "rail", "trapezoid", curve, accuracy_of("rail", 0.0, 0.0), 0.0)
    events = [WorkerEvent(train_step=one) for one in STEPS]
    events += [WorkerEvent(point=TrainPoint(index=n, t_mono_ns=t * S)) for n, t in ((1, 3), (2, 13))]

    first, second = points_with_energy(collect(events), [total, rail])

    assert [energy.energy_j for energy in first.energy] == [pytest.approx(10.0)]
    assert [energy.energy_j for energy in second.energy] == [pytest.approx(25.0)]
    assert (first.energy[0].boundary, first.energy[0].coverage) == (BOUNDARY_MODULE_IN, 1.0)


def test_without_a_total_a_point_has_no_energy() -> None:
    [point] = points_with_energy(collect([WorkerEvent(point=TrainPoint(index=1))]), [])

    assert list(point.energy) == []


def test_figures_of_all_items_are_measurements_of_the_evaluation() -> None:
    [figure] = corpus_figures([CorpusMetric(name="macro_f1", value=0.25)], ("indicative",))

    assert (figure.name, figure.value, figure.statistic) == ("macro_f1", 0.25, "corpus")
    assert list(figure.flags) == ["indicative"]


def test_scores_at_points_are_not_those_of_the_trial() -> None:
    report = collect(
        [
            WorkerEvent(score={"item_id": "a", "score": 1.0, "point": 1}),
            WorkerEvent(score={"item_id": "a", "score": 0.5}),
            WorkerEvent(metric={"name": "mae", "value": 1.0, "point": 1}),
        ]
    )

    assert ([score.score for score in report.scores], report.metrics) == ([0.5], [])
