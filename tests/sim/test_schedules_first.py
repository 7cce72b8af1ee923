"""Seeded fault schedules on every change; the other half stands beside, so that two processes share them.

A failing seed replays exactly: `python -m bench.faults --seed N --verbose`.
"""

from __future__ import annotations

from tests.sim.schedule import run


def test_seeds_0_to_499_lose_nothing_and_get_stuck_nowhere() -> None:
    failed = {seed: found for seed in range(500) if (found := run(seed).violations)}
    assert not failed, f"python -m bench.faults --seed {min(failed)} --verbose shows {failed}"
