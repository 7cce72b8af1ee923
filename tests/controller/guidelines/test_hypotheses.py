"""What hypotheses say beside their contrast: two lines, rivals, overfitting, sizes, costs, cold start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from edgerig_controller.guidelines.curvature import two_lines
from edgerig_controller.guidelines.extremes import isotonic_facts, rising
from edgerig_controller.guidelines.hypotheses import (
    combination_cold,
    curvature_of_gain,
    longer_training,
    rank_matters,
)
from edgerig_controller.guidelines.matching import StudyRecords, level
from edgerig_controller.guidelines.worlds import WORLDS, records_of


def world(name: str, **sizes: int) -> StudyRecords:
    return records_of(replace(WORLDS[name], **sizes), np.random.default_rng(11))  # type: ignore[arg-type]


def test_the_rising_fit_is_that_of_scipy() -> None:
    rng = np.random.default_rng(3)
    for size in (1, 2, 5, 40):
        values = rng.standard_normal(size)
        assert rising(values.tolist()) == pytest.approx(isotonic_regression(values).x)


def test_a_larger_model_that_is_worse_leaves_a_rest() -> None:
    study = world("W0", tasks=2)
    large = [at for at, config in enumerate(study.configs) if config.factors["model"] == "large"]

    def lowered(points: float) -> StudyRecords:
        tasks = []
        for task in study.tasks:
            scores = task.table.scores.copy()
            scores[large] -= points / 100
            tasks.append(replace(task, table=replace(task.table, scores=scores)))
        return replace(study, tasks=tuple(tasks))

    # Two sizes: the closest rising curve is their mean, so half of a fall is left.
    once, twice = isotonic_facts(lowered(40.0)), isotonic_facts(lowered(60.0))
    assert twice["largest_rest"] - once["largest_rest"] == pytest.approx(10.0)
    assert isotonic_facts(lowered(-60.0)) == {"largest_rest": 0.0, "curves": once["curves"]}


def test_two_lines_tell_a_hill_from_a_plateau() -> None:
    x = np.linspace(0, 1, 14)
    hill = two_lines(x, 10 * (1 - (2 * x - 1) ** 2), 0.5)
    assert hill is not None and hill[0] > 5 and hill[1] < -5
    plateau = two_lines(x, np.minimum(x, 0.5) + 0.001 * x, 0.6)
    assert plateau is not None and plateau[1] > 0
    assert two_lines(x, x, None) is None
    assert two_lines(x, x, 0.01) is None


def test_the_inverted_u_is_checked_by_lines_and_by_the_simpler_measures() -> None:
    found = curvature_of_gain(world("W1", users=40), 2.0)
    assert dict(found.checks) == {
        "the vertex lies inside the measured difficulties": True,
        "a line left of the vertex rises and one right of it falls": True,
    }
    # The world has D3 and no D5; a hill goes with neither end of it.
    assert set(found.facts["rivals"]) == {"D3"}
    assert abs(found.facts["rivals"]["D3"]["r"]) < 0.6
    few = curvature_of_gain(world("W1", users=40, tasks=7), 2.0)
    assert [what for what, _ in few.checks] == ["the vertex lies inside the measured difficulties"]


def test_a_largest_budget_that_is_worse_is_flagged() -> None:
    study = world("W2", users=200, tasks=4)
    assert longer_training(study, 2.0).facts["overfit"]["flag"] is False
    last = [at for at, config in enumerate(study.configs) if level(config, "train_samples") == 800]
    tasks = []
    for task in study.tasks:
        scores = task.table.scores.copy()
        scores[last] -= 0.12
        tasks.append(replace(task, table=replace(task.table, scores=scores)))
    overfit = longer_training(replace(study, tasks=tuple(tasks)), 2.0).facts["overfit"]
    assert overfit["flag"] is True
    assert overfit["points"] == pytest.approx(-12, abs=4)
    assert overfit["largest"] == 800


def test_what_rank_64_costs_more_is_said_in_percent_per_device() -> None:
    study = world("W0", tasks=1)
    runs = study.tasks[0].runs[0]
    ranks = {config.config_id: level(config, "method.r") for config in study.configs}
    memory = {name: tuple(4e8 * (1.5 if ranks[name] == 64 else 1.0) + n for n in range(3)) for name in ranks}
    table = replace(runs, figures={**runs.figures, "rss_peak_bytes": memory})
    found = rank_matters(replace(study, tasks=(replace(study.tasks[0], runs=(table,)),)), 2.0)
    cost = found.facts["cost_of_rank_64"]["rss_peak_bytes on box, task-1"]
    assert cost["percent"] == pytest.approx(50.0, abs=0.1)
    assert cost["low"] < 50.0 < cost["high"]
    assert "train_s on box, task-1" not in found.facts["cost_of_rank_64"]


def test_cold_start_is_the_quarter_of_users_or_else_the_least_history() -> None:
    study = world("W0", tasks=2)
    assert "quarter" in combination_cold(study, 2.0).facts["cold"]
    alike = replace(
        study, tasks=tuple(replace(task, history_of_user=dict.fromkeys(range(40), 9)) for task in study.tasks)
    )
    # The world runs RAG with LoRA at one amount of history only.
    assert combination_cold(alike, 2.0).effect is None
    scarce = tuple(
        replace(c, factors={**c.factors, "history": 4}) if level(c, "method.kind") == "rag-lora" else c
        for c in study.configs
    )
    found = combination_cold(replace(alike, configs=scarce), 2.0)
    assert found.effect is not None
    assert found.facts["cold"] == "all users, with at most 4 items of their history"


def test_without_any_difference_in_history_cold_start_says_so() -> None:
    study = world("W0", tasks=1)
    one = tuple(replace(c, factors={**c.factors, "history": 16}) for c in study.configs)
    tasks = tuple(replace(task, history_of_user=None) for task in study.tasks)
    found = combination_cold(replace(study, configs=one, tasks=tasks), 2.0)
    assert found.effect is None and "with less than the most history" in found.missing[0]
