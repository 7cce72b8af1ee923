"""A power log of another machine, over the phases of an attempt that is finished."""

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edgerig.documents import from_json
from edgerig.errors import DataError, EdgerigError, NotFoundError, UsageError
from edgerig.v1.attempt_pb2 import BOUNDARY_WALL_AC, PHASE_TRAIN, AttemptResult
from edgerig_agent.cli import main
from edgerig_agent.import_power import Clock, import_spl, offset_s
from tests.fakes.reports import S, find

ANCHOR_MONO_NS = 1_000 * S
ANCHOR_UNIX_NS = 1_626_356_183 * S


@pytest.fixture
def attempt(tmp_path: Path) -> Path:
    """Trained from 10 s to 40 s after the anchor."""
    folder = tmp_path / "attempt"
    folder.mkdir()
    (folder / "trial.json").write_text(json.dumps({"protocol": "PROTOCOL_QUICK"}))
    (folder / "scores.jsonl").write_text("")
    mark = {
        "phase": "PHASE_TRAIN",
        "begin_mono_ns": ANCHOR_MONO_NS + 10 * S,
        "end_mono_ns": ANCHOR_MONO_NS + 40 * S,
    }
    (folder / "events.jsonl").write_text(json.dumps({"phase": mark}) + "\n")
    result = {
        "attempt_id": "a",
        "anchor_mono_ns": ANCHOR_MONO_NS,
        "anchor_unix_ns": ANCHOR_UNIX_NS,
        "begin_mono_ns": ANCHOR_MONO_NS,
        "end_mono_ns": ANCHOR_MONO_NS + 50 * S,
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def log(folder: Path, *, zone_s: int = 0, ahead_s: float = 0.0) -> Path:
    """50 s at 1 Hz: 20 W, and 30 W from the 25th second on."""
    lines = []
    for second in range(51):
        stamp = datetime.fromtimestamp(ANCHOR_UNIX_NS / S + second + zone_s + ahead_s, timezone.utc)
        text = stamp.strftime("%m-%d-%Y %H:%M:%S.%f")[:-3]
        lines.append(f"Time,{text},Watts,{20 if second < 25 else 30}.000000,Volts,230.0,Mark,x\n")
    path = folder / "spl.txt"
    path.write_text("".join(lines))
    return path


def energy_j(folder: Path, path: Path, clock: Clock) -> float:
    imported = import_spl(folder, path, "wall_ac", clock)
    energy = find(imported.measurements, "energy_j", "sum", PHASE_TRAIN)
    assert (energy.boundary, energy.source) == (BOUNDARY_WALL_AC, "spl:spl")
    return energy.value


def end_anchor(folder: Path, wall_moved_s: float) -> None:
    """Gives the attempt its second pair of clocks, 50 s after the first."""
    path = folder / "result.json"
    later = {
        "end_anchor_mono_ns": ANCHOR_MONO_NS + 50 * S,
        "end_anchor_unix_ns": ANCHOR_UNIX_NS + round((50 + wall_moved_s) * S),
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | later))


# 15 s at 20 W less half of the second in which it rose, and 15 s at 30 W: trapezoids.
EXPECTED_J = 14 * 20 + 25 + 15 * 30


def test_energy_is_that_of_the_phase_on_the_attempts_own_clock(attempt: Path) -> None:
    assert energy_j(attempt, log(attempt), Clock()) == pytest.approx(EXPECTED_J)


def test_the_zone_and_what_is_known_of_the_clocks_difference_are_taken_off(attempt: Path) -> None:
    path = log(attempt, zone_s=7200, ahead_s=3.0)
    assert energy_j(attempt, path, Clock(offset_s("+02:00"), 3.0)) == pytest.approx(EXPECTED_J)


def test_the_attempt_stays_as_it_is_and_the_outcome_is_kept_beside_it(attempt: Path) -> None:
    before = {path.name: path.read_bytes() for path in attempt.iterdir()}
    path = log(attempt)
    import_spl(attempt, path, "wall_ac", Clock())
    kept = json.loads((attempt / "imported/spl.json").read_text())
    assert kept["sample_count"] == 51 and kept["boundary"] == "wall_ac"
    assert {name: (attempt / name).read_bytes() for name in before} == before
    from_json((attempt / "result.json").read_bytes(), AttemptResult(), what="result.json")


def test_a_log_of_another_zone_says_how_far_it_is_away(attempt: Path) -> None:
    with pytest.raises(DataError, match=r"\+2\.00 h"):
        import_spl(attempt, log(attempt, zone_s=7200), "wall_ac", Clock())


def test_a_boundary_that_no_meter_has_is_refused(attempt: Path) -> None:
    with pytest.raises(UsageError, match="no boundary of a meter"):
        import_spl(attempt, log(attempt), "rail", Clock())


def test_a_file_that_is_no_log_and_one_that_is_not_there(attempt: Path) -> None:
    (attempt / "empty.txt").write_text("nothing\n")
    with pytest.raises(DataError, match="no line"):
        import_spl(attempt, attempt / "empty.txt", "wall_ac", Clock())
    with pytest.raises(NotFoundError):
        import_spl(attempt, attempt / "absent.txt", "wall_ac", Clock())


@pytest.mark.parametrize("text", ["2", "+2:00", "+99:00", "UTC"])
def test_an_offset_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(EdgerigError, match="no offset"):
        offset_s(text)


def test_the_command_prints_the_figures(attempt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import-power", str(attempt), str(log(attempt))]) == 0
    printed = capsys.readouterr().out
    assert "51 samples" in printed and "wall_ac" in printed


def test_a_wall_clock_that_was_slewed_is_followed(attempt: Path) -> None:
    """By 400 ppm: the rise, 25 s of wall time after the anchor, was 10 ms earlier than it seems."""
    end_anchor(attempt, wall_moved_s=0.020)
    assert energy_j(attempt, log(attempt), Clock()) == pytest.approx(EXPECTED_J + 0.010 * 10, abs=0.02)


def test_a_wall_clock_that_was_set_in_the_attempt_is_refused(attempt: Path) -> None:
    end_anchor(attempt, wall_moved_s=-0.7)
    with pytest.raises(DataError, match=r"set by -0\.700 s"):
        import_spl(attempt, log(attempt), "wall_ac", Clock())
