"""What disturbs a run as a whole, read from its traces."""

from array import array

import pytest

from edgerig_agent.measure.disturbance import (
    CpuTimes,
    hottest_rate_c_per_min,
    low_clock_sources,
    throttle_sources,
)
from edgerig_agent.measure.trace import Field, Trace
from tests.fakes.reports import S

WHOLE = (2 * S, 58 * S)


def trace(**columns: list[int]) -> Trace:
    """A trace of one minute, one sample a second; a column is named by its quantity."""
    fields = tuple(Field(name, name.partition("__")[0], 1.0, "policy0", "", 0) for name in columns)
    times = array("q", range(0, 60 * S, S))
    return Trace("t", S, fields, times, tuple(array("q", values) for values in columns.values()))


def test_a_counter_of_events_that_grew_is_throttling() -> None:
    assert throttle_sources([trace(event_count=[3] * 30 + [4] * 30)], WHOLE) == ["policy0"]
    assert throttle_sources([trace(event_count=[3] * 60)], WHOLE) == []


def test_events_before_the_run_are_not_its_own() -> None:
    assert throttle_sources([trace(event_count=[3] + [4] * 59)], WHOLE) == []


@pytest.mark.parametrize(("bits", "found"), [(0x40, ["policy0"]), (0x20, ["policy0"]), (0x4, []), (0x1, [])])
def test_heat_is_throttling_and_a_power_cap_or_idling_is_not(bits: int, found: list[str]) -> None:
    assert throttle_sources([trace(event_reasons=[0] * 30 + [bits] + [0] * 29)], WHOLE) == found


def clocks(achieved: list[int], floor: int, ceiling: int) -> Trace:
    return trace(frequency_hz=achieved, frequency_floor_hz=[floor] * 60, frequency_ceiling_hz=[ceiling] * 60)


def test_a_pinned_clock_that_was_not_held_is_found() -> None:
    low = [2000] * 30 + [1900] * 2 + [2000] * 28
    assert low_clock_sources([clocks(low, 2000, 2000)], [WHOLE]) == ["policy0"]
    assert low_clock_sources([clocks([1950] * 60, 2000, 2000)], [WHOLE]) == []


def test_a_clock_that_may_move_is_never_low() -> None:
    assert low_clock_sources([clocks([600] * 60, 600, 2000)], [WHOLE]) == []


def gpu(achieved_mhz: list[int], reasons: list[int]) -> Trace:
    fields = (
        Field("c", "frequency_hz", 1e6, "nvml:0:sm_clock", "", 0),
        Field("r", "event_reasons", 1.0, "nvml:0:clock_reasons", "", 0),
    )
    return Trace(
        "nvml_state",
        S,
        fields,
        array("q", range(0, 60 * S, S)),
        (array("q", achieved_mhz), array("q", reasons)),
    )


@pytest.mark.parametrize(
    ("achieved_mhz", "reasons", "found"),
    [
        ([1500] * 60, [0] * 60, []),
        # The power cap holds it down for half of the run.
        ([1500] * 30 + [1100] * 30, [0] * 30 + [0x4] * 30, ["nvml:0:sm_clock"]),
        # It has nothing to do for half of the run.
        ([1500] * 30 + [210] * 30, [0] * 30 + [0x1] * 30, []),
    ],
)
def test_a_locked_gpu_is_held_to_its_clock(
    achieved_mhz: list[int], reasons: list[int], found: list[str]
) -> None:
    trace = gpu(achieved_mhz, reasons)
    assert low_clock_sources([trace], [WHOLE], 1.5e9) == found
    assert low_clock_sources([trace], [WHOLE]) == []


def test_the_hottest_slope_of_the_block_counts() -> None:
    rising = [40 + second // 10 for second in range(60)]  # 6 °C a minute, in steps of a degree
    found = hottest_rate_c_per_min([trace(temperature_c=rising, temperature_c__2=[40] * 60)], [WHOLE])
    assert found == pytest.approx(6.0, rel=0.05)


def test_a_short_block_has_no_slope() -> None:
    assert hottest_rate_c_per_min([trace(temperature_c=[40] * 60)], [(0, 5 * S)]) is None


def test_foreign_load_is_what_is_neither_the_workers_nor_ours() -> None:
    times = CpuTimes(window_s=10.0, cpu_count=2, busy_s=11.0, children_s=9.5, own_s=0.5)
    assert times.foreign_share == pytest.approx(0.05)
    assert CpuTimes(10.0, 2, 9.0, 9.5, 0.5).foreign_share == 0.0
    assert CpuTimes(0.0, 2, 9.0, 1.0, 0.5).foreign_share == 0.0
