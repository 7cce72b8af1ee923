"""The truth that energies are held against must itself be true."""

import random
import struct
from pathlib import Path

import pytest

from bench.energy_error import CASES, RIPPLE, Case, simulate
from bench.wave_writer import Truth
from bench.waves import STEP, WAVES, Wave


@pytest.mark.parametrize("wave", WAVES, ids=lambda wave: wave.name)
def test_closed_form_energy_is_the_sum_of_small_pieces(wave: Wave) -> None:
    begin_s, end_s, count = 0.137, 3.291, 20_000
    step_s = (end_s - begin_s) / count
    pieces = sum(wave.power_w(begin_s + (index + 0.5) * step_s) for index in range(count)) * step_s
    assert wave.energy_j(end_s) - wave.energy_j(begin_s) == pytest.approx(pieces, rel=1e-3)


def test_every_window_of_a_step_holds_its_edge() -> None:
    for seed in range(50):
        begin_s = STEP.begin_s(10.0, random.Random(seed))
        assert STEP.power_w(begin_s) != STEP.power_w(begin_s + 10.0)


def test_what_was_written_is_a_staircase(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(struct.pack("<qqqq", 0, 5_000_000, 1_000_000_000, 25_000_000))
    assert Truth(log).energy_j(500_000_000, 3_000_000_000) == pytest.approx(0.5 * 5 + 2.0 * 25)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_measures_close_to_the_truth(case: Case) -> None:
    # A quarter of the readings has twice the error.
    most = 1.0 if case.every == 1 else 2.0
    assert simulate(case, 10, 5, seed=3, jitter=True).rms_percent < most


def test_a_fixed_grid_locks_onto_a_ripple_and_jitter_does_not() -> None:
    ripple = next(case for case in CASES if case.wave is RIPPLE)
    assert simulate(ripple, 10, 20, seed=3, jitter=False).rms_percent > 2.0
    assert simulate(ripple, 10, 20, seed=3, jitter=True).rms_percent < 0.6
