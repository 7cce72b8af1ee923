"""When temperatures stand still, on a tree of files and a clock that only the test moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerig_workload.heat import Heat

SECOND_NS = 1_000_000_000


class Zones:
    """Thermal zones whose temperatures the test writes."""

    def __init__(self, root: Path, count: int = 1) -> None:
        self.now_ns = 0
        self.paths = [root / f"thermal_zone{number}/temp" for number in range(count)]
        for path in self.paths:
            path.parent.mkdir()
            path.write_text("40000\n")

    def set(self, *celsius: float) -> None:
        for path, value in zip(self.paths, celsius, strict=True):
            path.write_text(f"{round(value * 1000)}\n")


@pytest.mark.parametrize(
    ("rate_c_per_min", "settled"), [(0.0, True), (0.4, True), (0.6, False), (-0.6, False)]
)
def test_half_a_degree_a_minute_is_the_limit(tmp_path: Path, rate_c_per_min: float, settled: bool) -> None:
    zones = Zones(tmp_path)
    heat = Heat(tmp_path, clock=lambda: zones.now_ns)
    answers = []
    for second in range(0, 91, 5):
        zones.now_ns = second * SECOND_NS
        zones.set(40 + rate_c_per_min * second / 60)
        answers.append(heat.settled())
    heat.close()

    assert answers[:12] == [False] * 12
    assert set(answers[12:]) == {settled}


def test_every_zone_must_stand_still(tmp_path: Path) -> None:
    zones = Zones(tmp_path, count=2)
    heat = Heat(tmp_path, clock=lambda: zones.now_ns)
    for second in range(0, 91, 5):
        zones.now_ns = second * SECOND_NS
        zones.set(40, 40 + second / 60)
        answer = heat.settled()
    heat.close()

    assert not answer


def test_the_zones_are_not_read_at_every_request(tmp_path: Path) -> None:
    zones = Zones(tmp_path)
    heat = Heat(tmp_path, clock=lambda: zones.now_ns)
    zones.now_ns = 0
    heat.settled()
    zones.set(90)
    zones.now_ns = 4 * SECOND_NS
    heat.settled()
    zones.set(40)
    for second in range(5, 91, 5):
        zones.now_ns = second * SECOND_NS
        answer = heat.settled()
    heat.close()

    # The ninety degrees came and went between two looks.
    assert answer


def test_a_device_without_zones_has_nothing_to_await(tmp_path: Path) -> None:
    heat = Heat(tmp_path)

    assert heat.settled() and not heat.is_known


@pytest.mark.parametrize(("slope", "settled"), [(0.7, True), (0.5, False)])
def test_slope_and_window_are_parameters(tmp_path: Path, slope: float, settled: bool) -> None:
    zones = Zones(tmp_path)
    heat = Heat(tmp_path, lambda: zones.now_ns, slope_c_per_min=slope, window_s=20)
    answers = []
    for second in range(0, 31, 5):
        zones.now_ns = second * SECOND_NS
        zones.set(40 + 0.6 * second / 60)
        answers.append(heat.settled())
    heat.close()

    assert answers[:4] == [False] * 4
    assert set(answers[4:]) == {settled}
