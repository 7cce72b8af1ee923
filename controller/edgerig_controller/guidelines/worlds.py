"""Worlds whose truth is known, at record level: the test bench of the engine.

    W0  no effect anywhere              W3  quantisation harms on every task
    W1  an inverted U of RAG over LoRA  W4  quantisation helps half the tasks, harms the others
    W2  training saturates              W5  an effect, and far too few data to see it

Every score is made up of a user's level, a user's liking of a configuration,
items, and, for configurations that train, seeds. Configurations that do not
train answer alike under every seed, as greedy decoding does. Scores are real
numbers around 0.5 and are not cut at 0 and 1, so that planted effects are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgerig_controller.guidelines.matching import StudyRecords, TaskEvidence, compression_family, level
from edgerig_controller.guidelines.resources import RunTable
from edgerig_controller.guidelines.scores import Codes, Config, Floats, ScoreTable

# (configuration, difficulty from 0 to 1, index of the task) -> effect in points.
Effects = Callable[[Config, float, int], float]

USER_SD, LIKING_SD, ITEM_SD = 0.15, 0.10, 0.30
SEED_SD, LUCK_SD, REST_SD = 0.01, 0.05, 0.15
ENERGY_SD = 0.03
BUDGETS = (25, 50, 100, 200, 400, 800)
W1_BEND, W2_GAIN, W2_TAU, W3_HARM, W4_SIZE, W5_GAIN = 10.0, 30.0, 25.0, 6.0, 6.0, 3.0
W2_X95 = W2_TAU * math.log(20.0)


@dataclass(frozen=True)
class World:
    """A world's sizes and planted effects; `task_sd` is how much each effect differs by task, in points."""

    name: str
    tasks: int
    users: int
    items_per_user: int
    seeds: int
    task_sd: float
    effects: Effects

    def variance_needed_users(self, se_target: float) -> float:
        """Returns the users per task at which a pair of trained configurations reaches a standard error.

        From the planted variances, with seeds and items per user as they are;
        unit of the target: points.
        """
        seed = 2 * (100 * SEED_SD) ** 2 / self.seeds
        user = LIKING_SD**2 + ITEM_SD**2 / self.items_per_user
        luck = (LUCK_SD**2 + REST_SD**2 / self.items_per_user) / self.seeds
        allowed = self.tasks * se_target**2 - 2 * self.task_sd**2 - seed
        return math.inf if allowed <= 0 else 2 * 100**2 * (user + luck) / allowed


def _nothing(config: Config, difficulty: float, task: int) -> float:
    del config, difficulty, task
    return 0.0


def _inverted_u(config: Config, difficulty: float, task: int) -> float:
    del task
    return W1_BEND * (1 - (2 * difficulty - 1) ** 2) if level(config, "method.kind") == "rag" else 0.0


def _saturation(config: Config, difficulty: float, task: int) -> float:
    del difficulty, task
    budget = level(config, "train_samples")
    return W2_GAIN * (1 - math.exp(-budget / W2_TAU)) if budget else 0.0


def _harm(config: Config, difficulty: float, task: int) -> float:
    del difficulty, task
    return -W3_HARM if compression_family(config) == "quantised" else 0.0


def _both_signs(config: Config, difficulty: float, task: int) -> float:
    del difficulty
    return W4_SIZE * (1 - 2 * (task % 2)) if compression_family(config) == "quantised" else 0.0


def _unseen(config: Config, difficulty: float, task: int) -> float:
    del difficulty, task
    return W5_GAIN if compression_family(config) == "quantised" else 0.0


WORLDS = {
    world.name: world
    for world in (
        World("W0", 7, 40, 4, 5, 1.0, _nothing),
        World("W1", 14, 100, 4, 5, 1.0, _inverted_u),
        World("W2", 14, 500, 8, 5, 0.0, _saturation),
        World("W3", 7, 150, 6, 5, 0.5, _harm),
        World("W4", 8, 60, 4, 5, 0.0, _both_signs),
        World("W5", 7, 12, 2, 3, 0.0, _unseen),
    )
}


