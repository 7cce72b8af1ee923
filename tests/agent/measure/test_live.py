"""Energy while it is used, from traces that a real writer is appending to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgerig_agent.measure.live import open_live
from edgerig_agent.measure.tracefile import TraceWriter
from edgerig_agent.probes.base import UNREAD

S = 10**9


def field(source: str, unit: str, boundary: str, scale: float = 1e-3, **more: Any) -> dict[str, Any]:
    name = f"{source}:{unit}"
    return {"name": name, "unit": unit, "scale": scale, "source": source, "boundary": boundary, **more}


def writer(folder: Path, name: str, *fields: dict[str, Any]) -> TraceWriter:
    (folder / "trace").mkdir(exist_ok=True)
    header = {
        "schema": 1,
        "name": name,
        "clock": "CLOCK_MONOTONIC",
        "interval_ns": 10_000_000,
        "jitter": "stratified",
        "seed": 1,
        "began_mono_ns": 1,
        "boot_id": "b",
    }
    return TraceWriter(str(folder / "trace" / f"{name}.trace"), header, list(fields))


def test_power_is_integrated_as_it_comes_but_for_the_newest_record(tmp_path: Path) -> None:
    trace = writer(tmp_path, "board", field("board:0", "power_w", "module_in"))
    trace.append(1 * S, [2000])
    live = open_live(tmp_path)
    assert live is not None
    seen = []
    for t_s, power_mw in ((2, 4000), (3, 4000), (4, 9000)):
        trace.append(t_s * S, [power_mw])
        live.update()
        seen.append(live.energy_j)

    assert seen == [0.0, 3.0, 7.0]
    assert live.t_mono_ns == 3 * S


def test_a_counter_goes_on_through_its_wrap(tmp_path: Path) -> None:
    counter = field("rapl:package-0", "energy_j", "cpu_pkg", scale=1e-6, wrap_raw=1_000_000)
    trace = writer(tmp_path, "rapl", counter)
    for t_s, raw in ((1, 900_000), (2, 950_000), (3, 50_000), (4, 50_000), (5, 60_000)):
        trace.append(t_s * S, [raw])
    live = open_live(tmp_path)
    assert live is not None

    live.update()

    assert live.energy_j == pytest.approx(0.15)


def test_current_times_voltage_is_a_figure_and_unread_records_are_passed_over(tmp_path: Path) -> None:
    trace = writer(
        tmp_path,
        "ina",
        field("ina:VDD_IN", "voltage_v", "module_in"),
        field("ina:VDD_IN", "current_a", "module_in"),
    )
    for t_s, current in ((1, 1000), (2, UNREAD), (3, 1000), (4, 1000)):
        trace.append(t_s * S, [5000, current])
    live = open_live(tmp_path)
    assert live is not None

    live.update()

    assert live.energy_j == pytest.approx(10.0)


def test_rails_that_are_all_inputs_of_a_module_are_summed(tmp_path: Path) -> None:
    names = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
    fields = [field(f"ina:{name}", unit, "rail") for name in names for unit in ("voltage_v", "current_a")]
    trace = writer(tmp_path, "ina", *fields)
    for t_s in (1, 2, 3):
        trace.append(t_s * S, [5000, 1000] * 3)
    live = open_live(tmp_path)
    assert live is not None

    live.update()

    assert (live.figure.boundary, live.energy_j) == ("rails_sum", pytest.approx(15.0))


def test_the_figure_that_holds_most_of_the_box_is_followed(tmp_path: Path) -> None:
    for name, boundary in (("a", "cpu_pkg"), ("b", "module_in"), ("c", "rail")):
        writer(tmp_path, name, field(f"{name}:0", "power_w", boundary)).append(S, [1])

    live = open_live(tmp_path)

    assert live is not None
    assert live.figure.source == "b:0"


def test_single_rails_are_no_total(tmp_path: Path) -> None:
    writer(tmp_path, "a", field("a:0", "power_w", "rail")).append(S, [1])

    assert open_live(tmp_path) is None


def test_resolution_is_the_interval_and_what_the_sensor_needs(tmp_path: Path) -> None:
    slow = field("a:0", "power_w", "module_in", update_interval_ns=50_000_000)
    writer(tmp_path, "a", slow).append(S, [1])

    live = open_live(tmp_path)

    assert live is not None
    assert live.resolution_s == pytest.approx(0.06)
