"""What a report says about a study with a failed cell."""

from __future__ import annotations

import dataclasses

import pytest

from edgerig_controller.report.build import build
from edgerig_controller.report.data import StudyData
from edgerig_controller.report.model import Report
from edgerig_controller.report.weights import Weights
from edgerig_controller.store.rows import CellRow
from tests.controller.report.rows import FAILED_CELL, NO_SENSOR, SKILL, attempt, measurement, study_data


def report_of(data: StudyData) -> Report:
    return build(data, now_unix_s=1_780_000_300.0)


@pytest.fixture(scope="module")
def report() -> Report:
    return report_of(study_data())


def test_every_cell_is_in_the_report_also_the_failed_one(report: Report) -> None:
    assert [(cell.index, cell.ok_count) for cell in report.cells] == [
        (0, 2), (1, 2), (2, 2), (3, 2), (4, 2), (5, 0),
    ]  # fmt: skip
    assert (report.trial_count, report.ok_count, report.failed_count) == (12, 10, 2)


def test_quality_lies_near_the_skill_that_was_simulated(report: Report) -> None:
    cell = report.cells[2]
    assert cell.quality.low is not None and cell.quality.high is not None
    assert cell.quality.low < SKILL["lora"] < cell.quality.high
    assert (cell.quality.n_users, cell.quality.n_items, cell.quality.n_seeds) == (40, 160, 2)


def test_each_method_is_contrasted_with_none_of_the_same_model(report: Report) -> None:
    pairs = [(contrast.cell_index, contrast.baseline_index) for contrast in report.contrasts]
    assert pairs == [(1, 0), (2, 0), (4, 3), (5, 3)]


def test_a_contrast_with_a_failed_cell_has_no_estimate(report: Report) -> None:
    assert report.contrasts[-1].difference.estimate is None


def test_peak_memory_is_the_largest_run_of_the_largest_phase(report: Report) -> None:
    ram = report.cells[0].devices[0].ram
    assert ram is not None
    assert (ram.phase, ram.maximum) == ("inference", 3.62e8)


def test_missing_energy_is_reported_with_its_reason(report: Report) -> None:
    assert report.cells[0].devices[0].energy == ()
    assert report.cells[0].devices[0].energy_unavailable == (NO_SENSOR,)
    (entry,) = report.unavailable
    assert (entry.names, entry.words, entry.cell_count) == (("energy_j",), NO_SENSOR, 5)


def test_reasons_that_differ_in_numbers_only_are_told_once() -> None:
    data = study_data()
    rows = tuple(
        measurement(cell, 1, name, None, unavailable_reason=f"too_few_requests: 20 of the {need} needed")
        for cell in data.cells[:2]
        for name, need in (("ttft_s", 59), ("itl_s", 59), ("ttft_s", 299))
    )
    report = report_of(dataclasses.replace(data, measurements=rows))
    (entry,) = report.unavailable
    assert entry.names == ("itl_s", "ttft_s")
    assert entry.words == "too_few_requests: 20 of the 299 needed (and 1 similar)"


def test_no_interval_leaves_the_range_of_its_figure() -> None:
    data = study_data()
    rows = tuple(measurement(data.cells[0], seed, "ttft_s", 0.001 * seed**3) for seed in (1, 2))
    figure = report_of(dataclasses.replace(data, measurements=rows)).cells[0].devices[0].ttft
    assert figure is not None
    assert figure.estimate.low == 0.0


def test_a_failure_names_its_class_phase_and_runs(report: Report) -> None:
    (failure,) = report.failures
    assert (failure.cell_index, failure.failure_class, failure.phase) == (FAILED_CELL, "oom_host", "train")
    assert failure.runs == ("seed 1", "seed 2")
    assert failure.is_result


def test_coverage_shows_every_trial(report: Report) -> None:
    assert {entry.state for row in report.coverage[:5] for entry in row.entries} == {"ok"}
    assert [entry.state for entry in report.coverage[5].entries] == ["oom_host", "oom_host"]


def test_quick_figures_are_indicative_and_starter_models_an_instrument_check(report: Report) -> None:
    assert report.indicative
    assert report.instrument_check


def test_other_models_and_protocols_carry_no_such_badge() -> None:
    data = study_data()
    cells = tuple(dataclasses.replace(c, factors={**c.factors, "model": "org/name@1"}) for c in data.cells)
    rows = tuple(dataclasses.replace(row, flags=[]) for row in data.measurements)
    study = dataclasses.replace(data.study, resolved={"protocol": "publishable"})
    report = report_of(dataclasses.replace(data, study=study, cells=cells, measurements=rows))
    assert not report.indicative
    assert not report.instrument_check


