"""Whether the starter models do their job: held-out losses, and methods that help.

The losses are computed again from the stored weights on documents that training
never saw. RAG - none and LoRA - none are measured by the real worker on the
quickstart's task with five seeds; intervals are those of the guideline engine.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.report import CouldNotRunError, Figure, progress, run
from edgerig_controller.data import synthetic
from edgerig_controller.data.tasks import DATA_SEED
from edgerig_controller.guidelines.estimate import ScoreEstimate, paired_contrast
from edgerig_controller.guidelines.records import ScoreTuple

ROOT = Path(__file__).resolve().parents[1]
SIZES = ("tiny", "small", "large")
COMPARED = ("small", "large")
SEEDS = (1, 2, 3, 4, 5)
TASK, USERS, ITEMS_PER_USER, HISTORY, STEPS = "lamp-2", 40, 4, 16, 60
METHODS: dict[str, dict[str, Any]] = {
    "none": {},
    "rag": {"retriever": "bm25", "k": 4},
    "lora": {"r": 8, "alpha": 16},
}
WORKER_TIMEOUT_S = 600


@dataclass(frozen=True)
class Job:
    """One worker: a model, a method and a seed."""

    size: str
    method: str
    seed: int


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.starter", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="workers at a time, each with one thread")
    return run("starter", measure, parser)


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Measure the losses and then the contrasts.

    Raises:
        CouldNotRunError: a package or a model is missing, or a worker failed.
    """
    return [*losses(), *contrasts(arguments.jobs)]


def losses() -> Iterator[Figure]:
    """Yield each size's held-out loss with its goal: at most half of ln(vocabulary), and falling."""
    trainer = _trainer()
    smaller = math.inf
    for size in SIZES:
        folder = starter_folder(size)
        progress(f"held-out loss of starter/{size}")
        loss, vocabulary = trainer.stored_loss(folder)
        limit = 0.5 * math.log(vocabulary)
        yield Figure(
            name=f"held_out_loss/{size}",
            value=round(loss, 5),
            unit="nats/token",
            goal=f"<= {limit:.3f} and below the smaller size's",
            holds=loss <= limit and loss < smaller,
        )
        smaller = loss


def contrasts(jobs: int) -> Iterator[Figure]:
    """Yield RAG - none and LoRA - none of the compared sizes, in points of accuracy."""
    scores = _scores(jobs)
    for size, method in product(COMPARED, ("rag", "lora")):
        sides = [
            [row for seed in SEEDS for row in scores[Job(size, side, seed)]] for side in (method, "none")
        ]
        found: ScoreEstimate = paired_contrast(sides[0], sides[1])
        yield Figure(
            name=f"{method}-none/{size}",
            value=_points(found.estimate),
            unit="points",
            low=_points(found.low),
            high=_points(found.high),
            goal=f"lower bound > 0 ({found.n_users} users, {found.n_seeds} seeds, {found.n_items} items)",
            holds=found.low is not None and found.low > 0,
        )
    for size, method in product(COMPARED, METHODS):
        values = [row[3] for seed in SEEDS for row in scores[Job(size, method, seed)]]
        yield Figure(f"accuracy/{method}/{size}", _points(sum(values) / len(values)), "points")


def starter_folder(size: str) -> Path:
    """Return the folder of a starter model inside the installed package.

    Raises:
        CouldNotRunError: the package holds no such model.
    """
    spec = importlib.util.find_spec("edgerig_controller")
    assert spec is not None and spec.origin is not None, "this project's own package"
    folder = Path(spec.origin).parent / "data" / "starter" / size
    if not (folder / "model.safetensors").is_file():
        raise CouldNotRunError(f"there is no model starter/{size}; run python examples/train_starter.py")
    return folder


def _points(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def _trainer() -> ModuleType:
    """Loads the training script: it knows how held-out documents are worded."""
    try:
        spec = importlib.util.spec_from_file_location("train_starter", ROOT / "examples/train_starter.py")
        assert spec is not None and spec.loader is not None, "a .py file has a loader"
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    except ImportError as error:
        raise CouldNotRunError(f"{error}; pip install 'edgerig[workload,torch]'") from error
    return module


def _scores(jobs: int) -> dict[Job, list[ScoreTuple]]:
    wanted = [Job(*parts) for parts in product(COMPARED, METHODS, SEEDS)]
    with tempfile.TemporaryDirectory(prefix="edgerig-bench-") as name:
        folder = Path(name)
        data = folder / "data.jsonl"
        synthetic.write(
            synthetic.generate(
                TASK, users=USERS, items_per_user=ITEMS_PER_USER, history=HISTORY, seed=DATA_SEED
            ),
            data,
        )
        with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            return dict(zip(wanted, pool.map(lambda job: _run(job, folder, data), wanted), strict=True))


def trial(job: Job) -> dict[str, Any]:
    """Build the trial in the form in which the worker reads it, with no inference profile."""
    facts = synthetic.facts(TASK)
    return {
        "schema_version": 1,
        "protocol": "PROTOCOL_QUICK",
        "seed": job.seed,
        "repeat": 1,
        "task": {
            "name": TASK,
            "kind": f"TASK_KIND_{facts.kind.upper()}",
            "metric": facts.metric,
            "prompt": facts.prompt,
            "labels": list(facts.labels),
            "answer_tokens": facts.answer_tokens,
        },
        "method": {"kind": job.method, "parameters": METHODS[job.method]},
        "compression": {"kind": "none"},
        "history": HISTORY,
        "budgets": {"train": {"steps": STEPS}},
        "dtype": "auto",
        "threads": 1,
    }


def _run(job: Job, folder: Path, data: Path) -> list[ScoreTuple]:
    """Runs one worker and reads the item scores off its pipe."""
    progress(f"starter/{job.size} {job.method} seed {job.seed}")
    own = folder / f"{job.size}-{job.method}-{job.seed}"
    own.mkdir()
    (own / "trial.json").write_text(json.dumps(trial(job)), encoding="utf-8")
    command = [sys.executable, "-m", "edgerig_workload", "run", str(own / "trial.json")]
    command += ["--model", str(starter_folder(job.size)), "--data", str(data), "--out", str(own)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    # Scores go through a pipe of their own; libraries write on stdout as they please.
    reader, writer = os.pipe()
    with (own / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--event-fd", str(writer)],
            pass_fds=(writer,),
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    os.close(writer)
    events = _events(reader)
    code = process.wait(timeout=WORKER_TIMEOUT_S)
    scores = [event["score"] for event in events if "score" in event]
    if code != 0 or not scores:
        failures = [event["failure"] for event in events if "failure" in event]
        raise CouldNotRunError(f"the worker of {job} failed with exit code {code}: {failures}")
    return [(entry["user_id"], entry["item_id"], job.seed, float(entry["score"])) for entry in scores]


def _events(reader: int) -> Sequence[dict[str, Any]]:
    with os.fdopen(reader, encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


if __name__ == "__main__":
    sys.exit(main())
