"""Memory figures of phases."""

from array import array

from edgerig.v1.attempt_pb2 import PHASE_LOAD, PHASE_TRAIN, WorkerEvent
from edgerig_agent.measure.events import collect
from edgerig_agent.measure.memory import available_figure, last_available_bytes, peak_figures, swapped_in
from edgerig_agent.measure.trace import Field, Trace
from edgerig_agent.probes.base import UNREAD
from edgerig_agent.probes.memory import AVAILABLE, SWAPPED_IN
from tests.fakes.reports import S, interval


def trace(source: str, samples: list[tuple[int, int]]) -> Trace:
    field = Field(source, "memory_bytes", 1024.0, source, "", 0)
    times = array("q", [t for t, _ in samples])
    return Trace("memory", S, (field,), times, (array("q", [value for _, value in samples]),))


def test_the_peak_of_a_phase_is_that_of_its_largest_interval() -> None:
    report = collect(
        [
            WorkerEvent(phase=interval(PHASE_TRAIN, 0, 1, rss_peak_bytes=100)),
            WorkerEvent(phase=interval(PHASE_TRAIN, 1, 2, rss_peak_bytes=300)),
            WorkerEvent(phase=interval(PHASE_LOAD, 2, 3, rss_peak_bytes=900)),
        ]
    )
    (peak,) = peak_figures(report, PHASE_TRAIN)
    assert (peak.value, peak.method, list(peak.flags)) == (300.0, "vmhwm_reset", [])


def test_a_peak_since_the_start_is_flagged_as_an_upper_bound() -> None:
    mark = interval(PHASE_TRAIN, 0, 1, rss_peak_bytes=100)
    mark.rss_peak_method = "vmhwm_since_start"
    (peak,) = peak_figures(collect([WorkerEvent(phase=mark)]), PHASE_TRAIN)
    assert list(peak.flags) == ["upper_bound"]


def test_a_phase_whose_peak_was_not_measured_has_no_figure() -> None:
    assert peak_figures(collect([WorkerEvent(phase=interval(PHASE_TRAIN, 0, 1))]), PHASE_TRAIN) == []


def test_cuda_peaks_are_figures_of_their_own() -> None:
    mark = interval(PHASE_TRAIN, 0, 1)
    mark.cuda_allocated_peak_bytes = 5
    mark.cuda_reserved_peak_bytes = 8
    figures = peak_figures(collect([WorkerEvent(phase=mark)]), PHASE_TRAIN)
    assert {one.name: one.value for one in figures} == {
        "cuda_allocated_peak_bytes": 5.0,
        "cuda_reserved_peak_bytes": 8.0,
    }


def test_the_least_available_memory_is_that_inside_the_phase() -> None:
    samples = [(0, 50), (1 * S, 90), (2 * S, 70), (3 * S, UNREAD), (4 * S, 10)]
    figure = available_figure([trace(AVAILABLE, samples)], PHASE_LOAD, [(S, 3 * S)])
    assert figure.value == 70 * 1024.0
    assert figure.sample_count == 2


def test_a_phase_between_two_samples_has_no_least_memory() -> None:
    figure = available_figure([trace(AVAILABLE, [(0, 50), (S, 90)])], PHASE_LOAD, [(10, 20)])
    assert not figure.HasField("value")
    assert "no sample" in figure.unavailable_reason


def test_without_a_trace_the_reason_is_named() -> None:
    assert "MemAvailable" in available_figure([], PHASE_LOAD, [(0, 1)]).unavailable_reason


def test_the_last_readable_figure_is_kept() -> None:
    assert last_available_bytes([trace(AVAILABLE, [(0, 50), (S, 40), (2 * S, UNREAD)])]) == 40 * 1024
    assert last_available_bytes([]) is None


def test_pages_from_swap_are_counted_between_the_samples_around_a_window() -> None:
    samples = [(0, 100), (S, 100), (2 * S, 130), (3 * S, 500)]
    traces = [trace(SWAPPED_IN, samples)]
    assert swapped_in(traces, [(S + 1, 2 * S - 1)]) == 30
    assert swapped_in(traces, [(10, S - 10)]) == 0
    assert swapped_in([], [(0, 1)]) is None
