"""The spread between units apart from that between repeats, and its section of the report."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import chi2, f

from edgerig_controller.report import render
from edgerig_controller.report.build import build
from edgerig_controller.report.data import StudyData
from edgerig_controller.report.units import spread_over_units, units_report
from edgerig_controller.store.rows import AttemptRow, MeasurementRow
from tests.controller.report import rows


def world(
    random: np.random.Generator, *, units: int, cells: int, runs: int, between: float, within: float
) -> dict[tuple[int, str], list[float]]:
    """Draws figures whose logarithms have these standard deviations; cells differ by far more."""
    offsets = random.normal(0, between, units)
    return {
        (cell, f"u{unit}"): list(np.exp(cell + offsets[unit] + random.normal(0, within, runs)))
        for cell in range(cells)
        for unit in range(units)
    }


def test_the_components_are_those_of_the_analysis_of_variance() -> None:
    # One cell, three units, two runs: the table of a one-way analysis, by hand and by scipy's quantiles.
    logs = {"a": [0.00, 0.02], "b": [0.10, 0.14], "c": [-0.05, -0.03]}
    groups = {(0, unit): [math.exp(value) for value in values] for unit, values in logs.items()}
    offsets, found, reason = spread_over_units(groups)
    assert found is not None and reason == ""
    table = np.array(list(logs.values()))
    msw = table.var(axis=1, ddof=1).mean()
    msb = 2 * table.mean(axis=1).var(ddof=1)
    assert found.within == pytest.approx(math.sqrt(msw))
    assert found.between == pytest.approx(math.sqrt((msb - msw) / 2))
    ratio = msb / msw
    low = 2 * msb * (1 - f.ppf(0.975, 2, 3) / ratio) / (2 * chi2.ppf(0.975, 2))
    high = 2 * msb * (1 - f.ppf(0.025, 2, 3) / ratio) / (2 * chi2.ppf(0.025, 2))
    assert found.between_low == pytest.approx(math.sqrt(max(0.0, low)))
    assert found.between_high == pytest.approx(math.sqrt(high))
    assert found.within_high == pytest.approx(math.sqrt(3 * msw / chi2.ppf(0.025, 3)))
    assert offsets["b"] == pytest.approx(math.expm1(0.12 - table.mean()))


@pytest.mark.parametrize(("between", "within"), [(0.03, 0.01), (0.01, 0.03), (0.05, 0.002)])
def test_planted_spreads_are_inside_their_intervals(between: float, within: float) -> None:
    random = np.random.default_rng(20261121)
    worlds = [
        spread_over_units(world(random, units=4, cells=3, runs=3, between=between, within=within))[1]
        for _ in range(1500)
    ]
    found = [one for one in worlds if one is not None]
    assert len(found) == 1500
    covered = np.mean([one.between_low <= between <= one.between_high for one in found])
    assert 0.93 <= covered <= 0.98
    assert 0.93 <= np.mean([one.within_low <= within <= one.within_high for one in found]) <= 0.97
    mean_square = np.mean([one.between**2 for one in found])
    assert mean_square == pytest.approx(between**2, rel=0.15)


def test_units_that_are_the_same_have_an_interval_from_zero() -> None:
    random = np.random.default_rng(7)
    worlds = [
        spread_over_units(world(random, units=4, cells=3, runs=3, between=0.0, within=0.02))[1]
        for _ in range(500)
    ]
    lows = [one.between_low for one in worlds if one is not None]
    assert np.mean(np.array(lows) > 0) < 0.05


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ({}, "no cell has runs on two units"),
        ({(0, "a"): [1.0, 2.0]}, "no cell has runs on two units"),
        ({(0, "a"): [1.0], (1, "b"): [1.0]}, "no cell has runs on two units"),
        ({(0, "a"): [1.0], (0, "b"): [2.0]}, "each unit ran each cell once"),
    ],
)
def test_too_little_is_said(groups: dict[tuple[int, str], list[float]], reason: str) -> None:
    _, found, words = spread_over_units(groups)
    assert found is None and reason in words


def test_a_cell_that_a_unit_lacks_is_left_out() -> None:
    random = np.random.default_rng(1)
    groups = world(random, units=3, cells=3, runs=2, between=0.02, within=0.01)
    whole = spread_over_units({key: values for key, values in groups.items() if key[0] != 2})
    del groups[2, "u1"]
    assert spread_over_units(groups) == whole


def study(units: int = 3, repeats: int = 2) -> StudyData:
    """The small study on several boards, of which one is 8 % slower."""
    data = rows.study_data()
    cell = data.cells[0]
    base = rows.attempt(cell, 1)
    runs: list[AttemptRow] = []
    figures: list[MeasurementRow] = []
    for unit in range(units):
        for repeat in range(repeats):
            key = f"unit{unit}-{repeat}"
            runs.append(dataclasses.replace(base, attempt_id=key, device_id=f"orin-{unit}"))
            value = (1.08 if unit == 1 else 1.0) * (1 + 0.004 * repeat)
            row = rows.measurement(cell, 1, "ttft_s", value, statistic="p50", boundary="")
            figures.append(dataclasses.replace(row, attempt_id=key))
    resolved = {**data.study.resolved, "units": units}
    return dataclasses.replace(
        data,
        study=dataclasses.replace(data.study, resolved=resolved),
        attempts=tuple(runs),
        measurements=tuple(figures),
    )


def test_the_report_tells_units_from_repeats() -> None:
    report = build(study(), now_unix_s=1_780_000_200.0)
    assert report.units is not None
    (spread,) = report.units.spreads
    assert (spread.name, spread.unit_count, spread.run_count) == ("ttft_s", 3, 6)
    assert spread.components is not None
    assert spread.components.between == pytest.approx(0.0444, abs=0.001)
    assert spread.components.within == pytest.approx(0.0028, abs=0.0002)
    for page in (render.html(report), render.markdown(report)):
        assert "Between units" in page and "4.4 %" in page and "orin-1" in page and "+5.3 %" in page
    assert render.document(report)["units"]["spreads"][0]["offsets"]["orin-1"] > 0.05


def test_a_study_of_one_unit_has_no_such_section() -> None:
    assert units_report(rows.study_data()) is None
    assert "Between units" not in render.html(build(rows.study_data(), now_unix_s=1_780_000_200.0))