def configurations() -> tuple[Config, ...]:
    """Returns the cells that the thirteen registered contrasts need."""
    kinds = ("none", "rag", "lora", "rag-lora", "prompt", "prefix", "ia3")
    made = [_config("large", {"kind": kind}) for kind in kinds]
    made += [_config("small", {"kind": kind}) for kind in ("none", "rag", "lora")]
    made += [_config("large", {"kind": "lora", "r": r, "alpha": 2 * r}) for r in (8, 64)]
    made += [_config("large", {"kind": "lora"}, train_samples=budget) for budget in BUDGETS]
    made += [_config("large", {"kind": "rag"}, history=n) for n in (4, 16)]
    made += [
        _config("large", {"kind": "none"}, compression=kind)
        for kind in ("rtn-int4", "magnitude", "distilled")
    ]
    made += [_config("large", {"kind": "lora"}, history=4, compression=kind) for kind in ("none", "rtn-int4")]
    made.append(_config("large", {"kind": "lora"}, compression="rtn-int4"))
    return tuple(made)


def _config(
    model: str,
    method: dict[str, Any],
    *,
    history: int = 64,
    compression: str = "none",
    train_samples: int = 0,
) -> Config:
    factors: dict[str, Any] = {
        "model": model,
        "method": method,
        "compression": {"kind": compression},
        "history": history,
    }
    if train_samples:
        factors["train_samples"] = train_samples
    facts = {"parameters": 2e9 if model == "large" else 1e9, "ram_tier_bytes": 8e9}
    name = "/".join([model, *(str(value) for value in method.values()), compression, str(history)])
    return Config(f"{name}/{train_samples}" if train_samples else name, factors, facts)


def records_of(world: World, rng: np.random.Generator) -> StudyRecords:
    """Draws one study from a world."""
    configs = configurations()
    difficulties = np.linspace(0.0, 1.0, world.tasks)
    return StudyRecords(
        configs, tuple(_task(world, configs, float(x), at, rng) for at, x in enumerate(difficulties))
    )


def _task(
    world: World, configs: tuple[Config, ...], difficulty: float, at: int, rng: np.random.Generator
) -> TaskEvidence:
    name = f"task-{at + 1}"
    planted = np.array([world.effects(config, difficulty, at) for config in configs])
    planted = (planted + world.task_sd * rng.standard_normal(len(configs))) / 100
    user_of_item = np.repeat(np.arange(world.users), world.items_per_user)
    scores = 0.5 + planted[:, None, None] + _noise(world, configs, user_of_item, rng)
    measured = {
        "D1": difficulty + 0.03 * rng.standard_normal(),
        "D2": difficulty + 0.10 * rng.standard_normal(),
        "D3": 1 - difficulty + 0.05 * rng.standard_normal(),
    }
    seeds = tuple(range(1, world.seeds + 1))
    table = ScoreTable(name, tuple(c.config_id for c in configs), seeds, user_of_item, scores)
    history = {user: 4 * (1 + user % 5) for user in range(world.users)}
    runs = _runs(name, world.seeds, configs, rng)
    return TaskEvidence(table, (runs,), difficulty=measured, history_of_user=history)


def _noise(
    world: World, configs: tuple[Config, ...], user_of_item: Codes, rng: np.random.Generator
) -> Floats:
    """Returns configurations x items x seeds."""
    trains = np.array([level(c, "method.kind") not in ("none", "rag") for c in configs])
    n, items, seeds = len(configs), len(user_of_item), world.seeds
    user = USER_SD * rng.standard_normal(world.users) + LIKING_SD * rng.standard_normal((n, world.users))
    fixed = user[:, user_of_item] + ITEM_SD * rng.standard_normal((n, items))
    seed = SEED_SD * rng.standard_normal((n, 1, seeds))
    luck = LUCK_SD * rng.standard_normal((n, world.users, seeds))[:, user_of_item]
    # In place: with 4,000 items on 14 tasks the copies cost more than the draws.
    scores = rng.standard_normal((n, items, seeds))
    scores *= REST_SD
    scores += luck
    scores += seed
    scores[~trains] = 0.0
    scores += fixed[:, :, None]
    return scores


def _runs(task: str, runs: int, configs: tuple[Config, ...], rng: np.random.Generator) -> RunTable:
    def figures(mean_j: float) -> dict[str, tuple[float, ...]]:
        drawn = mean_j * np.exp(ENERGY_SD * rng.standard_normal((len(configs), runs)))
        return {c.config_id: tuple(row) for c, row in zip(configs, drawn.tolist(), strict=True)}

    return RunTable(task, "box", "module_in", {"j_per_request": figures(10.0), "train_j": figures(5000.0)})
