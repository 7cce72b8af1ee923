"""How long planning takes: `python -m bench.dry_run --json`.

A study of 3 models x 7 methods x 4 compressions x 7 tasks, 588 combinations, is planned by
`edgerig run STUDY --dry-run --json` as a person calls it, in a process of its own each time:
from the start of the interpreter to the last byte of the document, the catalogue's process
and the making of the tasks' data included. Every combination must be there, as a cell or as
left out, and whatever cannot run must say why.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import report
from bench.report import CouldNotRunError, Figure

COMBINATIONS = 3 * 7 * 4 * 7
GOAL_S = 2.0
OWN_TASK = Path(__file__).parents[1] / "examples" / "trial-data.jsonl"
STUDY = """\
edgerig: 1
name: mixed
protocol: quick
devices: {labels: [local]}
tasks:
  - {name: lamp-1, source: synthetic, users: 40, items_per_user: 4}
  - {name: lamp-2, source: synthetic, users: 40, items_per_user: 4}
  - {name: lamp-3, source: synthetic, users: 40, items_per_user: 4}
  - {name: lamp-4, source: synthetic, users: 40, items_per_user: 4}
  - {name: lamp-5, source: synthetic, users: 40, items_per_user: 4}
  - {name: lamp-7, source: synthetic, users: 40, items_per_user: 4}
  - {name: own, source: jsonl, path: own.jsonl, kind: classification}
factors:
  model: [starter/tiny, starter/small, starter/large]
  method: [none, {kind: rag, k: 4}, {kind: lora, r: 8}, prompt, prefix, full, ia3]
  compression: [none, rtn-int4, wanda, {kind: distilled-logits, teacher: starter/large}]
budgets: {train: {steps: 60}, attempt: {memory: 600MiB}}
"""


def main() -> int:
    """Measures, prints one document or a table, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="times that the study is planned")
    return report.run("dry_run", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    """Return the time to plan, with the combinations and what becomes of them.

    Raises:
        CouldNotRunError: the command fails.
    """
    with tempfile.TemporaryDirectory(prefix="edgerig-dry-run-") as name:
        path = Path(name) / "study.yaml"
        path.write_text(STUDY)
        shutil.copy(OWN_TASK, Path(name) / "own.jsonl")
        runs = [_planned(path) for _ in range(max(1, arguments.runs))]
    found = runs[0][1]
    taken_s = [spent_s for spent_s, _ in runs]
    median_s = statistics.median(taken_s)
    listed = len(found["cells"]) + len(found["exclusions"])
    unfit = [cell["does_not_fit"] for cell in found["cells"] if cell["does_not_fit"]]
    reasons = [*unfit, *(exclusion["reason"] for exclusion in found["exclusions"])]
    return [
        Figure("plan_median_s", median_s, "s", goal=f"under {GOAL_S:g} s", holds=median_s < GOAL_S),
        Figure("plan_slowest_s", max(taken_s), "s"),
        Figure("combinations", listed, "", goal=f"{COMBINATIONS}", holds=listed == COMBINATIONS),
        Figure("left_out", len(found["exclusions"]), ""),
        Figure("does_not_fit", len(unfit), ""),
        Figure("without_a_reason", sum(not reason for reason in reasons), "", goal="0", holds=all(reasons)),
    ]


def _planned(path: Path) -> tuple[float, dict[str, Any]]:
    program = Path(sys.executable).with_name("edgerig")
    command = [str(program), "run", str(path), "--dry-run", "--json"]
    began = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent)
    except OSError as error:
        raise CouldNotRunError(f"{program} cannot be started: {error.strerror}") from error
    spent_s = time.perf_counter() - began
    if done.returncode:
        raise CouldNotRunError(f"the study was not planned: {done.stderr.strip()[-500:]}")
    document: dict[str, Any] = json.loads(done.stdout)["dry_run"]
    return spent_s, document


if __name__ == "__main__":
    sys.exit(main())
