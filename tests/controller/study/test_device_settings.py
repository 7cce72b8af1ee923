"""Power modes, settings, numbers of the protocol and the canary, from the file to the trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgerig.errors import StudyProblems
from edgerig_controller.fleet.schedule import Slot, run_order
from tests.controller.study.building import STUDY, planned

STANDARD = STUDY.replace("protocol: quick", "protocol: standard")


def problems(folder: Path, text: str, **options: Any) -> list[str]:
    with pytest.raises(StudyProblems) as caught:
        planned(folder, text, **options)
    return [str(problem) for problem in caught.value.problems]


def test_a_power_mode_is_a_factor_and_a_setting_of_the_trial(tmp_path: Path) -> None:
    study = planned(tmp_path, STUDY.replace("factors:\n", "factors:\n  power_mode: [MAXN, 15W]\n"))
    assert len(study.cells) == 6
    assert [cell.factors["power_mode"] for cell in study.cells] == ["MAXN", "15W"] * 3
    assert "power_mode=15W" in study.cells[1].label
    assert [trial.trial.settings.power_mode for trial in study.trials[:4]] == ["MAXN", "MAXN", "15W", "15W"]
    assert len({trial.trial.digest for trial in study.trials}) == len(study.trials)


def test_a_power_mode_can_be_excluded_and_not_given_twice(tmp_path: Path) -> None:
    text = STUDY.replace("factors:\n", "factors:\n  power_mode: [MAXN, 15W]\n")
    excluded = f"{text}\nexclude: [{{power_mode: 15W, method.kind: lora, reason: slow}}]\n"
    assert len(planned(tmp_path, excluded).cells) == 5
    twice = STUDY.replace("factors:\n", "factors:\n  power_mode: [MAXN, MAXN]\n")
    assert any("this power mode stands in the list twice" in problem for problem in problems(tmp_path, twice))


def test_settings_and_numbers_of_the_protocol_reach_every_trial(tmp_path: Path) -> None:
    text = f"{STANDARD}\nsettings: {{jetson_clocks: true, cpu_governor: performance}}\n"
    text += "protocol_overrides: {idle_s: 5, sustained_s: 300}\n"
    for planned_trial in planned(tmp_path, text).trials:
        trial = planned_trial.trial
        assert (trial.settings.jetson_clocks, trial.settings.cpu_governor) == (True, "performance")
        assert trial.protocol_overrides.idle_s == 5.0
        assert trial.protocol_overrides.sustained_s == 300.0
        assert not trial.protocol_overrides.HasField("block_s")


def test_a_trial_without_settings_has_the_digest_that_it_always_had(tmp_path: Path) -> None:
    plain = planned(tmp_path, STUDY)
    empty = planned(tmp_path, f"{STUDY}\nsettings: {{}}\nprotocol_overrides: {{}}\n")
    assert not plain.trials[0].trial.HasField("settings")
    assert not plain.trials[0].trial.HasField("protocol_overrides")
    assert plain.digest == empty.digest
    assert {"settings", "protocol_overrides", "canary"}.isdisjoint(plain.resolved)
    assert planned(tmp_path, f"{STUDY}\nsettings: {{gpu_clock_mhz: 900}}\n").digest != plain.digest


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("settings: {turbo: true}", "turbo"),
        ("settings: {gpu_clock_mhz: -5}", "gpu_clock_mhz"),
        ("settings: {cpu_governor: '../../x'}", "cpu_governor"),
        ("protocol_overrides: {idle_s: forever}", "idle_s"),
        ("protocol_overrides: {block_requests: 0}", "block_requests"),
    ],
)
def test_what_is_no_setting_is_a_problem_with_its_place(tmp_path: Path, line: str, words: str) -> None:
    found = problems(tmp_path, f"{STUDY}\n{line}\n")
    assert len(found) == 1 and words in found[0] and found[0].startswith("study.yaml:")


def test_the_first_cell_is_the_canary_where_figures_are_evidence(tmp_path: Path) -> None:
    assert planned(tmp_path, STANDARD).resolved["canary_cell"] == 0
    assert "canary_cell" not in planned(tmp_path, STUDY).resolved


def test_a_study_may_choose_its_canary(tmp_path: Path) -> None:
    study = planned(tmp_path, f"{STANDARD}\ncanary: {{method.kind: lora}}\n")
    assert study.cells[study.resolved["canary_cell"]].factors["method"]["kind"] == "lora"


def test_a_cell_that_fits_nowhere_is_no_canary(tmp_path: Path) -> None:
    text = STANDARD.replace("budgets: {", "budgets: {attempt: {memory: 1}, ")
    assert "memory: 1}" in text
    study = planned(tmp_path, text)
    assert all(cell.does_not_fit for cell in study.cells)
    assert "canary_cell" not in study.resolved


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ("{method.kind: full}", "the canary matches no cell"),
        ("{methode: lora}", "there is no factor `methode`"),
    ],
)
def test_a_canary_that_means_nothing_is_a_problem(tmp_path: Path, selector: str, words: str) -> None:
    found = problems(tmp_path, f"{STANDARD}\ncanary: {selector}\n")
    assert len(found) == 1 and words in found[0]


def test_every_block_holds_the_canary_once(tmp_path: Path) -> None:
    study = planned(tmp_path, STANDARD.replace("seeds: [1, 2]", "seeds: [1, 2]\nrepeats: 3"))
    slots = [Slot(one.cell_index, one.trial.seed, one.trial.repeat) for one in study.trials]
    order = run_order(study.digest, slots)
    by_position = [slot for _, slot in sorted(zip(order, slots, strict=True))]
    size = len(study.cells)
    blocks = [by_position[start : start + size] for start in range(0, len(by_position), size)]
    canary = study.resolved["canary_cell"]
    assert len(blocks) == 6
    for block in blocks:
        assert len({(slot.repeat, slot.seed) for slot in block}) == 1
        assert [slot.cell_index for slot in block].count(canary) == 1
