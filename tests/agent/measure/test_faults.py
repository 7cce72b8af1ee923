"""Sensors that fail in mid-run: found in the trace, named, and never counted."""

import errno
import random
from array import array
from collections.abc import Sequence

import pytest

from edgerig_agent.measure.faults import Fault, find_faults
from edgerig_agent.measure.sources import PowerSource, power_sources
from edgerig_agent.measure.trace import Field, Trace
from edgerig_agent.probes.base import UNREAD
from tests.fakes.reports import MS, S

TICK = 10 * MS
WORK = [(0, 20 * S)]
CURRENT = Field("i", "current_a", 1e-3, "ina3221:1-0040:1:VDD_IN", "module_in", 0, 0.005)
VOLTAGE = Field("v", "voltage_v", 1e-3, "ina3221:1-0040:1:VDD_IN", "module_in", 0, 0.005)
COUNTER = Field("c", "energy_j", 1e-6, "rapl:package-0", "cpu_pkg", 10**12)


def noisy(count: int = 2000) -> list[int]:
    chance = random.Random(3)
    return [2000 + round(chance.gauss(0, 20)) for _ in range(count)]


def rail(milliamperes: Sequence[int]) -> Trace:
    times = array("q", range(0, TICK * len(milliamperes), TICK))
    columns = (array("q", milliamperes), array("q", [5000] * len(milliamperes)))
    return Trace("ina3221", TICK, (CURRENT, VOLTAGE), times, columns)


def counter(raws: Sequence[int]) -> Trace:
    times = array("q", range(0, TICK * len(raws), TICK))
    return Trace("rapl", TICK, (COUNTER,), times, (array("q", raws),))


def the_fault(trace: Trace, field: Field = CURRENT) -> Fault:
    (fault,) = find_faults(trace, field, WORK)
    return fault


def the_source(trace: Trace) -> PowerSource:
    (source,) = power_sources([trace], WORK)
    return source


def test_a_working_sensor_has_no_faults() -> None:
    assert find_faults(rail(noisy()), CURRENT, WORK) == []
    assert find_faults(counter([10**9 + 200_000 * i for i in range(2000)]), COUNTER, WORK) == []


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (errno.ENODATA, "no_data", "No data available"),
        (errno.ENODEV, "vanished", "No such device"),
        (errno.EIO, "unreadable", "Input/output error"),
        (0, "unreadable", "the sensor gave no number"),
    ],
)
def test_readings_that_fail_are_one_fault_with_the_kernels_reason(code: int, kind: str, reason: str) -> None:
    values = noisy()
    values[700:900] = [UNREAD + code] * 200
    fault = the_fault(rail(values))
    assert (fault.kind, fault.reason, fault.begin_ns, fault.end_ns) == (kind, reason, 7 * S, 9 * S)


def test_a_rail_that_stands_still_among_noise_has_stalled() -> None:
    values = noisy()
    values[700:900] = [values[700]] * 200
    fault = the_fault(rail(values))
    assert (fault.kind, fault.begin_ns, fault.end_ns) == ("stalled", 7 * S, 9 * S)


def test_a_quiet_rail_has_not_stalled() -> None:
    # Noise of a tenth of a step: most readings are the same, and runs of 1 s are nothing special.
    chance = random.Random(1)
    values = [2000 + (chance.random() < 0.02) for _ in range(2000)]
    assert find_faults(rail(values), CURRENT, WORK) == []


def test_a_rail_may_stand_still_while_the_device_idles() -> None:
    values = noisy()
    values[700:900] = [values[700]] * 200
    assert find_faults(rail(values), CURRENT, [(0, 7 * S), (9 * S, 20 * S)]) == []


def test_a_rail_that_has_nothing_to_do_for_a_while_has_not_stalled() -> None:
    # Idle in steps as coarse as the noise before and after the work, and for 4 s in the middle of it.
    chance = random.Random(2)
    busy = [2000 + 20 * round(chance.gauss(0, 5)) for _ in range(2000)]
    busy[800:1200] = [240] * 400
    values = [240] * 500 + busy + [240] * 500
    work = [(5 * S, 25 * S)]
    assert find_faults(rail(values), CURRENT, work) == []
    (source,) = power_sources([rail(values)], work)
    assert source.integrate(work).coverage == pytest.approx(1.0)


