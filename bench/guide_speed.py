"""How fast guidelines come out of a large study: `python -m bench.guide_speed --json`.

A Parquet file holds 1 million real-valued rating scores: 10,000 items of 200
users, 20 configurations, 5 seeds. Measured in a fresh process, from opening the
file to the verdicts of ten claims of a study file, nine on mean scores and one
on RMSE; and the crossed bootstrap with 10,000 draws, whose weights (an item has
its user's) are shared by all configurations, for RMSE and for how probably
each configuration is the best. Imports are not counted in the time, but are in
the memory. At most two threads are used.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench import report
from bench.report import CouldNotRunError, Figure
from edgerig_controller.guidelines.claims import of_study
from edgerig_controller.guidelines.corpus import HEADLINE_DRAWS, Draws
from edgerig_controller.guidelines.guideline import judge_family
from edgerig_controller.guidelines.matching import StudyRecords, TaskEvidence
from edgerig_controller.guidelines.scores import Codes, Config, Floats, ScoreTable

USERS, ITEMS_PER_USER, CONFIGS, SEEDS, CLAIMS = 200, 50, 20, 5, 10
GOAL_S, GOAL_BYTES = 10.0, 2e9
COLUMNS = ("config", "user", "item", "seed")
Result = TypeVar("Result")


def main() -> int:
    # Before the measuring process loads its linear algebra.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "2"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the scores")
    return report.run("guide_speed", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    with tempfile.TemporaryDirectory(prefix="edgerig-bench-") as scratch:
        path = Path(scratch) / "scores.parquet"
        apart(write, path, arguments.seed)
        spent_s, peak_bytes, verdicts, rows = apart(guide, path)
    if verdicts != CLAIMS:
        raise CouldNotRunError(f"{verdicts} of {CLAIMS} claims were tested")
    return [
        Figure("scores", rows, ""),
        Figure("parquet_to_verdicts_s", spent_s, "s", goal=f"under {GOAL_S:g} s", holds=spent_s < GOAL_S),
        Figure("peak_memory_bytes", peak_bytes, "bytes", goal="under 2 GB", holds=peak_bytes < GOAL_BYTES),
    ]


def apart(work: Callable[..., Result], *given: Any) -> Result:
    """Runs a function in a fresh process, so that its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def write(path: Path, seed: int) -> None:
    """Writes the scores in random order, named as an export names them."""
    rng = np.random.default_rng(seed)
    shape = (CONFIGS, USERS, ITEMS_PER_USER, SEEDS)
    config, user, item, column = (axis.ravel() for axis in np.indices(shape))
    level = np.linspace(0.60, 0.70, CONFIGS)[:, None, None, None]
    noise = 0.1 * rng.standard_normal((1, USERS, 1, 1)) + 0.15 * rng.standard_normal(shape)
    scores = np.clip(level + noise, 0.0, 1.0).ravel()
    order = rng.permutation(len(scores))
    names = {
        "config": [f"model-{i // 2}/{'rag' if i % 2 else 'lora'}" for i in range(CONFIGS)],
        "user": [f"user-{i:04}" for i in range(USERS)],
        "item": [f"item-{i:03}" for i in range(ITEMS_PER_USER)],
    }
    columns = {
        name: pa.array(np.array(names[name])[codes[order]])
        for name, codes in (("config", config), ("user", user), ("item", item))
    }
    columns |= {"seed": pa.array(1 + column[order]), "score": pa.array(scores[order])}
    pq.write_table(pa.table(columns), path)


def guide(path: Path) -> tuple[float, float, int, int]:
    """Returns time in s, peak memory in bytes, number of verdicts and number of scores."""
    began = time.perf_counter()
    table, rows = read(path)
    configs = tuple(config_of(name) for name in table.configs)
    claims = [of_study(entry, draws=HEADLINE_DRAWS) for entry in entries()]
    found = judge_family(StudyRecords(configs, (TaskEvidence(table),)), claims)
    best = probability_best(table)
    assert abs(float(best.sum()) - 1.0) < 1e-9
    spent_s = time.perf_counter() - began
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    return spent_s, peak_bytes, sum(entry.verdict != "not tested" for entry in found), rows


def read(path: Path) -> tuple[ScoreTable, int]:
    stored = pq.read_table(path, read_dictionary=["config", "user", "item"])
    codes: dict[str, Codes] = {}
    values: dict[str, list[Any]] = {}
    for name in COLUMNS:
        column = stored[name].combine_chunks()
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        codes[name] = encoded.indices.to_numpy().astype(np.int64)
        values[name] = encoded.dictionary.to_pylist()
    score = stored["score"].to_numpy()
    configs, seeds = tuple(values["config"]), tuple(values["seed"])
    return ScoreTable.of_codes("lamp-3", configs, seeds, score=score, **codes), len(score)


def config_of(name: str) -> Config:
    model, _, kind = name.partition("/")
    return Config(name, {"model": model, "method": {"kind": kind}})


def entries() -> list[dict[str, Any]]:
    """Makes ten claims as a study file states them; the last is on RMSE."""
    made: list[dict[str, Any]] = [
        {
            "id": f"model-{i}",
            "better": {"model": f"model-{i}"},
            "than": {"model": f"model-{i - 1}"},
            "metric": "rating",
        }
        for i in range(1, CLAIMS)
    ]
    sides = {"better": {"method.kind": "rag"}, "than": {"method.kind": "lora"}}
    return [*made, {"id": "rag", **sides, "metric": "rmse"}]


def probability_best(table: ScoreTable) -> Floats:
    """Returns per configuration in which share of the draws its mean over users is the highest."""
    starts = np.flatnonzero(np.r_[True, np.diff(table.user_of_item) != 0])
    counts = np.diff(np.r_[starts, len(table.user_of_item)])
    means = np.add.reduceat(table.scores, starts, axis=1) / counts[None, :, None]
    drawn = Draws.of(means.shape[1], means.shape[2], draws=HEADLINE_DRAWS)
    figures = drawn.figures(means[..., None], lambda sums: np.asarray(sums[..., 0]))
    return np.bincount(figures.argmax(axis=1), minlength=len(table.configs)) / len(figures)


if __name__ == "__main__":
    raise SystemExit(main())
