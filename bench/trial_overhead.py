"""How long a trial takes beyond its own phases: `python -m bench.trial_overhead --json`.

A real study runs in a data folder of its own: controller, agent, attempt
processes, sampler and worker as a user has them. The wall time of a trial is
counted from the end of the one before it (for the first: from its lease) to
its own commit, so that leasing, starting processes, reducing, uploading and
committing are all inside. From it the durations of the worker's phases are
taken. Phases inside others (train_step, prefill, decode, retrieve) are not
counted twice.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench import report
from bench.report import CouldNotRunError, Figure
from edgerig_controller.home import resolve
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.rows import AttemptRow

GOAL_S = 3.0
# Phases that lie side by side; the others lie inside one of these.
OUTER = frozenset({"import", "idle_pre", "load", "compress", "idle_resident", "index"}) | frozenset(
    {"train", "checkpoint", "warmup", "inference", "evaluate", "idle_post"}
)

STUDY = """
edgerig: 1
name: trial-overhead
protocol: quick
devices: {{labels: [local]}}
seeds: {seeds}
tasks: [{{name: lamp-2, source: synthetic, users: 8, items_per_user: 2}}]
factors:
  model: [starter/small]
  method: [{{kind: none}}]
  compression: [{{kind: none}}]
  history: [4]
budgets: {{attempt: {{duration_s: 120}}}}
inference: {{prompt_tokens: 32, new_tokens: 8, batch: 1, requests: 20}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=6, help="trials of the study (2 or more)")
    return report.run("trial_overhead", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    if arguments.trials < 2:
        raise CouldNotRunError("--trials must be 2 or more: the first trial is reported apart")
    with tempfile.TemporaryDirectory(prefix="edgerig-bench-") as scratch:
        overheads_s = run_study(Path(scratch), arguments.trials)
    following_s = overheads_s[1:]
    largest_s = max(following_s)
    return [
        Figure("first_trial_overhead_s", overheads_s[0], "s"),
        Figure("following_trial_overhead_median_s", median(following_s), "s", min(following_s), largest_s),
        Figure(
            "following_trial_overhead_max_s",
            largest_s,
            "s",
            goal=f"at most {GOAL_S:g} s",
            holds=largest_s <= GOAL_S,
        ),
    ]


def run_study(scratch: Path, trials: int) -> list[float]:
    """Runs the study and returns each trial's overhead in s, in the order they ran."""
    study = scratch / "study.yaml"
    study.write_text(STUDY.format(seeds=list(range(1, trials + 1))))
    data = str(scratch / "home")
    edgerig = [sys.executable, "-m", "edgerig_controller.cli.main"]
    ran = subprocess.run(
        [*edgerig, "run", str(study), "--json", "--data", data], capture_output=True, text=True
    )
    subprocess.run([*edgerig, "stop", "--data", data], capture_output=True, check=False)
    if ran.returncode != 0:
        raise CouldNotRunError(f"the study ended with exit code {ran.returncode}: {ran.stderr[-800:]}")
    return read_overheads(data)


def read_overheads(data: str) -> list[float]:
    repository = Repository.open_readonly(resolve(data, os.environ))
    study_id = repository.find_study("trial-overhead").study_id
    phases_s: dict[str, float] = defaultdict(float)
    for row in repository.measurements(study_id):
        if row.name == "duration_s" and row.phase in OUTER and row.value is not None:
            phases_s[row.attempt_id] += row.value
    attempts = sorted((row for row in repository.attempts(study_id) if row.canonical), key=ended)
    begins = [attempts[0].created_unix_s, *(ended(row) for row in attempts[:-1])]
    return [
        ended(row) - begin - phases_s[row.attempt_id] for row, begin in zip(attempts, begins, strict=True)
    ]


def ended(row: AttemptRow) -> float:
    """Returns when the result was committed, in Unix seconds."""
    if row.ended_unix_s is None:
        raise CouldNotRunError(f"attempt {row.attempt_id} has no end")
    return row.ended_unix_s


if __name__ == "__main__":
    raise SystemExit(main())
