"""Which measurement a claim's figure is, and that boundaries never meet."""

from __future__ import annotations

import dataclasses

from edgerig_controller.evidence.build import build
from edgerig_controller.evidence.figures import named
from edgerig_controller.store.rows import MeasurementRow
from tests.controller.evidence.made import study

ROW = MeasurementRow(
    attempt_id="a", cell_index=0, seed=1, repeat=1, name="ttft_s", phase="inference", statistic="p50",
    value=1.0, unavailable_reason="", low=None, high=None, interval_kind="", boundary="", source="s",
    method="", sample_count=1, effective_rate_hz=None, coverage=None, flags=[],
)  # fmt: skip


def rows(*changes: dict[str, object]) -> list[MeasurementRow]:
    return [dataclasses.replace(ROW, **change) for change in changes]  # type: ignore[arg-type]


def test_a_bare_latency_is_the_median_and_percentiles_have_names() -> None:
    found = named(rows({"statistic": "mean", "value": 9.0}, {}, {"statistic": "p95", "value": 3.0}))
    assert found[("ttft_s", "")] == 1.0
    assert (found[("ttft_p95_s", "")], found[("ttft_mean_s", "")]) == (3.0, 9.0)


def test_memory_is_the_largest_phase() -> None:
    peak = {"name": "rss_peak_bytes", "statistic": "peak"}
    found = named(rows({**peak, "phase": "load", "value": 5.0}, {**peak, "phase": "inference", "value": 3.0}))
    assert found[("rss_peak_bytes", "")] == 5.0


def test_energy_is_that_of_inference_and_training_has_a_name() -> None:
    energy = {"name": "energy_j", "statistic": "sum", "boundary": "module_in"}
    found = named(rows({**energy, "phase": "train", "value": 50.0}, {**energy, "value": 2.0}))
    assert found[("energy_j", "module_in")] == 2.0
    assert found[("train_j", "module_in")] == 50.0


def test_rails_gaps_and_what_is_no_number_do_not_enter() -> None:
    assert named(rows({"boundary": "rail"}, {"value": None}, {"value": float("nan")})) == {}


def test_two_sensors_of_one_boundary_stay_apart() -> None:
    energy = {"name": "energy_j", "boundary": "cpu_pkg"}
    found = named(rows({**energy, "source": "rapl:0"}, {**energy, "source": "rapl:1", "value": 4.0}))
    assert found == {
        ("energy_j", "cpu_pkg"): 1.0,
        ("inference_energy_j", "cpu_pkg"): 1.0,
        ("energy_j", "cpu_pkg (rapl:1)"): 4.0,
        ("inference_energy_j", "cpu_pkg (rapl:1)"): 4.0,
    }


def test_claims_see_one_boundary_and_the_choice_is_said() -> None:
    found = build([study("a"), study("b", device="nano", boundary="wall_ac")])
    (task,) = found.records.tasks
    assert found.boundary == "wall_ac"
    assert {table.boundary for table in task.runs} == {"", "wall_ac"}
    assert {table.boundary for table in found.tables["lamp-2"]} == {"", "wall_ac", "module_in"}
    assert any(notice.code == "mixed_boundaries" for notice in found.notices)


def test_the_boundary_that_covers_more_is_chosen_before_the_wider_one() -> None:
    found = build([study("a"), study("b", device="nano", boundary="wall_ac", models=("org/small",))])
    assert found.boundary == "module_in"
