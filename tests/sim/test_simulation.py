"""The simulation itself: it replays, it reaches every durable write, and it finds planted bugs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.disk import Disk, watch
from tests.sim.faults import NOTHING, Plan
from tests.sim.plants import PLANTS
from tests.sim.schedule import run

ROOT = Path(__file__).parents[2]


def test_without_faults_everything_is_done_in_a_minute() -> None:
    outcome = run(1, plan=NOTHING)
    assert outcome.violations == []
    assert outcome.simulated_s < 120


def test_a_seed_replays_exactly_in_another_process() -> None:
    program = "from tests.sim.schedule import run; print([run(seed).digest for seed in (3, 10, 11, 12)])"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("node", ["orin", "nano", "controller"])
def test_a_death_at_each_durable_write_and_message_loses_nothing(node: str) -> None:
    points = run(7, plan=NOTHING).points_of[node]
    assert points > 50
    failed = {}
    # Every place in steps of three; which three changes with the node, and the seeds reach the others.
    for number in range(1 + len(node) % 3, points + 1, 3):
        if found := run(7, plan=Plan({}, (), 0.0, {node: (number,)})).violations:
            failed[number] = found
    assert not failed


def test_a_trial_whose_mode_takes_a_restart_runs_in_it_wherever_a_device_dies() -> None:
    # Every fourth seed has such a trial; here the agent dies at each place on its way.
    points = run(8, plan=NOTHING).points_of["orin"] + run(8, plan=NOTHING).points_of["nano"]
    assert points > 100
    failed = {}
    for node in ("orin", "nano"):
        for number in range(1, run(8, plan=NOTHING).points_of[node] + 1, 4):
            if found := run(8, plan=Plan({}, (), 0.0, {node: (number,)})).violations:
                failed[node, number] = found
    assert not failed


# How many of the thousand seeds it may take at most; most are found by the first few.
_WITHIN = 1000


@pytest.mark.parametrize("name", sorted(PLANTS))
def test_a_planted_bug_is_found_within_the_thousand_seeds(name: str) -> None:
    with PLANTS[name]():
        assert any(run(seed).violations for seed in range(_WITHIN)), name


def test_a_power_cut_takes_what_was_not_synced(tmp_path: Path) -> None:
    watch()
    disk = Disk(tmp_path / "disk")
    kept, lost, unnamed = disk.root / "kept", disk.root / "lost", disk.root / "unnamed"
    kept.write_text("old")
    _sync(kept)
    _sync(disk.root)
    kept.write_text("new")
    lost.write_text("x")
    unnamed.write_text("y")
    _sync(unnamed)
    disk.cut_power()
    assert (kept.read_text(), lost.exists(), unnamed.exists()) == ("old", False, False)
    disk.forget()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
