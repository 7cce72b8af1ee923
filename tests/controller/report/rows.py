"""A small finished study as rows: two models x three methods x two seeds, one cell that failed."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgerig_controller.report.data import StudyData
from edgerig_controller.store.rows import (
    AttemptRow,
    CellRow,
    MeasurementRow,
    ScoreRow,
    StudyRow,
    TrialRow,
)

METHODS = (
    {"kind": "none"},
    {"kind": "rag", "retriever": "bm25", "k": 4},
    {"kind": "lora", "r": 8, "alpha": 16},
)
# Chance that an item is right, per method.
SKILL = {"none": 0.3, "rag": 0.45, "lora": 0.6}
SEEDS = (1, 2)
FAILED_CELL = 5
NO_SENSOR = "no INA3221, RAPL or NVML energy sensor on this device"


def study_row() -> StudyRow:
    return StudyRow(
        study_id="0123456789ab",
        name="quickstart",
        digest="0123456789ab" + "0" * 52,
        state="finished",
        created_unix_s=1_780_000_000.0,
        finished_unix_s=1_780_000_120.0,
        trial_count=12,
        done_count=12,
        failed_count=2,
        reused_count=0,
        resolved={
            "protocol": "quick",
            "inference": {"prompt_tokens": 64, "new_tokens": 32},
            "resolved_models": {"starter/small": {"digest": "m" * 64}, "starter/large": {"digest": "n" * 64}},
            "resolved_tasks": {"lamp-2": {"metric": "accuracy", "data": {"sha256": "d" * 64}}},
        },
        source_yaml="edgerig: 1\nname: quickstart\n",
        claims=[
            {
                "id": "rag-helps",
                "better": {"method.kind": "rag"},
                "than": {"method.kind": "none"},
                "metric": "accuracy",
                "margin": 2.0,
            }
        ],
        exclusions=[{"factors": {"model": "starter/huge"}, "reason": "too slow", "source": "study"}],
    )


def cell_rows() -> tuple[CellRow, ...]:
    factors = [
        {"task": "lamp-2", "model": model, "method": method, "compression": {"kind": "none"}, "history": 16}
        for model in ("starter/small", "starter/large")
        for method in METHODS
    ]
    return tuple(
        CellRow(index, f"{found['model']} {found['method']['kind']}", found, 80e6, None)  # type: ignore[index]
        for index, found in enumerate(factors)
    )


def attempt(cell: CellRow, seed: int) -> AttemptRow:
    failed = cell.cell_index == FAILED_CELL
    key = f"a{cell.cell_index}s{seed}"
    return AttemptRow(
        attempt_id=key,
        trial_id=f"t{cell.cell_index}s{seed}",
        cell_index=cell.cell_index,
        seed=seed,
        repeat=1,
        device_id="local",
        epoch=1,
        state="committed",
        status="failed" if failed else "ok",
        failure_class="oom_host" if failed else "",
        failure_message="killed for memory <b>| now" if failed else "",
        failure_phase="train" if failed else "",
        quality=None if failed else 0.5,
        item_count=0 if failed else 160,
        flags=[],
        canonical=True,
        reused=False,
        created_unix_s=1_780_000_000.0 + cell.cell_index,
        ended_unix_s=1_780_000_005.0 + cell.cell_index,
        duration_s=5.0,
        environment_digest="e" * 64,
        worker={"python": "3.11.9", "torch": "2.9.0", "device": "cpu", "dtype": "float32", "threads": 1},
        last_available_bytes=1_000_000 if failed else None,
        last_rss_bytes=900_000_000 if failed else None,
    )


def measurement(cell: CellRow, seed: int, name: str, value: float | None, **other: object) -> MeasurementRow:
    row = MeasurementRow(
        attempt_id=f"a{cell.cell_index}s{seed}",
        cell_index=cell.cell_index,
        seed=seed,
        repeat=1,
        name=name,
        phase="inference",
        statistic="p50",
        value=value,
        unavailable_reason="",
        low=None,
        high=None,
        interval_kind="",
        boundary="",
        source="worker",
        method="",
        sample_count=20,
        effective_rate_hz=None,
        coverage=None,
        flags=["indicative"],
    )
    return dataclasses.replace(row, **other)  # type: ignore[arg-type]


def measurements(cell: CellRow, seed: int) -> list[MeasurementRow]:
    size = 3.0 if "large" in cell.label else 1.0
    return [
        measurement(cell, seed, "ttft_s", 0.004 * size + 0.0002 * seed),
        measurement(cell, seed, "decode_tokens_per_s", 900 / size + 5 * seed, statistic="ratio"),
        measurement(cell, seed, "rss_peak_bytes", 3.1e8 + 1e6 * seed, phase="load", statistic="peak"),
        measurement(cell, seed, "rss_peak_bytes", 3.6e8 + 1e6 * seed, statistic="peak"),
        measurement(cell, seed, "duration_s", 0.21 * size + 0.01 * seed, phase="inference", statistic="sum"),
        measurement(
            cell, seed, "energy_j", None, statistic="sum", unavailable_reason=NO_SENSOR, source="", flags=[]
        ),
    ]


def scores(cell: CellRow, seed: int) -> list[ScoreRow]:
    kind = cell.factors["method"]["kind"]
    # The method `none` answers the same under every seed.
    rng = np.random.default_rng([cell.cell_index, 0 if kind == "none" else seed])
    return [
        ScoreRow(
            attempt_id=f"a{cell.cell_index}s{seed}",
            cell_index=cell.cell_index,
            seed=seed,
            repeat=1,
            item_id=f"u{user}-i{item}",
            user_id=f"u{user}",
            score=float(rng.random() < SKILL[kind]),
            output="comedy",
            expected="drama",
            retrieved_count=4 if kind == "rag" else 0,
            truncated=False,
            tokens_in=60,
        )
        for user in range(40)
        for item in range(4)
    ]


def study_data() -> StudyData:
    """Returns the finished study; cell 5 (starter/large lora) died of memory under both seeds."""
    cells = cell_rows()
    pairs = [(cell, seed) for cell in cells for seed in SEEDS]
    usable = [(cell, seed) for cell, seed in pairs if cell.cell_index != FAILED_CELL]
    return StudyData(
        study=study_row(),
        cells=cells,
        trials=tuple(
            TrialRow(
                trial_id=f"t{cell.cell_index}s{seed}",
                study_id="0123456789ab",
                cell_index=cell.cell_index,
                seed=seed,
                repeat=1,
                digest=f"{cell.cell_index}{seed}" * 32,
                state="done",
                canonical_attempt_id=f"a{cell.cell_index}s{seed}",
                reused=False,
                attempt_count=1,
            )
            for cell, seed in pairs
        ),
        attempts=tuple(attempt(cell, seed) for cell, seed in pairs),
        measurements=tuple(row for cell, seed in usable for row in measurements(cell, seed)),
        scores=tuple(row for cell, seed in usable for row in scores(cell, seed)),
    )
