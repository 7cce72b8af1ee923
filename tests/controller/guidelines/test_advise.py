"""Advice from records whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgerig_controller.guidelines.advise import Advice, Limits, advise, best_shares, request_latency
from edgerig_controller.guidelines.matching import TaskEvidence
from edgerig_controller.guidelines.resources import RunTable
from edgerig_controller.guidelines.scores import Config, FailedCell, ScoreTable

MIB = 2.0**20
NAMES = ("none", "rag", "lora")
LEVEL = {"none": 0.50, "rag": 0.60, "lora": 0.66}


def configs() -> list[Config]:
    return [Config(name, {"model": "m", "method": {"kind": name}, "history": 16}) for name in NAMES]


def task(gap: float = 1.0, users: int = 40, seeds: int = 3) -> TaskEvidence:
    rng = np.random.default_rng(1)
    user_of_item = np.repeat(np.arange(users), 4)
    base = 0.2 * rng.standard_normal(users)[user_of_item]
    scores = np.array(
        [
            (LEVEL[name] * gap + base)[:, None] + 0.05 * rng.standard_normal((4 * users, seeds))
            for name in NAMES
        ]
    )
    table = ScoreTable("t", NAMES, tuple(range(1, seeds + 1)), user_of_item, scores)
    return TaskEvidence(table, metric="accuracy")


def tables(device: str = "box", **changed: Mapping[str, tuple[float, ...]]) -> tuple[RunTable, ...]:
    figures: dict[str, Mapping[str, tuple[float, ...]]] = {
        "rss_peak_bytes": {"none": (100 * MIB, 90 * MIB), "rag": (200 * MIB,) * 2, "lora": (400 * MIB,) * 2},
        "ttft_s": {"none": (0.1, 0.11), "rag": (0.3, 0.31), "lora": (0.1, 0.12)},
        "tpot_s": {"none": (0.01, 0.01), "rag": (0.01, 0.01), "lora": (0.01, 0.01)},
    }
    power: dict[str, Mapping[str, tuple[float, ...]]] = {
        "j_per_request": {"none": (1.0, 1.02), "rag": (3.0, 3.02), "lora": (1.0, 1.04)},
        "train_j": {"lora": (2000.0, 2020.0)},
    }
    figures |= {name: value for name, value in changed.items() if name in figures}
    power |= {name: value for name, value in changed.items() if name in power}
    return RunTable("t", device, "", figures), RunTable("t", device, "module_in", power)


def ask(limits: Limits | None = None, **given: Any) -> Advice:
    evidence = given.pop("task", None) or task()
    assert isinstance(evidence, TaskEvidence)
    found = given.pop("tables", None) or tables()
    return advise(
        evidence,
        configs(),
        found,
        limits or Limits(),
        boundary="module_in",
        new_tokens=11,
        **given,
    )


def test_options_come_by_quality_with_how_sure_that_is() -> None:
    found = ask()
    assert [option.config_id for option in found.options] == ["lora", "rag", "none"]
    shares = [option.probability_best or 0.0 for option in found.options]
    assert shares[0] > 0.95 and sum(shares) == pytest.approx(1.0)
    assert found.options[0].quality.value == pytest.approx(66, abs=10)


def test_equal_configurations_share_the_probability_of_being_best() -> None:
    flat = task()
    flat = replace(
        flat,
        table=replace(
            flat.table, scores=flat.table.scores - flat.table.scores.mean(axis=(1, 2))[:, None, None]
        ),
    )
    shares, notes = best_shares(flat, NAMES)
    assert all(0.15 < share < 0.55 for share in shares.values())
    assert "degrees of freedom" in notes[0]


def test_pairing_makes_small_differences_sure() -> None:
    # Users differ by 20 points, configurations by 1 with almost no noise: only pairing can tell.
    shared = task()
    base = 0.5 + 0.2 * np.random.default_rng(2).standard_normal(len(shared.table.user_of_item))
    noise = 0.001 * np.random.default_rng(3).standard_normal((3, len(base), 3))
    scores = base[None, :, None] + np.array([0.0, 0.01, 0.02])[:, None, None] + noise
    shares, _ = best_shares(replace(shared, table=replace(shared.table, scores=scores)), NAMES)
    assert shares["lora"] > 0.99


def test_the_largest_run_and_its_margin_must_fit() -> None:
    found = ask(Limits(ram_bytes=215 * MIB))
    assert {option.config_id for option in found.excluded} == {"rag", "lora"}
    assert "220 MiB with the margin" in found.excluded[0].reasons[0]
    assert {option.config_id for option in ask(Limits(ram_bytes=225 * MIB)).excluded} == {"lora"}
    assert found.options[0].ram.value == 100 * MIB


def test_memory_of_an_integrated_gpu_is_memory_of_the_box() -> None:
    host, power = tables()
    host = replace(host, figures={**host.figures, "nvmap_peak_bytes": {"none": (150 * MIB,)}})
    found = ask(Limits(ram_bytes=225 * MIB), tables=(host, power))
    assert "none" in {option.config_id for option in found.excluded}


def test_latency_is_that_of_the_whole_request_and_an_interval_over_the_limit_is_unsure() -> None:
    assert request_latency(tables(), "none", 11) == pytest.approx((0.2, 0.21))
    found = ask(Limits(latency_s=0.22))
    states = {option.config_id: option.state for option in (*found.options, *found.excluded)}
    # The mean of none is 0.205 s, its interval reaches 0.27 s.
    assert states == {"none": "unsure", "rag": "excluded", "lora": "unsure"}
    assert "up to" in found.options[0].reasons[0]


def test_a_measured_whole_request_counts_before_one_that_is_put_together() -> None:
    host, power = tables()
    host = replace(host, figures={**host.figures, "e2e_s": {"none": (0.5, 0.6)}})
    assert request_latency((host, power), "none", 11) == (0.5, 0.6)
    assert request_latency((host, power), "rag", 11) == pytest.approx((0.4, 0.41))


def test_what_was_not_measured_is_unsure_and_never_fits() -> None:
    host, _ = tables()
    found = ask(Limits(energy_j=5.0), tables=(host,))
    assert {option.state for option in found.options} == {"unsure"}
    assert {option.reasons for option in found.options} == {("energy of a request was not measured",)}


def test_one_run_under_the_limit_is_unsure() -> None:
    one = {"none": (1.0,), "rag": (3.0,), "lora": (1.0,)}
    found = ask(Limits(energy_j=5.0), tables=tables(j_per_request=one))
    assert {option.state for option in found.options} == {"unsure"}


def test_training_pays_for_itself_after_the_requests_that_it_saves() -> None:
    lora = ask(requests_per_day=100.0).options[0]
    (point,) = lora.break_even
    assert point.against == "rag"
    assert point.requests.estimate == pytest.approx(2010 / 1.99, rel=1e-6)
    assert point.days == pytest.approx(2010 / 1.99 / 100, rel=1e-6)
    assert lora.daily_j == pytest.approx(102.0)
    assert point.requests.low is not None and point.requests.low < 1010 < (point.requests.high or 0)


@pytest.mark.parametrize("rag", [(1.0, 1.05), (0.5, 0.52)])
def test_where_training_saves_nothing_there_is_no_break_even(rag: tuple[float, float]) -> None:
    figures = {"none": (1.0, 1.0), "rag": rag, "lora": (1.0, 1.04)}
    lora = next(o for o in ask(tables=tables(j_per_request=figures)).options if o.config_id == "lora")
    assert lora.break_even[0].requests.estimate is None
    assert "no finite break-even" in lora.break_even[0].requests.note


def test_figures_of_another_boundary_are_not_used() -> None:
    host, power = tables()
    found = ask(Limits(energy_j=5.0), tables=(host, replace(power, boundary="wall_ac")))
    assert found.options[0].energy_j.value is None


def test_devices_stay_apart() -> None:
    found = ask(tables=(*tables("a"), *tables("b", j_per_request={"none": (9.0, 9.1)})))
    assert len(found.options) == 6
    energy = {option.device: option.energy_j.value for option in found.options if option.config_id == "none"}
    assert energy == {"a": pytest.approx(1.01), "b": pytest.approx(9.05)}
    assert any("hold for a, b only" in note for note in found.notes)


def test_cells_that_failed_are_named() -> None:
    evidence = task()
    scores = evidence.table.scores.copy()
    scores[2] = np.nan
    failed = (FailedCell("lora", "t", 1, "oom_cuda"),)
    found = ask(task=replace(evidence, table=replace(evidence.table, scores=scores), failed=failed))
    assert found.not_measured == ("lora: oom_cuda",)


def test_emulated_memory_is_never_sure() -> None:
    found = ask(task=replace(task(), emulated=True))
    assert {option.state for option in found.options} == {"unsure"}


def test_one_user_gives_no_probability() -> None:
    shares, notes = best_shares(task(users=1), NAMES)
    assert shares == {} and "not known" in notes[0]
