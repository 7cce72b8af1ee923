"""Which conditions hold, in words; and the waits that they are awaited by."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from edgerig.v1.trial_pb2 import PROTOCOL_STANDARD, DeviceSettings, Trial
from edgerig_agent.protocol.conditions import ClockLimits, Conditions
from edgerig_agent.protocol.idle_base import IdleBase
from edgerig_agent.protocol.parameters import Parameters, parameters
from edgerig_agent.protocol.preconditions import broken, unmet
from edgerig_agent.protocol.waiting import Bases, Start, Waited, cool_down

STANDARD = parameters(Trial(protocol=PROTOCOL_STANDARD))
ZONE = "thermal:0:cpu"
GIB = 2**30
IDLE = Conditions(
    t_mono_ns=0,
    temperatures_c={ZONE: 40.0},
    load1=0.1,
    cpu_count=4,
    memory_bytes=8 * GIB,
    swap_total_bytes=4 * GIB,
    swap_used_bytes=0,
    disk_free_bytes=20 * GIB,
    power_mode="MAXN",
    cpu_governor="schedutil",
    clock_limits=(ClockLimits("policy0", 100.0, 1500.0),),
    fans=(),
    foreign_gpu_processes=(),
    unknown=(),
)
AS_IT_IS = DeviceSettings()


def names(
    conditions: Conditions, settings: DeviceSettings = AS_IT_IS, base_c: float | None = 40.0
) -> list[str]:
    base = None if base_c is None else {ZONE: base_c}
    return [problem.name for problem in unmet(conditions, settings, STANDARD, base)]


def test_an_idle_device_is_fit() -> None:
    assert names(IDLE) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"temperatures_c": {ZONE: 43.1}}, "temperature"),
        ({"load1": 0.8}, "load"),
        ({"swap_used_bytes": 100 * 2**20}, "swap"),
        ({"disk_free_bytes": 200 * 2**20}, "disk"),
        ({"foreign_gpu_processes": ("12 Xorg",)}, "gpu_processes"),
    ],
)
def test_each_condition_is_found_alone_with_reason_and_command(change: dict[str, Any], name: str) -> None:
    problems = unmet(replace(IDLE, **change), AS_IT_IS, STANDARD, {ZONE: 40.0})
    assert [problem.name for problem in problems] == [name]
    assert problems[0].reason and problems[0].command


@pytest.mark.parametrize(
    "change",
    [
        {"temperatures_c": {ZONE: 43.0}},
        {"load1": 0.79},
        {"load1": None},
        {"swap_used_bytes": 80 * 2**20},
        {"swap_used_bytes": None, "swap_total_bytes": None, "disk_free_bytes": None},
    ],
)
def test_limits_are_where_they_are_said_to_be_and_the_unknown_is_not_held_against_it(
    change: dict[str, Any],
) -> None:
    assert names(replace(IDLE, **change)) == []


def test_a_zone_without_a_base_is_not_judged() -> None:
    assert names(replace(IDLE, temperatures_c={"other": 99.0})) == []
    assert names(replace(IDLE, temperatures_c={ZONE: 99.0}), base_c=None) == []


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (DeviceSettings(power_mode="15W"), "power_mode"),
        (DeviceSettings(jetson_clocks=True), "clocks"),
        (DeviceSettings(cpu_governor="performance"), "cpu_governor"),
    ],
)
def test_what_the_trial_asks_for_is_checked(settings: DeviceSettings, name: str) -> None:
    assert names(IDLE, settings) == [name]


def test_what_the_trial_asks_for_and_has_is_fine() -> None:
    pinned = replace(IDLE, clock_limits=(ClockLimits("policy0", 1500.0, 1500.0),))
    asked = DeviceSettings(power_mode="maxn", jetson_clocks=True, cpu_governor="schedutil")
    assert names(pinned, asked) == []


def test_all_problems_are_named_at_once() -> None:
    worst = replace(IDLE, load1=4.0, swap_used_bytes=GIB, temperatures_c={ZONE: 90.0})
    assert names(worst, DeviceSettings(power_mode="15W")) == ["power_mode", "swap", "load", "temperature"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"power_mode": "15W"}, "the power mode went from MAXN to 15W"),
        ({"cpu_governor": "powersave"}, "governor went from schedutil to powersave"),
        ({"clock_limits": (ClockLimits("policy0", 100.0, 900.0),)}, "policy0 100-900 MHz"),
        ({"swap_total_bytes": 0}, "swap space"),
        ({"foreign_gpu_processes": ("9 game",)}, "9 game"),
        ({"disk_free_bytes": 10 * 2**20}, "10 MiB"),
    ],
)
def test_a_condition_that_broke_is_said(change: dict[str, Any], words: str) -> None:
    found = broken(IDLE, replace(IDLE, **change))
    assert len(found) == 1 and words in found[0]


def test_heat_and_load_of_the_work_itself_break_nothing() -> None:
    assert broken(IDLE, replace(IDLE, temperatures_c={ZONE: 95.0}, load1=8.0, swap_used_bytes=GIB)) == []


class Device:
    """A simulated device: conditions by its own clock, which only pauses move."""

    def __init__(self, course: Any, cancel_at_s: float = float("inf")) -> None:
        self.now_s = 0.0
        self.course = course
        self.cancel_at_s = cancel_at_s
        self.notes: list[str] = []
        self.bases: dict[str, IdleBase] = {}

    def look(self) -> Conditions:
        return replace(self.course(self.now_s), t_mono_ns=round(self.now_s * 1e9))

    def pause(self, duration_s: float) -> bool:
        assert duration_s > 0
        self.now_s += duration_s
        return self.now_s >= self.cancel_at_s

    def wait(self, limits: Parameters = STANDARD, settings: DeviceSettings = AS_IT_IS) -> Waited:
        bases = Bases(
            load=lambda now: self.bases.get(now.power_mode),
            save=lambda now, base: self.bases.__setitem__(now.power_mode, base),
        )
        return Start(self.look, self.pause, self.notes.append, bases, lambda: 1e9).wait(settings, limits)


def known(device: Device, base_c: float = 40.0) -> Device:
    device.bases["MAXN"] = IdleBase({ZONE: base_c}, 0.0)
    return device


def test_a_fit_device_starts_at_once() -> None:
    waited = known(Device(lambda now_s: IDLE)).wait()
    assert (waited.unmet, waited.waited_s, waited.cancelled) == ((), 0.0, False)


def test_a_warm_device_is_waited_for_until_it_is_in_the_band() -> None:
    cooling = known(Device(lambda now_s: replace(IDLE, temperatures_c={ZONE: 60.0 - now_s / 10})))
    waited = cooling.wait()
    assert waited.unmet == ()
    assert waited.waited_s == pytest.approx(170.0)
    assert waited.conditions.temperatures_c[ZONE] <= 43.0
    # Once a minute, and with the reason.
    assert len(cooling.notes) == 3
    assert "thermal:0:cpu is at 60.0 °C" in cooling.notes[0] and "600 s" in cooling.notes[0]


def test_a_device_that_stays_busy_is_given_up_after_the_limit() -> None:
    busy = known(Device(lambda now_s: replace(IDLE, load1=3.0)))
    waited = busy.wait()
    assert [problem.name for problem in waited.unmet] == ["load"]
    assert waited.waited_s == pytest.approx(600.0)


def test_what_never_passes_is_not_waited_for() -> None:
    wrong = known(Device(lambda now_s: replace(IDLE, load1=3.0)))
    waited = wrong.wait(settings=DeviceSettings(power_mode="15W"))
    assert [problem.name for problem in waited.unmet] == ["power_mode", "load"]
    assert waited.waited_s == 0.0


def test_a_person_can_end_the_wait() -> None:
    waited = known(Device(lambda now_s: replace(IDLE, load1=3.0), cancel_at_s=12.0)).wait()
    assert waited.cancelled and waited.waited_s < 20.0


def test_the_first_attempt_measures_the_idle_base_and_keeps_it() -> None:
    still = Device(lambda now_s: replace(IDLE, temperatures_c={ZONE: 40.0 + now_s % 10 / 20}))
    waited = still.wait()
    assert waited.unmet == ()
    assert waited.waited_s == pytest.approx(60.0)
    assert still.bases["MAXN"].temperatures_c[ZONE] == pytest.approx(40.125, abs=0.02)
    assert still.wait().waited_s == 0.0


def test_a_device_that_still_cools_down_gives_no_idle_base() -> None:
    cooling = Device(lambda now_s: replace(IDLE, temperatures_c={ZONE: 80.0 - now_s / 20}))
    waited = cooling.wait()
    assert [problem.name for problem in waited.unmet] == ["idle_base"]
    assert cooling.bases == {}


def test_readings_under_load_are_no_idle_base() -> None:
    def busy_first(now_s: float) -> Conditions:
        return replace(
            IDLE, load1=2.0 if now_s < 100 else 0.1, temperatures_c={ZONE: 50.0 if now_s < 100 else 40.0}
        )

    device = Device(busy_first)
    assert device.wait().waited_s == pytest.approx(160.0)
    assert device.bases["MAXN"].temperatures_c[ZONE] == pytest.approx(40.0)


def test_a_device_without_thermometers_needs_no_base() -> None:
    assert Device(lambda now_s: replace(IDLE, temperatures_c={})).wait().waited_s == 0.0


def cooled(temperatures_c: Iterable[float], base_c: float | None = 40.0) -> tuple[float, bool, bool]:
    readings = iter(temperatures_c)
    clock = Device(lambda now_s: IDLE)
    base = None if base_c is None else {ZONE: base_c}
    found = cool_down(lambda: {ZONE: next(readings)}, base, STANDARD, clock.pause, lambda: clock.now_s)
    return found.duration_s, found.reached, found.cancelled


def test_a_cool_down_ends_in_the_band() -> None:
    assert cooled([50.0, 46.0, 43.0]) == (10.0, True, False)


def test_a_cool_down_ends_after_its_limit() -> None:
    assert cooled([50.0] * 200) == (600.0, False, False)


def test_without_a_base_there_is_nothing_to_wait_for() -> None:
    assert cooled([99.0], base_c=None) == (0.0, True, False)
