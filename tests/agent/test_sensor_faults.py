"""A real attempt of `spin` on a board whose rails fail in the middle of its work.

AGX Xavier has six rails and no input rail. Four of them fail at once, each in its own way;
two stay well. The sampler, the worker and the reduction are the real ones, and a sensor's
error comes from the kernel interface (tests/fakes/sysfs_errors.c).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from edgerig.documents import from_json
from edgerig.v1.attempt_pb2 import (
    BOUNDARY_RAILS_SUM,
    PHASE_TRAIN,
    STATUS_INVALID,
    STATUS_OK,
    AttemptResult,
    Measurement,
)
from tests.fakes import sysfs_tree
from tests.fakes.shared_library import NoCompilerError, sysfs_errors

VOLTAGE_MV = 5000
CURRENT_MA = 1000
POWER_W = 5.0
FAULT_S = 1.4
RAILS = ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")
KINDS = {"GPU": "vanish", "CPU": "no_data", "SOC": "stall", "CV": "jump"}
FLAGS = {
    "GPU": "sensor_vanished",
    "CPU": "sensor_no_data",
    "SOC": "sensor_stalled",
    "CV": "sensor_jumped",
}
TRIAL = {
    "protocol": "PROTOCOL_QUICK",
    "seed": 1,
    "model": {"name": "starter/small"},
    "method": {"kind": "spin", "parameters": {"duration_s": 4.5}},
    "compression": {"kind": "none"},
    "budgets": {"attempt": {"duration_s": 60}},
}


@dataclass(frozen=True)
class Run:
    """What came of the attempt."""

    result: AttemptResult
    energies: dict[str, Measurement]
    sum: Measurement
    duration_s: float

    def gap_s(self, rail: str) -> float:
        """Returns how much of the work no sample of the rail covers."""
        return (1.0 - self.energies[rail].coverage) * self.duration_s


def label(source: str) -> str:
    return source.rpartition(":")[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("faults")
    try:
        preload = str(sysfs_errors())
    except NoCompilerError as error:
        pytest.skip(str(error))
    root, out = folder / "root", folder / "out"
    paths = {}
    for address, labels in (("1-0040", RAILS[:3]), ("1-0041", RAILS[3:])):
        rails = [(name, VOLTAGE_MV, CURRENT_MA) for name in labels]
        base = sysfs_tree.ina3221_hwmon(root, address, rails)
        paths |= {name: base / f"curr{number}_input" for number, name in enumerate(labels, start=1)}
    config = {
        "rails": {str(path): CURRENT_MA for path in paths.values()},
        "faults": [
            {"path": str(paths[name]), "kind": kind, "duration_s": FAULT_S} for name, kind in KINDS.items()
        ],
        "worker_out": str(out / "worker"),
        "log": str(folder / "faults.log"),
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "trial.json").write_text(json.dumps(TRIAL))
    python = [sys.executable, "-m"]
    writer = subprocess.Popen([*python, "tests.fakes.board_writer", str(folder / "config.json")])
    try:
        ended = subprocess.run(
            [
                *(*python, "edgerig_agent.cli", "measure", str(folder / "trial.json"), "--out", str(out)),
                *("--sysfs-root", str(root), "--home", str(folder / "home"), "--json"),
            ],
            capture_output=True,
            env={**os.environ, "LD_PRELOAD": preload},
            timeout=120,
        )
    finally:
        writer.terminate()
        writer.wait()
    assert ended.stdout, ended.stderr.decode()
    assert (folder / "faults.log").exists(), "the worker ended before the faults began"
    result = from_json(json.dumps(json.loads(ended.stdout)["result"]), AttemptResult(), what="result")
    train = [m for m in result.measurements if m.phase == PHASE_TRAIN]
    energies = {label(m.source): m for m in train if m.name == "energy_j" and "+" not in m.source}
    (total,) = [m for m in train if m.name == "energy_j" and m.boundary == BOUNDARY_RAILS_SUM]
    (duration,) = [m for m in train if m.name == "duration_s"]
    yield Run(result, energies, total, duration.value)


pytestmark = pytest.mark.system


def test_the_attempt_finishes(run: Run) -> None:
    assert run.result.status in (STATUS_OK, STATUS_INVALID), run.result.failure_message
    assert set(run.energies) == set(RAILS)


@pytest.mark.parametrize("rail", KINDS)
def test_the_figure_of_a_rail_that_failed_carries_its_reason_and_no_other(run: Run, rail: str) -> None:
    flags = set(run.energies[rail].flags)
    assert flags & set(FLAGS.values()) == {FLAGS[rail]}
    assert "low_coverage" in flags


def test_rails_that_are_well_stay_without_a_flag(run: Run) -> None:
    for rail in ("VDDRQ", "SYS5V"):
        assert not set(run.energies[rail].flags) & set(FLAGS.values())
        # On a busy machine the sampler itself may come late, which is a gap of all rails.
        assert run.gap_s(rail) < min(run.gap_s(failed) for failed in KINDS) - FAULT_S / 2


@pytest.mark.parametrize("rail", KINDS)
def test_the_gap_is_not_covered_and_counts_for_nothing(run: Run, rail: str) -> None:
    """What is covered is all but the fault, and its energy that of the usual power."""
    energy = run.energies[rail]
    covered_s = energy.coverage * run.duration_s
    # A stall begins with the last new value, and both edges may cost a gap of three intervals.
    assert run.gap_s(rail) - run.gap_s("VDDRQ") == pytest.approx(FAULT_S, abs=0.35)
    assert energy.value == pytest.approx(POWER_W * covered_s, rel=0.01)


def test_the_sum_covers_only_what_all_rails_cover(run: Run) -> None:
    assert set(FLAGS.values()) <= set(run.sum.flags)
    assert run.sum.coverage <= min(energy.coverage for energy in run.energies.values()) + 0.01
    assert run.sum.value == pytest.approx(6 * POWER_W * run.sum.coverage * run.duration_s, rel=0.01)


def test_the_run_is_flagged_with_every_reason(run: Run) -> None:
    assert set(FLAGS.values()) <= set(run.result.flags)


def test_each_fault_is_listed_once_with_its_channel_since_when_and_why(run: Run) -> None:
    events = {label(event.source): event for event in run.result.sensor_events}
    assert set(events) == set(KINDS)
    assert {rail: f"sensor_{event.kind}" for rail, event in events.items()} == FLAGS
    for event in events.values():
        assert FAULT_S - 0.3 < (event.end_mono_ns - event.begin_mono_ns) * 1e-9 < FAULT_S + 1.0
        assert event.reason
