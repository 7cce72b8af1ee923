"""The reduction of a whole attempt folder."""

import json
from pathlib import Path

from edgerig.v1.attempt_pb2 import (
    PHASE_IDLE_PRE,
    PHASE_LOAD,
    PHASE_PREFILL,
    PHASE_TRAIN,
    PHASE_TRAIN_STEP,
    WorkerEvent,
)
from edgerig.v1.trial_pb2 import PROTOCOL_QUICK, PROTOCOL_STANDARD
from edgerig_agent.measure.events import WorkerReport, collect
from edgerig_agent.measure.reduce import reduce_attempt
from edgerig_agent.measure.summary import read_sampler_summary
from edgerig_agent.measure.tracefile import TraceWriter
from edgerig_agent.probes.memory import SWAPPED_IN
from tests.fakes.reports import S, find, interval, step


def trained() -> WorkerReport:
    return collect(
        [
            WorkerEvent(phase=interval(PHASE_IDLE_PRE, 0, S)),
            WorkerEvent(phase=interval(PHASE_LOAD, S, 2 * S)),
            WorkerEvent(phase=interval(PHASE_TRAIN, 2 * S, 6 * S)),
            WorkerEvent(train_step=step(0, 2 * S, S)),
            WorkerEvent(train_step=step(1, 3 * S, S)),
        ]
    )


def paging(folder: Path, samples: list[tuple[int, int]]) -> None:
    (folder / "trace").mkdir()
    fields: list[dict[str, object]] = [
        {"name": "pswpin", "unit": "page_count", "scale": 1.0, "source": SWAPPED_IN, "boundary": ""}
    ]
    writer = TraceWriter(
        str(folder / "trace/paging.trace"), {"schema": 1, "name": "paging", "interval_ns": S}, fields
    )
    for t_ns, pages in samples:
        writer.append(t_ns, [pages])
    writer.close()


def test_only_main_phases_say_that_energy_is_missing(tmp_path: Path) -> None:
    reduced = reduce_attempt(tmp_path, trained(), PROTOCOL_QUICK)
    phases = [one.phase for one in reduced.measurements if one.name == "energy_j"]
    assert phases == [PHASE_LOAD, PHASE_TRAIN]


def test_every_phase_has_its_duration(tmp_path: Path) -> None:
    reduced = reduce_attempt(tmp_path, trained(), PROTOCOL_QUICK)
    assert find(reduced.measurements, "duration_s", "sum", PHASE_TRAIN).value == 4.0
    assert find(reduced.measurements, "duration_s", "sum", PHASE_TRAIN_STEP).value == 2.0


def test_memory_of_the_system_is_not_repeated_for_phases_inside_others(tmp_path: Path) -> None:
    reduced = reduce_attempt(tmp_path, trained(), PROTOCOL_QUICK)
    phases = {one.phase for one in reduced.measurements if one.name == "mem_available_min_bytes"}
    assert phases == {PHASE_IDLE_PRE, PHASE_LOAD, PHASE_TRAIN}


def test_pages_from_swap_in_a_timed_phase_are_found(tmp_path: Path) -> None:
    paging(tmp_path, [(0, 0), (S, 0), (2 * S, 0), (4 * S, 9), (6 * S, 9)])
    reduced = reduce_attempt(tmp_path, trained(), PROTOCOL_STANDARD)
    assert reduced.swapped_in_pages == 9
    assert "swap_in" not in {f for one in reduced.measurements if one.phase == PHASE_LOAD for f in one.flags}


def test_standard_figures_are_not_indicative(tmp_path: Path) -> None:
    assert reduce_attempt(tmp_path, trained(), PROTOCOL_STANDARD).figure_flags == frozenset()
    assert reduce_attempt(tmp_path, trained(), PROTOCOL_QUICK).figure_flags == {"indicative"}


def test_a_worker_that_said_nothing_has_no_phases(tmp_path: Path) -> None:
    reduced = reduce_attempt(tmp_path, WorkerReport(), PROTOCOL_QUICK)
    assert [one for one in reduced.measurements if one.phase == PHASE_PREFILL] == []


def test_a_sampler_without_a_last_word_has_died(tmp_path: Path) -> None:
    assert read_sampler_summary(tmp_path).died
    summary = {"ended": False, "channels": [], "tick_count": 0, "late_p50_ns": 0, "late_p99_ns": 0}
    (tmp_path / "sampler.json").write_text(json.dumps(summary))
    assert read_sampler_summary(tmp_path).died
    (tmp_path / "sampler.json").write_text(json.dumps({**summary, "ended": True}))
    assert not read_sampler_summary(tmp_path).died


def gapped_rail(folder: Path, gap: tuple[int, int]) -> None:
    """Writes a rail that is sampled at 100 Hz for seven seconds, but for one gap."""
    (folder / "trace").mkdir()
    source = "ina3221:1-0040:1:VDD_IN"
    fields: list[dict[str, object]] = [
        {"name": unit, "unit": unit, "scale": 1e-3, "source": source, "boundary": "module_in"}
        for unit in ("current_a", "voltage_v")
    ]
    header: dict[str, object] = {"schema": 1, "name": "ina3221", "interval_ns": S // 100}
    writer = TraceWriter(str(folder / "trace/ina3221.trace"), header, fields)
    for t_ns in range(0, 7 * S, S // 100):
        if not gap[0] <= t_ns < gap[1]:
            writer.append(t_ns, [2000, 5000])
    writer.close()


def test_a_gap_in_the_work_is_the_runs_own_and_one_in_loading_only_its_figures(tmp_path: Path) -> None:
    for name, begin, is_runs in (("load", 1.2, False), ("train", 3.2, True)):
        folder = tmp_path / name
        folder.mkdir()
        gapped_rail(folder, (int(begin * S), int((begin + 0.2) * S)))
        reduced = reduce_attempt(folder, trained(), PROTOCOL_STANDARD)
        figures = {flag for one in reduced.measurements for flag in one.flags}
        assert "low_coverage" in figures
        assert ("low_coverage" in reduced.figure_flags) is is_runs
