"""Power sources of traces and the energy figures of a phase."""

from array import array
from collections.abc import Sequence

import pytest

from edgerig.v1.attempt_pb2 import (
    BOUNDARY_CPU_PKG,
    BOUNDARY_MODULE_IN,
    BOUNDARY_RAIL,
    BOUNDARY_RAILS_SUM,
    PHASE_DECODE,
    PHASE_IDLE_POST,
    PHASE_IDLE_RESIDENT,
    PHASE_INFERENCE,
    PHASE_LOAD,
    PHASE_TRAIN,
    Measurement,
    Phase,
    WorkerEvent,
)
from edgerig_agent.measure.events import WorkerReport, collect
from edgerig_agent.measure.idle import idle_power
from edgerig_agent.measure.power import energy_figures as figures_of
from edgerig_agent.measure.power import idle_figures, why_no_total
from edgerig_agent.measure.sources import PowerSource, power_sources
from edgerig_agent.measure.trace import Field, Trace
from edgerig_agent.probes.base import UNREAD
from tests.fakes.reports import MS, S, find, interval, request, step

TICKS = range(0, 20 * S, S // 100)


def trace(name: str, columns: Sequence[tuple[Field, Sequence[int]]]) -> Trace:
    return Trace(
        name,
        S // 100,
        tuple(field for field, _ in columns),
        array("q", TICKS),
        tuple(array("q", values) for _, values in columns),
    )


def constant(value: int) -> list[int]:
    return [value] * len(TICKS)


def rail(label: str, boundary: str, millivolts: int, milliamperes: int) -> list[tuple[Field, list[int]]]:
    source = f"ina3221:1-0040:1:{label}"
    return [
        (Field(f"{source}:i", "current_a", 1e-3, source, boundary, 0), constant(milliamperes)),
        (Field(f"{source}:v", "voltage_v", 1e-3, source, boundary, 0), constant(millivolts)),
    ]


def phase_of(phase: Phase, begin_ns: int, end_ns: int) -> WorkerReport:
    return collect([WorkerEvent(phase=interval(phase, begin_ns, end_ns))])


def energy_figures(
    sources: Sequence[PowerSource], report: WorkerReport, phase: Phase, flags: tuple[str, ...]
) -> list[Measurement]:
    idles = [idle_power(source, report) for source in sources]
    return figures_of(sources, idles, report, phase, flags)


def test_a_rail_is_current_times_voltage() -> None:
    sources = power_sources([trace("ina3221", rail("VDD_IN", "module_in", 5000, 2000))])
    figures = energy_figures(sources, phase_of(PHASE_LOAD, 2 * S, 7 * S), PHASE_LOAD, ())
    energy = find(figures, "energy_j", "sum")
    assert energy.value == pytest.approx(50.0)
    assert energy.boundary == BOUNDARY_MODULE_IN
    assert energy.source == "ina3221:1-0040:1:VDD_IN"
    assert energy.coverage == pytest.approx(1.0)
    assert find(figures, "power_mean_w", "mean").value == pytest.approx(10.0)


def test_rails_of_an_agx_orin_have_a_sum_beside_them() -> None:
    columns = [
        *rail("VDD_GPU_SOC", "rail", 19000, 100),
        *rail("VDD_CPU_CV", "rail", 19000, 200),
        *rail("VIN_SYS_5V0", "rail", 5000, 1000),
    ]
    sources = power_sources([trace("ina3221", columns)])
    figures = energy_figures(sources, phase_of(PHASE_LOAD, S, 2 * S), PHASE_LOAD, ())
    by_boundary = {(one.name, one.boundary): one.value for one in figures}
    assert by_boundary[("energy_j", BOUNDARY_RAILS_SUM)] == pytest.approx(1.9 + 3.8 + 5.0)
    assert [one for one in figures if one.name == "power_mean_w" and one.boundary == BOUNDARY_RAIL] == []


def test_a_sample_with_one_failed_rail_is_not_in_the_sum() -> None:
    columns = [
        *rail("VDD_GPU_SOC", "rail", 19000, 100),
        *rail("VDD_CPU_CV", "rail", 19000, 200),
        *rail("VIN_SYS_5V0", "rail", 5000, 1000),
    ]
    for index in range(150, 190):
        columns[0][1][index] = UNREAD
    (total,) = [s for s in power_sources([trace("ina3221", columns)]) if s.boundary == "rails_sum"]
    assert total.integrate([(S, 2 * S)]).coverage < 0.98


def test_a_counter_is_a_source_of_its_own() -> None:
    field = Field("rapl:package-0:energy_j", "energy_j", 1e-6, "rapl:package-0", "cpu_pkg", 10**9)
    sources = power_sources([trace("rapl", [(field, [t // 100 for t in TICKS])])])
    figures = energy_figures(sources, phase_of(PHASE_LOAD, 2 * S, 8 * S), PHASE_LOAD, ())
    energy = find(figures, "energy_j", "sum")
    assert (energy.value, energy.boundary) == (pytest.approx(60.0), BOUNDARY_CPU_PKG)
    assert energy.method == "counter_difference"


def nvml_trace(
    energy_per_tick_mj: int, power_mw: int, device: str = "nvml:0", boundary: str = "gpu_board"
) -> Trace:
    counter = Field("c", "energy_j", 1e-3, f"{device}:energy", boundary, 0)
    power = Field("p", "power_w", 1e-3, f"{device}:power", boundary, 0)
    return trace(
        "nvml",
        [
            (counter, [index * energy_per_tick_mj for index in range(len(TICKS))]),
            (power, constant(power_mw)),
        ],
    )


def test_two_readings_of_one_gpu_that_agree_are_both_kept() -> None:
    sources = power_sources([nvml_trace(200, 20_000)])
    figures = energy_figures(sources, phase_of(PHASE_LOAD, 2 * S, 8 * S), PHASE_LOAD, ())
    energies = [one for one in figures if one.name == "energy_j"]
    assert [one.source for one in energies] == ["nvml:0:energy", "nvml:0:power"]
    assert not any(one.flags for one in energies)


@pytest.mark.parametrize(("device", "boundary"), [("nvml:0", "gpu_board"), ("shelly:10.0.0.7", "wall_ac")])
def test_two_readings_of_one_device_that_differ_are_flagged(device: str, boundary: str) -> None:
    sources = power_sources([nvml_trace(200, 22_000, device, boundary)])
    figures = energy_figures(sources, phase_of(PHASE_LOAD, 2 * S, 8 * S), PHASE_LOAD, ())
    assert all("sources_disagree" in one.flags for one in figures if one.name == "energy_j")


def test_a_window_of_few_counter_steps_is_flagged_as_short() -> None:
    sources = power_sources([nvml_trace(200, 30_000)])
    figures = energy_figures(sources, phase_of(PHASE_LOAD, 2 * S, 2 * S + 200 * MS), PHASE_LOAD, ())
    (by_counter, by_power) = [one for one in figures if one.name == "energy_j"]
    assert "short_window" in by_counter.flags
    # Nor is a counter that hardly moved in it held against the power.
    assert "sources_disagree" not in by_power.flags
    assert "short_window" not in by_power.flags


def test_energy_per_token_is_a_ratio_of_sums() -> None:
    sources = power_sources([trace("ina3221", rail("VDD_IN", "module_in", 5000, 2000))])
    requests = [
        WorkerEvent(request=request(i, (i + 1) * S, prefill_ns=10 * MS, gaps_ns=[20 * MS] * 4))
        for i in range(3)
    ]
    report = collect([*requests, WorkerEvent(phase=interval(PHASE_INFERENCE, S, 4 * S))])
    decode = energy_figures(sources, report, PHASE_DECODE, ())
    inference = energy_figures(sources, report, PHASE_INFERENCE, ())
    assert find(decode, "j_per_output_token", "ratio").value == pytest.approx(10.0 * 0.020)
    assert find(inference, "j_per_request", "ratio").value == pytest.approx(10.0)


def test_energy_per_train_token_counts_all_steps() -> None:
    sources = power_sources([trace("ina3221", rail("VDD_IN", "module_in", 5000, 2000))])
    report = collect(
        [
            WorkerEvent(phase=interval(PHASE_TRAIN, S, 3 * S)),
            WorkerEvent(train_step=step(0, S, S, tokens=30)),
            WorkerEvent(train_step=step(1, 2 * S, S, tokens=50)),
        ]
    )
    figures = energy_figures(sources, report, PHASE_TRAIN, ())
    assert find(figures, "j_per_train_token", "ratio").value == pytest.approx(20.0 / 80)


def test_a_phase_without_samples_is_unavailable_and_no_zero() -> None:
    sources = power_sources([trace("ina3221", rail("VDD_IN", "module_in", 5000, 2000))])
    figures = energy_figures(sources, phase_of(PHASE_LOAD, 50 * S, 60 * S), PHASE_LOAD, ())
    (energy,) = figures
    assert not energy.HasField("value")
    assert "no sample" in energy.unavailable_reason


def test_a_gap_lowers_the_coverage_and_is_flagged() -> None:
    columns = rail("VDD_IN", "module_in", 5000, 2000)
    for index in range(300, 400):
        columns[0][1][index] = UNREAD
    sources = power_sources([trace("ina3221", columns)])
    figures = energy_figures(sources, phase_of(PHASE_LOAD, 2 * S, 6 * S), PHASE_LOAD, ("indicative",))
    energy = find(figures, "energy_j", "sum")
    assert energy.coverage == pytest.approx(0.75, abs=0.01)
    assert list(energy.flags) == ["indicative", "low_coverage", "sensor_unreadable"]
    assert find(figures, "power_mean_w", "mean").value == pytest.approx(10.0)


def test_no_sensor_at_all_names_what_was_looked_for() -> None:
    assert why_no_total([], "A, B or C") == "no A, B or C energy sensor on this device"


def test_a_sensor_that_may_not_be_read_gives_its_own_reason() -> None:
    channels = [
        {
            "source": "rapl:package-0",
            "quantity": "energy_j",
            "boundary": "cpu_pkg",
            "unavailable_reason": "root only",
        }
    ]
    assert why_no_total(channels, "A") == "rapl:package-0: root only"


def test_rails_without_a_total_say_that_they_do_not_add_up() -> None:
    channels = [
        {"source": "ina3221:1:VDD_GPU", "quantity": "current_a", "boundary": "rail", "unavailable_reason": ""}
    ]
    assert "add up to no known total" in why_no_total(channels, "A")


def idled(resident_ma: int, work_ma: int, post_ma: int) -> tuple[list[PowerSource], WorkerReport]:
    """Five seconds each of resident idle, inference and idle after it, at 5 V."""
    columns = rail("VDD_IN", "module_in", 5000, 0)
    for index, t in enumerate(TICKS):
        columns[0][1][index] = resident_ma if t < 5 * S else work_ma if t < 10 * S else post_ma
    windows = [
        (PHASE_IDLE_RESIDENT, 0, 5 * S),
        (PHASE_INFERENCE, 5 * S, 10 * S),
        (PHASE_IDLE_POST, 10 * S, 15 * S),
    ]
    events = [WorkerEvent(phase=interval(phase, begin, end)) for phase, begin, end in windows]
    return power_sources([trace("ina3221", columns)]), collect(events)


def test_net_energy_takes_off_the_mean_of_the_idles_before_and_after() -> None:
    sources, report = idled(1000, 3000, 1040)
    figures = energy_figures(sources, report, PHASE_INFERENCE, ())
    net = find(figures, "energy_net_j", "sum")
    assert net.value == pytest.approx(5 * (15.0 - 5.1), rel=0.002)
    assert find(figures, "energy_j", "sum").value == pytest.approx(75.0, rel=0.002)
    assert "idle_drift" not in net.flags


def test_idles_that_differ_by_more_than_five_percent_have_drifted() -> None:
    sources, report = idled(1000, 3000, 1060)
    net = find(energy_figures(sources, report, PHASE_INFERENCE, ()), "energy_net_j", "sum")
    assert list(net.flags) == ["idle_drift"]
    (idle,) = idle_figures(sources, [idle_power(sources[0], report)], ())
    assert idle.value == pytest.approx(5.15, rel=0.001) and list(idle.flags) == ["idle_drift"]


def test_without_an_idle_window_net_energy_is_unavailable() -> None:
    sources = power_sources([trace("ina3221", rail("VDD_IN", "module_in", 5000, 2000))])
    figures = energy_figures(sources, phase_of(PHASE_LOAD, 2 * S, 7 * S), PHASE_LOAD, ())
    net = find(figures, "energy_net_j", "sum")
    assert not net.HasField("value") and "idle" in net.unavailable_reason


def test_the_99th_percentile_of_power_states_its_bandwidth() -> None:
    columns = rail("VDD_IN", "module_in", 5000, 2000)
    for index in range(300, 310):
        columns[0][1][index] = 6000
    sources = power_sources([trace("ina3221", columns)])
    figures = energy_figures(sources, phase_of(PHASE_LOAD, 2 * S, 7 * S), PHASE_LOAD, ())
    high = find(figures, "power_p99_w", "p99")
    assert high.value == pytest.approx(30.0)
    assert high.bandwidth_hz == pytest.approx(50.0)


def test_a_percentile_of_power_needs_its_samples() -> None:
    sources = power_sources([trace("ina3221", rail("VDD_IN", "module_in", 5000, 2000))])
    figures = energy_figures(sources, phase_of(PHASE_LOAD, 2 * S, 4 * S), PHASE_LOAD, ())
    high = find(figures, "power_p99_w", "p99")
    assert not high.HasField("value") and high.unavailable_reason.startswith("too_few_samples: 20")


def test_a_counter_has_no_percentile_of_power() -> None:
    field = Field("rapl:package-0:energy_j", "energy_j", 1e-6, "rapl:package-0", "cpu_pkg", 10**9)
    sources = power_sources([trace("rapl", [(field, [t // 100 for t in TICKS])])])
    figures = energy_figures(sources, phase_of(PHASE_LOAD, 2 * S, 8 * S), PHASE_LOAD, ())
    assert "no power" in find(figures, "power_p99_w", "p99").unavailable_reason


def test_every_energy_has_an_interval_and_what_it_is_made_of() -> None:
    sources = power_sources([trace("ina3221", rail("VDD_IN", "module_in", 5000, 2000))])
    figures = energy_figures(sources, phase_of(PHASE_LOAD, 2 * S, 7 * S), PHASE_LOAD, ())
    energy = find(figures, "energy_j", "sum")
    # Nothing is known of the shunt, so the interval is that of the other parts, and says so.
    assert energy.interval_kind == "u95_partial"
    assert [part.name for part in energy.uncertainty] == ["gain", "offset", "alias", "edge"]
    assert not energy.uncertainty[1].HasField("standard") and energy.uncertainty[1].unknown_reason
    reach = 2 * energy.uncertainty[0].standard
    assert (energy.low, energy.high) == (pytest.approx(50.0 - reach), pytest.approx(50.0 + reach))
    # Mean power is energy over time, and so is its uncertainty.
    mean = find(figures, "power_mean_w", "mean")
    assert mean.high - mean.value == pytest.approx(reach / 5.0)


def test_energy_per_step_and_energy_times_time() -> None:
    sources = power_sources([trace("ina3221", rail("VDD_IN", "module_in", 5000, 2000))])
    report = collect(
        [
            WorkerEvent(phase=interval(PHASE_TRAIN, S, 3 * S)),
            WorkerEvent(train_step=step(0, S, S)),
            WorkerEvent(train_step=step(1, 2 * S, S)),
        ]
    )
    figures = energy_figures(sources, report, PHASE_TRAIN, ())
    assert find(figures, "j_per_train_step", "ratio").value == pytest.approx(10.0)
    assert find(figures, "edp_js", "product").value == pytest.approx(40.0)


def test_how_long_a_meter_took_to_answer_widens_its_edges() -> None:
    power = Field("p", "power_w", 1.0, "meter:wall", "wall_ac", 0)
    stamp = Field("s", "stamp_uncertainty_s", 1e-9, "meter:wall", "", 0)
    (source,) = power_sources([trace("meter-wall", [(power, constant(10)), (stamp, constant(20 * MS))])])
    assert source.update_ns == pytest.approx((40**2 + 10**2) ** 0.5 * MS)
