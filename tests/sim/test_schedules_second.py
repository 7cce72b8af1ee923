"""The other half of the seeded fault schedules; see `test_schedules_first`."""

from __future__ import annotations

from tests.sim.schedule import run


def test_seeds_500_to_999_lose_nothing_and_get_stuck_nowhere() -> None:
    failed = {seed: found for seed in range(500, 1000) if (found := run(seed).violations)}
    assert not failed, f"python -m bench.faults --seed {min(failed)} --verbose shows {failed}"