def test_faults_beyond_the_hundredth_are_left_out_too() -> None:
    values = noisy()
    values[0:240:2] = [UNREAD + errno.EIO] * 120
    values[700:703] = [300_000_000] * 3
    source = the_source(rail(values))
    whole = source.integrate([(3 * S, 15 * S)])
    assert whole.energy_j / whole.covered_s == pytest.approx(10.0, rel=0.01)
    assert source.fault_flags([(5 * S, 15 * S)]) == ("sensor_jumped",)


@pytest.mark.parametrize("jump", [2_000_000, -2_000_000])
def test_a_reading_beyond_the_range_of_the_sensor_is_a_jump(jump: int) -> None:
    values = noisy()
    values[700] = jump
    fault = the_fault(rail(values))
    assert (fault.kind, fault.begin_ns, fault.end_ns) == ("jumped", 7 * S, 7 * S + TICK)


def test_a_load_that_is_ten_times_larger_for_a_moment_is_no_jump() -> None:
    values = noisy()
    values[700:703] = [20_000] * 3
    assert find_faults(rail(values), CURRENT, WORK) == []


def test_a_counter_that_stands_still_has_stalled() -> None:
    raws = [200_000 * i for i in range(2000)]
    raws[700:900] = [raws[700]] * 200
    fault = the_fault(counter(raws), COUNTER)
    assert (fault.kind, fault.begin_ns, fault.end_ns) == ("stalled", 7 * S, 9 * S)


def test_a_counter_that_fell_was_reset_and_one_that_leapt_has_jumped() -> None:
    raws = [200_000 * i for i in range(1000)]
    assert the_fault(counter(raws[:500] + raws[:500]), COUNTER).kind == "counter_reset"
    leapt = raws[:500] + [raw + 10**10 for raw in raws[500:]]
    assert the_fault(counter(leapt), COUNTER).kind == "jumped"


def faulty(kind: str) -> Trace:
    values = noisy()
    if kind == "stalled":
        # The reading hangs at a tenth of the true power.
        values[700:900] = [200] * 200
    elif kind == "jumped":
        values[700:709] = [2_000_000] * 9
    else:
        code = {"no_data": errno.ENODATA, "vanished": errno.ENODEV}[kind]
        values[700:900] = [UNREAD + code] * 200
    return rail(values)


@pytest.mark.parametrize("kind", ["no_data", "vanished", "stalled", "jumped"])
def test_no_fault_is_counted_and_each_flags_its_figure(kind: str) -> None:
    source = the_source(faulty(kind))
    window = [(5 * S, 15 * S)]
    integral = source.integrate(window)
    assert integral.energy_j / integral.covered_s == pytest.approx(10.0, rel=0.01)
    assert integral.coverage < 0.995
    assert source.fault_flags(window) == (f"sensor_{kind}",)
    assert source.fault_flags([(10 * S, 15 * S)]) == ()


def test_a_counter_is_not_believed_over_its_stall() -> None:
    raws = [200_000 * i for i in range(2000)]
    # It hangs, and goes on from where it hung: 40 J are lost, and must not be 0.
    raws[700:] = [raws[700]] * 200 + [raw - 200 * 200_000 for raw in raws[900:]]
    source = the_source(counter(raws))
    integral = source.integrate([(5 * S, 15 * S)])
    assert integral.energy_j / integral.covered_s == pytest.approx(20.0, rel=1e-6)
    assert integral.coverage == pytest.approx(0.8, abs=0.01)


def test_a_sum_of_rails_lacks_the_time_in_which_one_of_them_was_silent() -> None:
    fields: list[Field] = []
    columns: list[array[int]] = []
    for label in ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"):
        name = f"ina3221:1-0040:1:{label}"
        fields += [Field(f"{name}:{q}", q, 1e-3, name, "rail", 0) for q in ("current_a", "voltage_v")]
        columns += [array("q", noisy()), array("q", [5000] * 2000)]
    for index in range(700, 900):
        columns[2][index] = UNREAD + errno.ENODATA
    times = array("q", range(0, TICK * 2000, TICK))
    sources = power_sources([Trace("ina3221", TICK, tuple(fields), times, tuple(columns))], WORK)
    (total,) = [source for source in sources if source.is_total]
    integral = total.integrate([(5 * S, 15 * S)])
    assert integral.coverage == pytest.approx(0.8, abs=0.01)
    assert integral.energy_j / integral.covered_s == pytest.approx(30.0, rel=0.01)
    assert total.fault_flags([(5 * S, 15 * S)]) == ("sensor_no_data",)
