"""Response, lag, period, noise, additivity and gain, on series whose truth is known."""

import math
import random
from collections.abc import Callable
from statistics import fmean

import pytest

from edgerig_agent.measure.accuracy import accuracy_of
from edgerig_agent.measure.energy import counter_curve, power_curve
from edgerig_agent.measure.sources import PowerSource
from edgerig_agent.selftest.comparison import additivity, fit
from edgerig_agent.selftest.findings import Findings
from edgerig_agent.selftest.response import Response, analyse, student
from edgerig_agent.selftest.wave import Wave, next_wave

S = 1_000_000_000
WAVE = Wave("cpu", 10 * S, 2 * S, 8)
IDLE = (2 * S, 9 * S)
Power = Callable[[float], float]


def source(
    power: Power, *, boundary: str = "module_in", name: str = "ina3221:1-0040:1:VDD_IN", hz: int = 100
) -> PowerSource:
    """A sensor that is read at jittered instants from 0 to 28 s."""
    draw = random.Random(7)
    times = [int((index + draw.random()) * S / hz) for index in range(28 * hz)]
    curve = power_curve(times, [power(t_ns / S) for t_ns in times])
    return PowerSource(name, boundary, "trapezoid", curve, accuracy_of(name, 0.0, 0.0), curve.interval_ns)


def square(low_w: float, high_w: float, lag_s: float = 0.0) -> Power:
    return lambda t_s: high_w if WAVE.sign(int((t_s - lag_s) * S)) > 0 else low_w


def test_a_wave_begins_at_a_whole_period() -> None:
    wave = next_wave("cpu", 7 * S + 1, 2 * S, 3)
    assert (wave.begin_ns, wave.end_ns) == (8 * S, 14 * S)
    assert [wave.sign(t) for t in (8 * S - 1, 8 * S, 9 * S - 1, 9 * S, 14 * S - 1, 14 * S)] == [
        0,
        1,
        1,
        -1,
        -1,
        0,
    ]
    assert next_wave("cpu", 8 * S, 2 * S, 3).begin_ns == 8 * S


@pytest.mark.parametrize("lag_s", [0.0, 0.035, 0.2])
def test_a_sensor_that_follows_shows_its_response_and_its_lag(lag_s: float) -> None:
    found = analyse(source(square(5.0, 12.0, lag_s)), WAVE, IDLE)
    assert (found.off_w, found.on_w, found.response_w) == pytest.approx((5.0, 12.0, 7.0))
    assert found.responds
    assert found.lag_s == pytest.approx(lag_s, abs=0.011)
    assert (found.idle_w, found.noise_w, found.step_w) == pytest.approx((5.0, 0.0, 7.0))
    assert found.rate_hz == pytest.approx(100.0, rel=0.02)


def test_a_second_of_averaging_is_a_lag_of_half_a_second() -> None:
    instant = square(5.0, 12.0)

    def averaged(t_s: float) -> float:
        return fmean(instant(t_s - back / 50) for back in range(50))

    found = analyse(source(averaged), WAVE, IDLE)
    assert found.lag_s == pytest.approx(0.5, abs=0.03)


def test_noise_alone_is_no_response() -> None:
    # Of 40 such sensors about one is expected above zero: the interval has two sides.
    count = 0
    for seed in range(40):
        draw = random.Random(seed)
        count += analyse(source(lambda t_s, draw=draw: draw.gauss(10.0, 0.5)), WAVE, IDLE).responds  # type: ignore[misc]
    assert count <= 4


def test_a_small_response_in_noise_is_found_with_its_interval() -> None:
    draw = random.Random(1)
    wave = square(0.0, 0.5)
    found = analyse(source(lambda t_s: 10.0 + wave(t_s) + draw.gauss(0.0, 0.5)), WAVE, IDLE)
    assert found.responds
    assert found.low_w is not None and found.high_w is not None
    assert found.low_w < 0.5 < found.high_w
    assert found.noise_w == pytest.approx(0.5, rel=0.1)


def test_a_stuck_sensor_does_not_respond() -> None:
    found = analyse(source(lambda t_s: 10.0), WAVE, IDLE)
    assert (found.responds, found.lag_s, found.step_w, found.update_s) == (False, None, None, None)


def test_a_sensor_that_is_renewed_slowly_shows_its_period() -> None:
    draw = random.Random(3)
    values = [draw.gauss(10.0, 1.0) for _ in range(400)]
    found = analyse(source(lambda t_s: values[int(t_s / 0.1)]), WAVE, IDLE)
    assert found.update_s == pytest.approx(0.1, abs=0.01)


