"""What start-up finds out about a sensor."""

import json
import random
from pathlib import Path

import pytest

from edgerig_agent.measure.character import describe, pace, voltage_every
from edgerig_agent.probes.base import UNREAD, Channel
from tests.agent.measure.test_sampler import start, stop
from tests.fakes import sysfs_tree

MS = 1_000_000


def test_a_counter_shows_its_period_and_its_least_step() -> None:
    times = list(range(0, 350 * MS, MS))
    found = describe(times, [t // (100 * MS) * 20 for t in times], 1e-3, is_counter=True)
    assert found["update_s"] == pytest.approx(0.1)
    assert found["least_step"] == pytest.approx(0.020)
    assert found["noise_sd"] is None


def test_a_noisy_channel_shows_its_spread() -> None:
    chance = random.Random(1)
    raws = [1000 + 8 * round(chance.gauss(0, 2)) for _ in range(350)]
    found = describe([index * MS for index in range(350)], raws, 1e-3, is_counter=False)
    assert found["noise_sd"] == pytest.approx(0.016, rel=0.15)
    assert found["least_step"] == pytest.approx(0.008)


def test_a_channel_that_stands_still_shows_no_period() -> None:
    found = describe([0, MS, 2 * MS, 3 * MS], [5, 5, 5, 5], 1.0, is_counter=False)
    assert (found["update_s"], found["least_step"], found["noise_sd"]) == (None, None, 0.0)


def test_readings_that_fail_do_not_count() -> None:
    found = describe([0, MS, 2 * MS, 3 * MS], [5, UNREAD + 61, 5, 5], 1.0, is_counter=False)
    assert found["reading_count"] == 3 and found["noise_sd"] == 0.0


@pytest.mark.parametrize(
    ("current_ms", "whole_ms", "expected"),
    [
        (0.05, 0.1, 10),  # a plain file: no more seldom than asked
        (3.3, 23.1, 12),  # an INA3221 that waits for a conversion at every file: 3.3 + 19.8 / 12 is 5 ms
        (4.99, 26.5, 100),  # never more seldom than this
        (9.0, 30.0, 100),  # the currents alone take too long
    ],
)
def test_voltages_are_read_as_seldom_as_the_scan_time_asks(
    current_ms: float, whole_ms: float, expected: int
) -> None:
    assert voltage_every(round(current_ms * MS), round(whole_ms * MS), 10 * MS, 10) == expected


class SlowProbe:
    """A probe whose scan takes a while by the clock that is handed in."""

    name = "slow"
    interval_ns = 10 * MS

    def __init__(self, clock: list[int], scan_ns: int) -> None:
        self._clock = clock
        self._scan_ns = scan_ns

    def describe(self) -> tuple[Channel, ...]:
        return (Channel("slow:0", "power_w", "module_in", 1e-3),)

    open = describe

    def read_all(self) -> list[int]:
        self._clock[0] += self._scan_ns
        return [1]

    def close(self) -> None:
        pass


def test_a_probe_that_takes_longer_than_half_an_interval_is_read_in_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0]
    monkeypatch.setattr("time.monotonic_ns", lambda: clock[0])
    assert pace(SlowProbe(clock, 2 * MS), 10 * MS) == 1
    assert pace(SlowProbe(clock, 12 * MS), 10 * MS) == 3


def test_a_real_sampler_leaves_what_it_found_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    base = sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 1200)])
    sysfs_tree.write(base / "shunt1_resistor", 5000)
    process = start(tmp_path, root)
    stop(process)
    summary = json.loads((tmp_path / "sampler.json").read_text())
    (current, voltage) = summary["sensors"]
    assert (current["quantity"], voltage["quantity"]) == ("current_a", "voltage_v")
    assert current["reading_count"] > 20 and 0 < current["scan_s"] < 0.1
    header = json.loads((tmp_path / "trace/ina3221.trace").read_bytes()[:4096])
    assert header["fields"][0]["shunt_ohm"] == pytest.approx(0.005)
