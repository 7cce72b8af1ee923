"""Memory figures of phases."""

from array import array

import pytest

from edgerig.v1.attempt_pb2 import PHASE_LOAD, PHASE_TRAIN, Measurement, WorkerEvent
from edgerig_agent.measure.events import collect
from edgerig_agent.measure.memory import (
    available_figure,
    last_available_bytes,
    peak_figures,
    run_figures,
    share_figures,
    swapped_in,
    system_figures,
)
from edgerig_agent.measure.trace import Field, Trace
from edgerig_agent.probes.base import UNREAD
from edgerig_agent.probes.cgroup import CURRENT, PEAK
from edgerig_agent.probes.memory import AVAILABLE, NVMAP, STALLED, SWAPPED_IN, SWAPPED_OUT
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


def several(*columns: tuple[str, str, float, list[int]], times: list[int]) -> Trace:
    fields = tuple(Field(source, unit, scale, source, "", 0) for source, unit, scale, _ in columns)
    values = tuple(array("q", column) for *_, column in columns)
    return Trace("memory", S, fields, array("q", times), values)


def values(figures: list[Measurement]) -> dict[str, float]:
    return {one.name: one.value for one in figures if one.HasField("value")}


def test_what_gpu_and_cgroup_had_in_a_phase_is_the_largest_sample_inside_it() -> None:
    trace = several(
        (AVAILABLE, "memory_bytes", 1024.0, [100, 90, 60, 95]),
        (NVMAP, "memory_bytes", 1024.0, [0, 5, UNREAD, 99]),
        ("nvml:0:own_memory", "memory_bytes", 1.0, [0, 7, 8, 99]),
        (CURRENT, "memory_bytes", 1.0, [1, 2, 3, 99]),
        times=[0, 1 * S, 2 * S, 3 * S],
    )
    figures = values(system_figures([trace], PHASE_TRAIN, [(S, 2 * S)]))
    assert figures == {
        "mem_available_min_bytes": 60 * 1024.0,
        "sys_used_delta_peak_bytes": 40 * 1024.0,
        "nvmap_peak_bytes": 5 * 1024.0,
        "gpu_process_peak_bytes": 8.0,
        "cgroup_peak_bytes": 3.0,
    }


def test_time_that_tasks_waited_for_memory_is_that_around_the_phase() -> None:
    trace = several((STALLED, "stall_s", 1e-6, [10, 10, 500_010, 900_000]), times=[0, S, 2 * S, 3 * S])
    figures = values(system_figures([trace], PHASE_TRAIN, [(S, 2 * S)]))
    assert figures["psi_memory_some_s"] == pytest.approx(0.5)


def test_the_share_of_a_phase_is_that_after_its_last_interval_and_faults_add_up() -> None:
    events = []
    for begin, pss, faults in ((0, 50, 2), (2, 30, 1)):
        mark = interval(PHASE_TRAIN, begin, begin + 1)
        mark.pss_end_bytes = pss
        mark.uss_end_bytes = pss - 10
        mark.swap_pss_end_bytes = 0
        mark.major_fault_count = faults
        events.append(WorkerEvent(phase=mark))
    assert values(share_figures(collect(events), PHASE_TRAIN)) == {
        "pss_end_bytes": 30.0,
        "uss_end_bytes": 20.0,
        "swap_pss_end_bytes": 0.0,
        "worker_major_fault_count": 3.0,
    }


def test_the_peak_that_the_cgroup_keeps_is_only_an_upper_bound() -> None:
    trace = several((PEAK, "memory_bytes", 1.0, [700, 900]), times=[0, S])
    (peak,) = run_figures([trace], (), collect([]), (0, S))
    assert (peak.value, list(peak.flags)) == (900.0, ["upper_bound"])


def test_pages_to_and_from_swap_are_counted_for_the_attempt() -> None:
    trace = several(
        (SWAPPED_IN, "page_count", 1.0, [1, 4]), (SWAPPED_OUT, "page_count", 1.0, [1, 9]), times=[0, S]
    )
    assert values(run_figures([trace], (), collect([]), (0, S))) == {
        "swap_in_page_count": 3.0,
        "swap_out_page_count": 8.0,
    }


def test_what_a_board_does_not_show_is_said_once_with_the_reason() -> None:
    channels = [
        {"source": NVMAP, "unavailable_reason": "/proc/meminfo does not show it"},
        {"source": "nvml:0:own_memory", "unavailable_reason": "Not Supported"},
        {"source": AVAILABLE, "unavailable_reason": ""},
    ]
    report = collect([WorkerEvent(phase=interval(PHASE_TRAIN, 0, 1))])
    missing = {one.name: one.unavailable_reason for one in run_figures([], channels, report, (0, 1))}
    assert missing["nvmap_peak_bytes"] == "/proc/meminfo does not show it"
    assert missing["gpu_process_peak_bytes"] == "Not Supported"
    assert "smaps_rollup" in missing["pss_end_bytes"]
    assert "no CUDA" in missing["cuda_allocated_peak_bytes"]
