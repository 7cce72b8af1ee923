"""The drift of a canary: the line through its runs, the verdict, and the section of the report."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import linregress, t

from edgerig_controller.report import render
from edgerig_controller.report.build import build
from edgerig_controller.report.data import StudyData
from edgerig_controller.report.drift import FLAG, TIME_SHARE, canary_report, change_over_time, judge
from edgerig_controller.store.rows import AttemptRow, MeasurementRow
from tests.controller.report import rows

HOUR_S = 3600.0


def test_the_change_is_that_of_the_regression_line() -> None:
    times = [0.0, 1.0, 2.5, 4.0, 7.0]
    values = [10.0, 10.4, 10.1, 10.9, 11.2]
    found = change_over_time(times, values)
    assert found is not None
    line = linregress(times, values)
    scale = 7.0 / np.mean(values)
    half = t.ppf(0.975, 3) * line.stderr * scale
    expected = (line.slope * scale, line.slope * scale - half, line.slope * scale + half)
    assert found == pytest.approx(expected)


def test_units_of_time_and_figure_do_not_matter() -> None:
    times = [0.0, 1.0, 2.0, 5.0]
    values = [10.0, 10.4, 10.1, 10.9]
    hours = change_over_time([time * HOUR_S for time in times], [value * 1e3 for value in values])
    assert hours == pytest.approx(change_over_time(times, values))


@pytest.mark.parametrize(
    ("times", "values"),
    [
        ([], []),
        ([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]),
        ([5.0] * 4, [1.0, 2.0, 3.0, 4.0]),
        ([0.0, 1.0, 2.0, 3.0], [0.0] * 4),
        ([0.0, 1.0, 2.0, 3.0], [1.0, math.nan, 1.0, 1.0]),
    ],
)
def test_too_little_to_go_by_gives_no_change(times: list[float], values: list[float]) -> None:
    assert change_over_time(times, values) is None
    assert judge(None, TIME_SHARE) == "undetermined"


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ((0.05, 0.02, 0.08), "drifted"),
        ((-0.05, -0.08, -0.02), "drifted"),
        ((0.02, 0.01, 0.029), "steady"),
        ((0.0, -0.02, 0.02), "steady"),
        ((0.05, -0.01, 0.11), "undetermined"),
        ((0.02, 0.01, 0.04), "undetermined"),
    ],
)
def test_verdicts(found: tuple[float, float, float], verdict: str) -> None:
    assert judge(found, TIME_SHARE) == verdict


def test_a_device_that_does_not_drift_is_rarely_said_to() -> None:
    random = np.random.default_rng(20261121)
    times = list(np.arange(10) * HOUR_S)
    # Noise of a run as large as the precision that is asked of a mean.
    worlds = [change_over_time(times, list(random.normal(1.0, 0.03, 10))) for _ in range(2000)]
    drifted = sum(judge(found, TIME_SHARE) == "drifted" for found in worlds)
    # At most the 5 % of its interval.
    assert drifted / 2000 < 0.065


def test_a_planted_drift_is_found() -> None:
    random = np.random.default_rng(20261121)
    times = np.arange(10) * HOUR_S
    line = 1.0 + 0.08 * times / times[-1]
    worlds = [change_over_time(list(times), list(line + random.normal(0, 0.01, 10))) for _ in range(500)]
    assert sum(judge(found, TIME_SHARE) == "drifted" for found in worlds) > 480
    assert np.mean([found[0] for found in worlds if found is not None]) == pytest.approx(
        0.08 / 1.04, rel=0.02
    )


def study(values: list[float], **changes: Any) -> StudyData:
    """The small study, with a canary that ran once an hour and gave these values."""
    data = rows.study_data()
    cell = data.cells[0]
    base = rows.attempt(cell, 1)
    runs: list[AttemptRow] = []
    figures: list[MeasurementRow] = []
    for number, value in enumerate(values):
        key = f"canary{number}"
        start_s = base.created_unix_s + number * HOUR_S
        runs.append(
            dataclasses.replace(base, attempt_id=key, repeat=number + 1, created_unix_s=start_s, **changes)
        )
        for name, statistic, boundary in (
            ("ttft_s", "p50", ""),
            ("energy_j", "sum", "module_in"),
            ("energy_j", "sum", "rail"),
            ("ttft_s", "p90", ""),
        ):
            row = rows.measurement(cell, 1, name, value, statistic=statistic, boundary=boundary)
            figures.append(dataclasses.replace(row, attempt_id=key))
    others = tuple(row for row in data.attempts if row.cell_index != 0)
    resolved = {**data.study.resolved, "protocol": "standard", "canary_cell": 0}
    return dataclasses.replace(
        data,
        study=dataclasses.replace(data.study, resolved=resolved),
        attempts=(*others, *runs),
        measurements=tuple(figures),
    )


def test_a_canary_that_drifts_flags_the_study_and_stands_in_the_report() -> None:
    data = study([1.0, 1.021, 1.04, 1.059, 1.081])
    found = canary_report(data)
    assert found is not None and found.flags == (FLAG,)
    # Time to the first token and the total's energy; rails and other percentiles are not watched.
    assert [(drift.name, drift.boundary, drift.run_count) for drift in found.drifts] == [
        ("energy_j", "module_in", 5),
        ("ttft_s", "", 5),
    ]
    report = build(data, now_unix_s=1_780_000_200.0)
    for page in (render.html(report), render.markdown(report)):
        assert "Drift" in page and "drifted" in page and "module_in" in page
        assert "+7.7 %" in page
    document = render.document(report)["canary"]
    assert document["drifts"][0]["verdict"] == "drifted"
    assert list(document["flags"]) == [FLAG]


def test_a_steady_canary_has_no_flag() -> None:
    found = canary_report(study([1.0, 1.001, 0.999, 1.0, 1.001]))
    assert found is not None
    assert {drift.verdict for drift in found.drifts} == {"steady"}
    assert found.flags == ()


def test_results_of_other_studies_and_failures_say_nothing_of_this_one() -> None:
    for changes in ({"reused": True}, {"status": "failed"}, {"canonical": False}):
        found = canary_report(study([1.0, 2.0, 3.0, 4.0, 5.0], **changes))
        assert found is not None and found.drifts == ()


def test_a_study_without_a_canary_has_none() -> None:
    assert canary_report(rows.study_data()) is None
    assert build(rows.study_data(), now_unix_s=1_780_000_200.0).canary is None
