"""Event lines become a report, and a report a result."""

import json
from pathlib import Path

from edgerig.v1.attempt_pb2 import STATUS_INVALID, STATUS_OK, FailureClass
from edgerig.v1.trial_pb2 import PROTOCOL_QUICK, PROTOCOL_STANDARD, Trial
from edgerig_agent.classify import Ending
from edgerig_agent.measure.events import WorkerReport
from edgerig_agent.measure.reduce import Reduced
from edgerig_agent.measure.summary import SamplerSummary
from edgerig_agent.outcome import Anchors, Window, compose, take_events

GOOD = Ending(STATUS_OK, FailureClass.Value("FAILURE_CLASS_UNSPECIFIED"), "")
ANCHORS = Anchors("boot", 1, 2)
WINDOW = Window(10, 20, own_cpu_s=0.0, own_cpu_share=0.0)


def reduced(*, swapped_in_pages: int = 0, figure_flags: frozenset[str] = frozenset()) -> Reduced:
    return Reduced((), SamplerSummary((), 1, 2, 3), None, swapped_in_pages, figure_flags)


def line(**event: object) -> bytes:
    return json.dumps(event).encode() + b"\n"


def test_a_line_that_was_cut_off_by_the_end_is_left_out(tmp_path: Path) -> None:
    report, violation = take_events(tmp_path, line(done={}) + b'{"facts": {"tor')
    assert (report.is_done, violation) == (True, "")


def test_a_whole_line_without_its_newline_counts(tmp_path: Path) -> None:
    report, _ = take_events(tmp_path, line(done={})[:-1])
    assert report.is_done


def test_lines_after_a_forbidden_one_are_still_read(tmp_path: Path) -> None:
    report, violation = take_events(tmp_path, b"garbage\n" + line(done={}))
    assert "line 1" in violation
    assert report.is_done
    assert (tmp_path / "events.jsonl").read_bytes() == line(done={})


def test_whole_numbers_may_stand_as_numbers_or_as_texts(tmp_path: Path) -> None:
    raw = line(phase_begin={"phase": "PHASE_LOAD", "t_mono_ns": 5}) + line(
        phase={"phase": "PHASE_LOAD", "begin_mono_ns": "5", "end_mono_ns": 9}
    )
    report, violation = take_events(tmp_path, raw)
    assert violation == ""
    assert (report.intervals[0].begin_mono_ns, report.intervals[0].end_mono_ns) == (5, 9)


def test_a_disturbed_standard_run_is_invalid_and_says_why() -> None:
    trial = Trial(protocol=PROTOCOL_STANDARD)
    result = compose("a", trial, GOOD, WorkerReport(), reduced(swapped_in_pages=3), WINDOW, ANCHORS)
    assert result.status == STATUS_INVALID
    assert "swap_in" in result.failure_message


def test_a_disturbed_quick_run_stays_ok_with_its_flags() -> None:
    trial = Trial(protocol=PROTOCOL_QUICK)
    result = compose("a", trial, GOOD, WorkerReport(), reduced(swapped_in_pages=3), WINDOW, ANCHORS)
    assert result.status == STATUS_OK
    assert list(result.flags) == ["indicative", "swap_in"]


def test_low_coverage_of_a_figure_is_a_flag_of_the_run_and_an_upper_bound_is_not() -> None:
    trial = Trial(protocol=PROTOCOL_QUICK)
    flags = frozenset({"low_coverage", "upper_bound", "indicative"})
    result = compose("a", trial, GOOD, WorkerReport(), reduced(figure_flags=flags), WINDOW, ANCHORS)
    assert list(result.flags) == ["indicative", "low_coverage"]


def test_without_scores_there_is_no_quality() -> None:
    result = compose("a", Trial(), GOOD, WorkerReport(), reduced(), WINDOW, ANCHORS)
    assert not result.HasField("quality")
