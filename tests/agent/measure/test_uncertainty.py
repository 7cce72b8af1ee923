"""Each part of an energy's uncertainty, against its formula or against known errors."""

import random
from math import hypot, sqrt

import pytest

from edgerig_agent.measure.accuracy import Accuracy, accuracy_of, together
from edgerig_agent.measure.energy import Integral, counter_curve, power_curve
from edgerig_agent.measure.idle import Idle
from edgerig_agent.measure.sources import PowerSource
from edgerig_agent.measure.uncertainty import Part, alias_j, edge_j, expanded, gross_parts, net_parts
from tests.fakes.reports import MS, S

KNOWN = Accuracy(0.01, 0.05)
UNKNOWN = Accuracy(None, None, "nobody says")


def constant(power_w: float = 10.0, accuracy: Accuracy = KNOWN) -> PowerSource:
    times = list(range(0, 20 * S, 10 * MS))
    curve = power_curve(times, [power_w] * len(times))
    return PowerSource("ina3221:x", "module_in", "trapezoid", curve, accuracy, 10 * MS)


def by_name(parts: tuple[Part, ...]) -> dict[str, float | None]:
    return {part.name: part.standard for part in parts}


def test_an_orin_nano_has_the_budget_of_its_datasheet() -> None:
    found = accuracy_of("ina3221:1-0040:1:VDD_IN", 0.005, 5.0)
    assert found.offset_w == pytest.approx(80e-6 / 0.005 * 5.0 / sqrt(3))
    assert found.gain_share == pytest.approx(hypot(0.0025, 0.0025, 0.01, 0.016 / 5.0) / sqrt(3))


def test_a_shunt_that_is_not_known_leaves_the_offset_unknown() -> None:
    found = accuracy_of("ina3221:1-0040:1:VDD_IN", 0.0, 5.0)
    assert found.gain_share is not None and found.offset_w is None
    assert "shunt" in found.unknown_reason


@pytest.mark.parametrize("source", ["nvml:0:power", "rapl:package-0", "other:1"])
def test_where_the_maker_states_nothing_nothing_is_made_up(source: str) -> None:
    found = accuracy_of(source, 0.0, 0.0)
    assert (found.gain_share, found.offset_w) == (None, None) and found.unknown_reason


def test_rails_add_their_offsets_and_weigh_their_gains_in_squares() -> None:
    found = together([(Accuracy(0.01, 0.3), 30.0), (Accuracy(0.02, 0.4), 10.0)])
    assert found.offset_w == pytest.approx(0.5)
    assert found.gain_share == pytest.approx(hypot(0.01 * 0.75, 0.02 * 0.25))
    assert together([(KNOWN, 1.0), (UNKNOWN, 1.0)]).gain_share is None


def test_gain_follows_the_energy_and_offset_the_time() -> None:
    source, window = constant(), [(2 * S, 12 * S)]
    parts = by_name(gross_parts(source, source.integrate(window), window))
    assert parts == {
        "gain": pytest.approx(1.0),
        "offset": pytest.approx(0.5),
        "alias": pytest.approx(0.0, abs=1e-12),
        "edge": pytest.approx(0.0),
    }


def test_unknown_parts_keep_their_reason_and_the_rest_still_counts() -> None:
    source, window = constant(accuracy=UNKNOWN), [(2 * S, 12 * S)]
    parts = gross_parts(source, source.integrate(window), window)
    assert [part.unknown_reason for part in parts if part.standard is None] == ["nobody says"] * 2
    assert expanded(parts) == pytest.approx(0.0, abs=1e-9)


def test_an_edge_costs_its_step_times_the_update_period() -> None:
    times = list(range(0, 20 * S, 10 * MS))
    curve = power_curve(times, [5.0 if t < 5 * S or t > 15 * S else 25.0 for t in times])
    # The window begins and ends with the work: a step of 20 W at both edges.
    window = [(5 * S - 1, 15 * S + 1)]
    assert edge_j(curve, window, 100 * MS) == pytest.approx(sqrt(2) * 20 * 0.1 / sqrt(12), rel=1e-6)
    assert edge_j(curve, window * 4, 100 * MS) == pytest.approx(2 * edge_j(curve, window, 100 * MS))


def test_an_edge_of_a_counter_is_that_of_its_slopes() -> None:
    times = list(range(0, 20 * S, 100 * MS))
    raws = [int(5e6 * t / S) if t < 10 * S else int(5e7 + 25e6 * (t - 10 * S) / S) for t in times]
    curve = counter_curve(times, raws, 0, 1e-6)
    assert edge_j(curve, [(10 * S + 50 * MS, 15 * S)], 100 * MS) == pytest.approx(
        20 * 0.1 / sqrt(12), rel=0.01
    )


def test_alias_is_the_spread_of_white_noise() -> None:
    errors, stated = [], []
    for seed in range(200):
        chance = random.Random(seed)
        times = list(range(0, 2 * S, 10 * MS))
        curve = power_curve(times, [10.0 + chance.gauss(0.0, 2.0) for _ in times])
        window = (S // 2, 3 * S // 2)
        errors.append(curve.integrate([window]).energy_j - 10.0)
        stated.append(alias_j(curve, [window]))
    rms = sqrt(sum(e * e for e in errors) / len(errors))
    assert sqrt(sum(u * u for u in stated) / len(stated)) == pytest.approx(rms, rel=0.15)


def test_a_window_between_two_samples_knows_no_more_than_they_do() -> None:
    curve = power_curve([0, 10 * MS, 20 * MS], [10.0, 30.0, 30.0])
    assert alias_j(curve, [(2 * MS, 4 * MS)]) == pytest.approx(20.0 * 0.002 / sqrt(12))


def test_a_counter_has_no_alias_but_nvml_does_not_say() -> None:
    curve = counter_curve(range(0, 10 * S, S // 10), range(100), 0, 1.0)
    window = [(S, 9 * S)]
    for source, alias in (("rapl:package-0", 0.0), ("nvml:0:energy", None)):
        power = PowerSource(source, "cpu_pkg", "counter_difference", curve, UNKNOWN, 1e8)
        assert by_name(gross_parts(power, power.integrate(window), window))["alias"] == alias


def test_net_energy_has_the_gain_of_its_rest_no_offset_and_the_drift_of_idle() -> None:
    source, window = constant(), [(2 * S, 12 * S)]
    idle = Idle(4.0, 5.0, ((0, S), (13 * S, 14 * S)))
    parts = by_name(net_parts(source, 55.0, source.integrate(window), window, idle))
    assert parts["gain"] == pytest.approx(0.55)
    assert parts["offset"] == 0.0
    assert parts["idle"] == pytest.approx(1.0 / sqrt(12) * 10.0)


def test_with_one_idle_window_its_part_is_unknown() -> None:
    source, window = constant(), [(2 * S, 12 * S)]
    parts = net_parts(source, 60.0, Integral(100.0, 10.0, 10.0, 1000), window, Idle(4.0, None, ((0, S),)))
    (idle,) = [part for part in parts if part.name == "idle"]
    assert idle.standard is None and "idle window" in idle.unknown_reason
