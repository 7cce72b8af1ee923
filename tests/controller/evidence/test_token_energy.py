"""Joules per token over studies that differ in their lengths."""

from dataclasses import replace

import numpy as np
import pytest

from edgerig_controller.evidence.token_energy import token_energies
from edgerig_controller.report.data import StudyData
from edgerig_controller.store.rows import MeasurementRow
from tests.controller.report.rows import study_data

IDLE_W, IN_J, OUT_J = 4.0, 0.01, 0.2
REQUESTS = 20


def figure(like: MeasurementRow, name: str, value: float, **fields: object) -> MeasurementRow:
    plain = replace(like, name=name, value=value, unavailable_reason="", phase="inference", flags=[])
    return replace(plain, **fields)  # type: ignore[arg-type]


def designed(*, status: str = "ok", pairs: int = 12) -> list[StudyData]:
    """Studies of one cell on one box, one for each pair of lengths, three seeds each."""
    rng = np.random.default_rng(1)
    base = study_data()
    like, attempt = base.measurements[0], base.results()[0]
    lengths = [(n_in, n_out) for n_in in (16, 64, 256) for n_out in (9, 17, 33, 65)][:pairs]
    studies = []
    for number, (n_in, n_out) in enumerate(lengths):
        attempts, rows = [], []
        for seed in (1, 2, 3):
            key = f"{number}-{seed}"
            attempts.append(replace(attempt, attempt_id=key, seed=seed, canonical=True, status=status))
            duration_s = REQUESTS * (n_in * 1e-4 + n_out * 0.02)
            energy_j = IDLE_W * duration_s + REQUESTS * (IN_J * n_in + OUT_J * (n_out - 1))
            energy_j *= 1 + 0.005 * rng.standard_normal()
            mine = replace(like, attempt_id=key, seed=seed, source="ina3221:x", boundary="module_in")
            rows += [
                figure(mine, "energy_j", energy_j, statistic="sum"),
                figure(mine, "energy_j", energy_j / 2, statistic="sum", source="rail", boundary="rail"),
                figure(mine, "duration_s", duration_s, statistic="sum", boundary="", source="worker"),
                figure(mine, "ttft_s", 0.1, statistic="mean", sample_count=REQUESTS),
                figure(mine, "idle_power_w", IDLE_W, statistic="mean", phase=""),
            ]
        resolved = {**base.study.resolved, "inference": {"prompt_tokens": n_in, "new_tokens": n_out}}
        study = replace(base.study, study_id=f"s{number}", resolved=resolved)
        studies.append(replace(base, study=study, attempts=tuple(attempts), measurements=tuple(rows)))
    return studies


def test_prefill_and_decode_are_told_apart_and_rails_are_left_out() -> None:
    (found,) = token_energies(designed())
    assert (found.boundary, found.run_count, found.fitted.idle_power_w) == ("module_in", 36, IDLE_W)
    for name, truth in (("j_per_input_token", IN_J), ("j_per_output_token", OUT_J)):
        assert found.fitted.slope(name).estimate == pytest.approx(truth, rel=0.03)


def test_too_few_lengths_say_what_is_missing() -> None:
    (found,) = token_energies(designed(pairs=4))
    assert found.fitted.slopes == () and "of the 12 and 3" in found.fitted.note
    assert found.document()["coefficients"] == []


def test_runs_that_are_no_evidence_do_not_enter() -> None:
    assert token_energies(designed(status="invalid")) == []