def test_figures_of_two_devices_are_never_pooled() -> None:
    data = study_data()
    moved = tuple(
        dataclasses.replace(row, device_id="orin-07") if row.seed == 2 else row for row in data.attempts
    )
    devices = report_of(dataclasses.replace(data, attempts=moved)).cells[0].devices
    assert [(device.device_id, device.run_count) for device in devices] == [("local", 1), ("orin-07", 1)]
    assert [figure.estimate.n for figure in devices[0].everything if figure.values] == [1] * 5


def test_energy_of_two_boundaries_is_never_pooled() -> None:
    data = study_data()
    extra = tuple(
        measurement(data.cells[0], 1, "energy_j", value, statistic="sum", boundary=boundary, source=boundary)
        for boundary, value in (("module_in", 4.0), ("wall_ac", 7.0))
    )
    report = report_of(dataclasses.replace(data, measurements=data.measurements + extra))
    energy = report.cells[0].devices[0].energy
    assert [(figure.boundary, figure.estimate.estimate) for figure in energy] == [
        ("module_in", 4.0),
        ("wall_ac", 7.0),
    ]


def test_a_result_that_does_not_count_enters_nothing() -> None:
    data = study_data()
    late = dataclasses.replace(attempt(data.cells[0], 1), attempt_id="late", canonical=False)
    report = report_of(dataclasses.replace(data, attempts=(*data.attempts, late)))
    assert report.ok_count == 10


def test_an_invalid_run_is_kept_as_a_failure_and_out_of_the_figures() -> None:
    data = study_data()
    rejected = tuple(
        dataclasses.replace(row, status="invalid") if row.attempt_id == "a0s1" else row
        for row in data.attempts
    )
    cell = report_of(dataclasses.replace(data, attempts=rejected)).cells[0]
    assert cell.ok_count == 1
    assert [failure.status for failure in cell.failures] == ["invalid"]
    assert cell.quality.n_seeds == 1


def test_a_study_that_has_not_begun_has_a_report_too() -> None:
    data = study_data()
    waiting = tuple(
        dataclasses.replace(row, state="queued", canonical_attempt_id=None) for row in data.trials
    )
    empty = dataclasses.replace(data, trials=waiting, attempts=(), measurements=(), scores=())
    report = report_of(empty)
    assert report.open_count == 12
    assert report.cells[0].quality.estimate is None
    assert {entry.state for row in report.coverage for entry in row.entries} == {"waiting"}


def test_what_the_weights_took_is_told_once_where_the_runs_agree() -> None:
    data = study_data()
    packed = {"kernel": "dequantised", "weights_bytes": "62080", "stored_bytes": "65832", "sparsity": 0.0}
    pruned = {"kernel": "dense", "weights_bytes": "115328", "sparsity": 0.5}
    said = {0: packed, 1: pruned, 5: packed}
    rows = tuple(dataclasses.replace(row, worker=said.get(row.cell_index, {})) for row in data.attempts)

    cells = report_of(dataclasses.replace(data, attempts=rows)).cells

    assert cells[0].weights == (Weights("dequantised", 62080, 65832, 0.0),)
    assert cells[1].weights == (Weights("dense", 115328, None, 0.5),)
    # Nothing was said, and the runs of the last one failed.
    assert [cells[index].weights for index in (2, 5)] == [(), ()]


def test_both_orders_of_compression_and_tuning_are_contrasted_with_none() -> None:
    data = study_data()
    orders = {0: "compress-then-tune", 1: "compress-then-tune", 2: "tune-then-compress"}

    def packed(cell: CellRow) -> CellRow:
        order = orders.get(cell.cell_index)
        if order is None:
            return cell
        compression = {"kind": "rtn-int4", "group": 128, "order": order}
        return dataclasses.replace(cell, factors={**cell.factors, "compression": compression})

    found = report_of(dataclasses.replace(data, cells=tuple(packed(cell) for cell in data.cells))).contrasts

    pairs = [(contrast.cell_index, contrast.baseline_index) for contrast in found]
    assert pairs == [(1, 0), (2, 0), (4, 3), (5, 3)]


def test_repeats_that_took_the_same_path_of_losses_are_counted() -> None:
    data = study_data()
    trained, drifting = (cell.cell_index for cell in data.cells[:2])
    paths = {trained: ["a", "a"], drifting: ["a", "b"]}
    again = tuple(
        dataclasses.replace(
            attempt(cell, 1),
            attempt_id=f"{cell.cell_index}-{repeat}",
            repeat=repeat,
            worker={"python": "3.11.9", "loss_trajectory_sha256": paths[cell.cell_index][repeat]},
        )
        for cell in data.cells[:2]
        for repeat in (0, 1)
    )
    (worker,) = report_of(dataclasses.replace(data, attempts=again)).workers
    assert worker.facts["repeated trainings"] == "with equal losses to the last bit: 1 of 2"
    assert "repeated trainings" not in report_of(data).workers[0].facts
