"""Studies made up as rows: any tasks, methods, compressions, histories, devices, with planted effects."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgerig_controller.report.data import DeviceSummary, StudyData
from edgerig_controller.store.rows import AttemptRow, CellRow, MeasurementRow, ScoreRow, StudyRow, TrialRow
from edgerig_controller.study.expand import labels

BEGAN_S = 1_780_000_000.0
NONE, RAG = {"kind": "none"}, {"kind": "rag", "retriever": "bm25", "k": 4}
LORA = {"kind": "lora", "r": 8, "alpha": 16}
RAG_HELPS = {
    "id": "rag-helps",
    "better": {"method.kind": "rag"},
    "than": {"method.kind": "none"},
    "metric": "accuracy",
    "margin": 2.0,
    "direction": "larger",
}
GIB = 2**30
# Quality of a cell from its factors.
Skill = Callable[[dict[str, Any]], float]


def usual_skill(factors: dict[str, Any]) -> float:
    """LoRA over RAG over nothing; quantising costs; more history helps RAG a little."""
    skill = {"none": 0.3, "rag": 0.5, "lora": 0.6}[factors["method"]["kind"]]
    history = 64 if factors["history"] == "all" else factors["history"]
    gain = 0.03 * np.log2(1 + history / 4) if factors["method"]["kind"] == "rag" else 0.0
    return float(skill + gain - 0.04 * (factors["compression"]["kind"] != "none"))


def study(
    name: str = "made",
    *,
    tasks: Sequence[str] = ("lamp-2",),
    models: Sequence[str] = ("org/small", "org/large"),
    methods: Sequence[dict[str, Any]] = (NONE, RAG, LORA),
    compressions: Sequence[dict[str, Any]] = (NONE,),
    histories: Sequence[Any] = (16,),
    seeds: Sequence[int] = (1, 2, 3),
    users: int = 12,
    items: int = 3,
    device: str = "orin-01",
    boundary: str = "module_in",
    memory_bytes: int = 8 * GIB,
    limit_bytes: int = 0,
    steps: int = 60,
    claims: Sequence[dict[str, Any]] = (RAG_HELPS,),
    skill: Skill = usual_skill,
    fails: Callable[[dict[str, Any]], str] = lambda factors: "",
    metric: str = "accuracy",
    **row: Any,
) -> StudyData:
    """Makes a finished study; `fails` names the failure class of cells that died."""
    factors = [
        {"task": task, "model": model, "method": method, "compression": compression, "history": history}
        for task in tasks
        for model in models
        for method in methods
        for compression in compressions
        for history in histories
    ]
    cells = tuple(
        CellRow(n, label, f, None, None)
        for n, (f, label) in enumerate(zip(factors, labels(factors), strict=True))
    )
    digest = hashlib.sha256(f"{name}{factors}{seeds}{steps}{device}".encode()).hexdigest()
    runs = [(cell, seed) for cell in cells for seed in seeds]
    failures = {cell.cell_index: fails(cell.factors) for cell in cells}
    ok = [(cell, seed) for cell, seed in runs if not failures[cell.cell_index]]
    resolved = {
        "protocol": "standard",
        "budgets": {"train": {"steps": steps, "samples": 0}, "attempt": {"memory": limit_bytes}},
        "inference": {"prompt_tokens": 64, "new_tokens": 32},
        "resolved_models": {m: {"digest": hashlib.sha256(m.encode()).hexdigest()} for m in models},
        "resolved_tasks": {
            t: {"metric": metric, "data": {"sha256": hashlib.sha256(t.encode()).hexdigest()}} for t in tasks
        },
    }
    study_row = StudyRow(
        study_id=digest[:12], name=name, digest=digest, state="finished", created_unix_s=BEGAN_S,
        finished_unix_s=BEGAN_S + 1000, trial_count=len(runs), done_count=len(runs),
        failed_count=len(runs) - len(ok), reused_count=0, resolved=resolved, source_yaml="",
        claims=[dict(claim) for claim in claims], exclusions=[],
    )  # fmt: skip
    data = StudyData(
        study=study_row,
        cells=cells,
        trials=tuple(_trial(digest[:12], cell, seed) for cell, seed in runs),
        attempts=tuple(
            _attempt(digest[:12], cell, seed, device, steps, failures[cell.cell_index]) for cell, seed in runs
        ),
        measurements=tuple(
            m for cell, seed in ok for m in _measurements(digest[:12], cell, seed, boundary, steps)
        ),
        scores=tuple(
            s
            for cell, seed in ok
            for s in _scores(digest[:12], cell, seed, users, items, skill(cell.factors))
        ),
        devices=(DeviceSummary(device, "box", memory_bytes, "", 0, ""),),
    )
    return dataclasses.replace(data, **row)


def attempt_id(study_id: str, cell: CellRow, seed: int) -> str:
    return f"{study_id[:4]}-{cell.cell_index}-{seed}"


def _trial(study_id: str, cell: CellRow, seed: int) -> TrialRow:
    key = attempt_id(study_id, cell, seed)
    return TrialRow(f"t-{key}", study_id, cell.cell_index, seed, 1, key, "done", key, False, 1)


def _attempt(study_id: str, cell: CellRow, seed: int, device: str, steps: int, failure: str) -> AttemptRow:
    key = attempt_id(study_id, cell, seed)
    trains = cell.factors["method"]["kind"] == "lora" and not failure
    worker: dict[str, Any] = {"torch": "2.9.0", "device": "cpu"}
    if not failure:
        worker["parameter_count"] = str(2_000_000 if "large" in cell.factors["model"] else 500_000)
    if trains:
        worker["train_sample_count"] = 4 * steps
    return AttemptRow(
        attempt_id=key, trial_id=f"t-{key}", cell_index=cell.cell_index, seed=seed, repeat=1,
        device_id=device, epoch=1, state="committed", status="failed" if failure else "ok",
        failure_class=failure, failure_message="it died" if failure else "",
        failure_phase="train" if failure else "", quality=None, item_count=0, flags=[], canonical=True,
        reused=False, created_unix_s=BEGAN_S + 10 + cell.cell_index, ended_unix_s=BEGAN_S + 20,
        duration_s=5.0, environment_digest="e" * 64, worker=worker, last_available_bytes=None,
        last_rss_bytes=None,
    )  # fmt: skip


def _measurements(study_id: str, cell: CellRow, seed: int, boundary: str, steps: int) -> list[MeasurementRow]:
    size = 3.0 if "large" in cell.factors["model"] else 1.0
    luck = 1 + 0.02 * np.random.default_rng([cell.cell_index, seed, 9]).standard_normal()
    longer = 1.5 if cell.factors["method"]["kind"] == "rag" else 1.0
    rows = [
        ("ttft_s", "inference", "p50", 0.004 * size * longer * luck, ""),
        ("rss_peak_bytes", "inference", "peak", 4e8 * size * luck, ""),
        ("j_per_request", "inference", "ratio", 2.0 * size * longer * luck, boundary),
    ]
    if cell.factors["method"]["kind"] == "lora":
        rows.append(("duration_s", "train", "sum", 0.1 * steps * size * luck, ""))
        rows.append(("energy_j", "train", "sum", 1.0 * steps * size * luck, boundary))
    return [
        MeasurementRow(
            attempt_id=attempt_id(study_id, cell, seed), cell_index=cell.cell_index, seed=seed, repeat=1,
            name=name, phase=phase, statistic=statistic, value=float(value), unavailable_reason="",
            low=None, high=None, interval_kind="", boundary=kind, source=kind or "worker", method="",
            sample_count=20, effective_rate_hz=None, coverage=None, flags=[],
        )
        for name, phase, statistic, value, kind in rows
        if not (kind == "" and name == "j_per_request")
    ]  # fmt: skip


def _scores(study_id: str, cell: CellRow, seed: int, users: int, items: int, skill: float) -> list[ScoreRow]:
    trains = cell.factors["method"]["kind"] == "lora"
    rng = np.random.default_rng([cell.cell_index, seed if trains else 0])
    return [
        ScoreRow(
            attempt_id=attempt_id(study_id, cell, seed), cell_index=cell.cell_index, seed=seed, repeat=1,
            item_id=f"u{user}-i{item}", user_id=f"u{user}", score=float(rng.random() < skill), output="",
            expected="", retrieved_count=0, truncated=False, tokens_in=60,
        )
        for user in range(users)
        for item in range(items)
    ]  # fmt: skip
