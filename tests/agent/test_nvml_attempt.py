"""Real attempts on a machine whose GPU is a stub of the driver's library, read by the real binding.

The stub's power is a known function of the clock, so energy can be compared with the truth.
"""

import json
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgerig.documents import from_json
from edgerig.v1.attempt_pb2 import BOUNDARY_GPU_BOARD, PHASE_TRAIN, AttemptResult, Measurement
from tests.fakes.board_writer import WORKED_S, worked_s
from tests.fakes.nvml import StubDriver
from tests.fakes.shared_library import NoCompilerError

TRIAL = {
    "protocol": "PROTOCOL_QUICK",
    "seed": 1,
    "model": {"name": "starter/small"},
    "method": {"kind": "spin", "parameters": {"duration_s": 3.0}},
    "compression": {"kind": "none"},
    "budgets": {"attempt": {"duration_s": 60}},
}

pytestmark = pytest.mark.system


def driver(folder: Path, profile: str, *lines: str) -> StubDriver:
    try:
        stub = StubDriver(folder, profile)
    except NoCompilerError as error:
        pytest.skip(str(error))
    stub.say(*lines)
    return stub


def run(tmp_path: Path, stub: StubDriver, then: tuple[str, ...] = ()) -> AttemptResult:
    """Runs `spin`; `then` replaces the stub's script in the middle of its work."""
    (tmp_path / "trial.json").write_text(json.dumps(TRIAL))
    (tmp_path / "root/sys").mkdir(parents=True)
    out = tmp_path / "out"
    attempt = subprocess.Popen(
        [
            *(sys.executable, "-m", "edgerig_agent.cli", "measure", str(tmp_path / "trial.json")),
            *("--out", str(out), "--sysfs-root", str(tmp_path / "root"), "--json"),
            *("--home", str(tmp_path / "home")),
        ],
        stdout=subprocess.PIPE,
        env=stub.outer_environment(),
    )
    with attempt:
        if then:
            deadline = time.monotonic() + 60.0
            while worked_s(str(out / "worker")) < WORKED_S:
                assert time.monotonic() < deadline and attempt.poll() is None
                select.select([], [], [], 0.02)
            stub.say(*then)
        stdout, _ = attempt.communicate(timeout=120)
    return from_json(json.dumps(json.loads(stdout)["result"]), AttemptResult(), what="result")


def energies(result: AttemptResult) -> dict[str, Measurement]:
    """Returns the energy of the work by the name of its channel: energy, power_instant ..."""
    return {
        m.source.rpartition(":")[2]: m
        for m in result.measurements
        if m.name == "energy_j" and m.phase == PHASE_TRAIN and m.boundary == BOUNDARY_GPU_BOARD
    }


def duration_s(result: AttemptResult) -> float:
    return next(m.value for m in result.measurements if m.name == "duration_s" and m.phase == PHASE_TRAIN)


def test_counter_and_sampled_power_both_give_the_energy_and_agree(tmp_path: Path) -> None:
    """A square wave of 100 ms between 10 and 30 W has 20 W in the mean."""
    result = run(tmp_path, driver(tmp_path, "gpu", "wave square 10000 30000 100"))
    found = energies(result)
    assert set(found) == {"energy", "power_instant"}
    for energy in found.values():
        assert energy.value == pytest.approx(20.0 * duration_s(result) * energy.coverage, rel=0.05)
        assert "sources_disagree" not in energy.flags


def test_a_gpu_that_looks_a_quarter_of_the_time_disagrees_with_its_counter(tmp_path: Path) -> None:
    """A100: the same wave reads as 30 W, the counter sees all of it.

    The counter moves faster here than an A100's, so that it may judge in a window of seconds.
    """
    result = run(tmp_path, driver(tmp_path, "a100", "wave square 10000 30000 100", "counter_step_ms 20"))
    found = energies(result)
    assert found["power_instant"].value == pytest.approx(30.0 * duration_s(result), rel=0.05)
    assert found["energy"].value == pytest.approx(20.0 * duration_s(result), rel=0.1)
    assert "sources_disagree" in result.flags


def test_a_board_whose_nvml_supports_nothing_says_so_and_has_no_figure(tmp_path: Path) -> None:
    result = run(tmp_path, driver(tmp_path, "orin"))
    (missing,) = [m for m in result.measurements if m.name == "energy_j" and m.phase == PHASE_TRAIN]
    assert "Not Supported" in missing.unavailable_reason


def test_a_gpu_that_is_lost_in_the_middle_flags_the_run_and_the_gap_is_not_counted(tmp_path: Path) -> None:
    stub = driver(tmp_path, "gpu", "wave constant 20000")
    result = run(tmp_path, stub, then=("wave constant 20000", "lost 1"))
    assert "sensor_vanished" in result.flags
    sampled = energies(result)["power_instant"]
    assert 0.0 < sampled.coverage < 0.98
    assert sampled.value == pytest.approx(20.0 * sampled.coverage * duration_s(result), rel=0.02)


def test_a_counter_that_is_reset_in_the_middle_flags_the_run(tmp_path: Path) -> None:
    stub = driver(tmp_path, "gpu", "wave constant 20000")
    result = run(tmp_path, stub, then=("wave constant 20000", f"counter_zero_ns {time.monotonic_ns()}"))
    assert "counter_reset" in result.flags
    energy = energies(result)["energy"]
    assert energy.value == pytest.approx(20.0 * energy.coverage * duration_s(result), rel=0.05)