def test_a_counter_is_as_good_as_a_reading() -> None:
    power = square(5.0, 12.0)
    raws, energy_j = [], 0.0
    for index in range(28 * 100):
        raws.append(round(energy_j * 1e6))
        energy_j += power(index / 100) / 100
    curve = counter_curve([index * S // 100 for index in range(28 * 100)], raws, 0, 1e-6)
    name = "rapl:package-0"
    counter = PowerSource(name, "cpu_pkg", "counter", curve, accuracy_of(name, 0.0, 0.0), curve.interval_ns)
    found = analyse(counter, WAVE, IDLE)
    assert found.responds
    assert found.response_w == pytest.approx(7.0, abs=0.01)
    assert found.lag_s == pytest.approx(0.0, abs=0.02)


def test_a_trace_that_ends_before_the_wave_says_nothing() -> None:
    curve = power_curve([S, 2 * S], [5.0, 5.0])
    name = "nvml:0:power"
    empty = PowerSource(name, "gpu_board", "trapezoid", curve, accuracy_of(name, 0.0, 0.0), curve.interval_ns)
    found = analyse(empty, WAVE, IDLE)
    assert (found.responds, found.response_w, found.on_w) == (False, None, None)


def test_the_interval_is_students() -> None:
    mean, low, high = student([1.0, 2.0, 3.0])
    # scipy.stats.t.interval(0.95, 2, 2, 1 / sqrt(3))
    assert (mean, low, high) == pytest.approx((2.0, -0.4841377, 4.4841377), abs=1e-3)
    assert student([]) == (None, None, None)
    assert student([4.0]) == (4.0, None, None)


def board(rails: dict[str, Power], total: Power) -> list[Response]:
    sources = [source(total)]
    sources += [
        source(power, boundary="rail", name=f"ina3221:1-0040:2:{name}") for name, power in rails.items()
    ]
    return [analyse(one, WAVE, IDLE) for one in sources]


def test_rails_are_a_share_of_their_total() -> None:
    responses = board({"CPU": square(1.0, 5.0), "SOC": square(2.0, 2.5)}, square(5.0, 10.0))
    (found,) = additivity(responses)
    assert (found.idle_share, found.response_share) == pytest.approx((0.6, 0.9))
    assert found.holds


def test_rails_beyond_their_total_are_amiss() -> None:
    responses = board({"CPU": square(1.0, 9.0)}, square(5.0, 10.0))
    (found,) = additivity(responses)
    assert found.response_share == pytest.approx(1.6)
    assert not found.holds
    assert any(
        "more than it" in problem for problem in Findings(2.0, tuple(responses), (found,), (), {}).problems()
    )


def test_rails_of_a_carrier_are_no_part_of_its_module() -> None:
    """A TX2: what its kit takes beside the module flows past VDD_IN."""
    powers = {
        "1-0041:1:VDD_IN": ("module_in", square(4.0, 8.0)),
        "1-0040:1:VDD_SYS_GPU": ("rail", square(1.0, 3.0)),
        "1-0042:2:VDD_5V0_IO_SYS": ("rail", square(9.0, 18.0)),
        "1-0042:1:VDD_MUX": ("carrier_in", square(16.0, 32.0)),
    }
    sources = [source(power, boundary=b, name=f"ina3221:{name}") for name, (b, power) in powers.items()]
    by_total = {one.total: one for one in additivity([analyse(one, WAVE, IDLE) for one in sources])}
    module, carrier = by_total["ina3221:1-0041:1:VDD_IN"], by_total["ina3221:1-0042:1:VDD_MUX"]
    assert module.rails == ("ina3221:1-0040:1:VDD_SYS_GPU",) and module.idle_share == pytest.approx(0.25)
    assert carrier.rails == ("ina3221:1-0041:1:VDD_IN",) and carrier.response_share == pytest.approx(0.25)
    assert module.holds and carrier.holds


def test_a_carriers_input_is_held_against_the_modules_rails_of_another_chip() -> None:
    """AGX Thor: the INA238 in VIN, and the module's rails on an INA3221 below it."""
    vin = source(square(10.0, 20.0), boundary="carrier_in", name="ina238:1-0044:VIN")
    gpu = source(square(4.0, 18.0), boundary="rail", name="ina3221:1-0040:1:VDD_GPU")
    (found,) = additivity([analyse(one, WAVE, IDLE) for one in (vin, gpu)])
    assert found.response_share == pytest.approx(1.4) and not found.holds


def test_a_board_of_rails_alone_has_nothing_to_add_up_to() -> None:
    rails = [source(square(1.0, 2.0), boundary="rail", name="ina3221:1-0040:1:CPU")]
    assert additivity([analyse(one, WAVE, IDLE) for one in rails]) == []


def test_gain_and_offset_against_a_meter() -> None:
    truth = square(5.0, 12.0)
    draw = random.Random(5)
    meter = source(lambda t_s: truth(t_s) + draw.gauss(0, 0.05), boundary="dc_in", name="scpi:bench", hz=10)
    own = source(lambda t_s: 0.97 * truth(t_s) - 0.4)
    found = fit(own, meter, [WAVE], IDLE)
    assert found is not None
    assert found.gain == pytest.approx(0.97, abs=0.01)
    assert found.offset_w == pytest.approx(-0.4, abs=0.08)
    assert 0 < found.gain_error < 0.01
    assert found.point_count == 17


def test_a_meter_that_never_moves_gives_no_gain() -> None:
    assert fit(source(square(5.0, 12.0)), source(lambda t_s: 8.0), [WAVE], IDLE) is None


@pytest.mark.parametrize(
    ("boundary", "load", "expected"),
    [
        ("module_in", "gpu", True),
        ("gpu_board", "cpu", False),
        ("gpu_board", "gpu", True),
        ("rail", "cpu", False),
    ],
)
def test_a_sensor_is_held_to_the_load_that_it_covers(boundary: str, load: str, expected: bool) -> None:
    wave = Wave(load, WAVE.begin_ns, WAVE.period_ns, WAVE.cycle_count)
    stuck = analyse(source(lambda t_s: 10.0, boundary=boundary), wave, IDLE)
    findings = Findings(2.0, (stuck,), (), (), {})
    assert findings.passed is not expected
    assert max(map(len, findings.lines())) <= 80


def test_findings_read_on_a_terminal_and_hold_no_nan() -> None:
    responses = board({"A_RAIL_WITH_A_VERY_LONG_NAME": square(1.0, 5.0)}, square(5.0, 10.0))
    meter = fit(source(square(5.0, 12.0)), source(square(5.5, 13.0), name="shelly:kitchen"), [WAVE], IDLE)
    assert meter is not None and math.isfinite(meter.gain)
    findings = Findings(
        2.0, tuple(responses), tuple(additivity(responses)), (meter,), {"gpu": "no torch " * 20}
    )
    lines = findings.lines()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "Every sensor follows its load."
