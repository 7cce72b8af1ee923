"""Is a planted truth found end to end, with real training? `python -m bench.world --json`.

Runs examples/studies/planted-world.yaml through a controller and an agent of
its own: synthetic users whose key words mean, for 40 %, what only their own history tells.
Retrieval must be found to help. Beside it a control: the same users and
questions, but the outputs in all histories are shuffled over all users, so that a history
tells nothing; there retrieval must not be found to help. Verdicts are those of
`edgerig guide`. Takes a few minutes; the figures are checks of the instrument.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import report
from bench.report import CouldNotRunError, Figure
from edgerig_controller.data import questions, synthetic
from edgerig_controller.data.tasks import DATA_SEED
from edgerig_controller.guidelines.difficulty import measure as difficulty_of
from edgerig_controller.guidelines.difficulty import score_of
from edgerig_controller.guidelines.verdict import Verdict

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "examples" / "studies" / "planted-world.yaml"
TASK = "tasks: [{name: lamp-2, source: synthetic, users: 20, items_per_user: 4}]"
USERS, ITEMS, HISTORY = 20, 4, 16
LONGEST_S = 1800.0
EDGERIG = [sys.executable, "-c", "import sys; from edgerig.console import controller; sys.exit(controller())"]
SUPPORT = (Verdict.SUPPORTED.value, Verdict.NEGLIGIBLE.value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    return report.run("world", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    del arguments
    rows = synthetic.generate("lamp-2", users=USERS, items_per_user=ITEMS, history=HISTORY, seed=DATA_SEED)
    with tempfile.TemporaryDirectory(prefix="edgerig-world-") as scratch:
        folder = Path(scratch)
        control = shuffled(rows)
        synthetic.write(control, folder / "control.jsonl")
        synthetic.write(rows, folder / "planted.jsonl")
        signals = [personal_signal(folder / name) for name in ("planted.jsonl", "control.jsonl")]
        try:
            planted = guidelines(folder, STUDY.read_text(encoding="utf-8"), "planted-world")
            nothing = guidelines(folder, control_study(), "control-world")
        finally:
            edgerig(folder, "stop", "--yes", "--json", check=False)
    return [
        Figure("planted_D5", signals[0], "score"),
        Figure("control_D5", signals[1], "score"),
        verdict("planted_rag_helps", planted["rag-helps"], supported=True),
        verdict("planted_rag_over_lora", planted["rag-over-lora"], supported=None),
        verdict("control_rag_helps", nothing["rag-helps"], supported=False),
    ]


def shuffled(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the rows with the outputs of all histories dealt out anew, the same to each row of a user."""
    profiles = {row["user"]: row["profile"] for row in rows}
    outputs = [item["output"] for profile in profiles.values() for item in profile]
    random.Random(DATA_SEED).shuffle(outputs)
    dealt = iter(outputs)
    new = {user: [{**item, "output": next(dealt)} for item in profile] for user, profile in profiles.items()}
    return [{**row, "profile": new[row["user"]]} for row in rows]


def personal_signal(path: Path) -> float:
    """Returns D5 of a file over all of its users."""
    (task,) = questions.read(str(path), users=USERS, kind="classification")
    found = difficulty_of(task.questions, score_of(task.kind), closed_set=True).d5
    if found is None:
        raise CouldNotRunError(f"{path.name} has no history to copy from")
    return found


def control_study() -> str:
    text = STUDY.read_text(encoding="utf-8")
    if TASK not in text:
        raise CouldNotRunError(f"{STUDY.name} is not the study that this benchmark knows")
    labels = ", ".join(json.dumps(label) for label in synthetic.facts("lamp-2").labels)
    source = "source: jsonl, path: control.jsonl, kind: classification"
    task = f"tasks: [{{name: control, {source}, labels: [{labels}]}}]"
    lora = "    - {kind: lora, r: 8, alpha: 16}\n"
    claim = next(line for line in text.splitlines(keepends=True) if "rag-over-lora" in line)
    text = text.replace(TASK, task).replace("name: planted-world", "name: control-world")
    return text.replace(lora, "").replace(claim, "")


def guidelines(folder: Path, text: str, name: str) -> dict[str, dict[str, Any]]:
    """Runs a study to its end and returns the guidelines of its claims by id."""
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    report.progress(f"running {name}")
    edgerig(folder, "run", str(path), "--json")
    document = edgerig(folder, "guide", name, "--json", check=False)
    found = [entry for entry in document["guidelines"] if entry["origin"]["family"] == "study file"]
    return {entry["claim_id"]: entry for entry in found}


def edgerig(folder: Path, *arguments: str, check: bool = True) -> dict[str, Any]:
    """Runs one command on a data folder of its own and returns its document."""
    environment = {**os.environ, "EDGERIG_HOME": str(folder / "home"), "NO_COLOR": "1"}
    try:
        ended = subprocess.run(
            [*EDGERIG, *arguments],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise CouldNotRunError(f"edgerig {arguments[0]} did not end within {LONGEST_S:g} s") from error
    if check and ended.returncode:
        raise CouldNotRunError(f"edgerig {arguments[0]} ended with {ended.returncode}: {ended.stderr[-500:]}")
    try:
        document: dict[str, Any] = json.loads(ended.stdout or "{}")
    except ValueError as error:
        raise CouldNotRunError(
            f"edgerig {arguments[0]} printed no document: {ended.stdout[-200:]}"
        ) from error
    return document


def verdict(name: str, found: dict[str, Any], *, supported: bool | None) -> Figure:
    """Makes the figure of a claim: its effect with the interval, and whether the verdict is as planted."""
    low, high = found["interval"] or (None, None)
    if supported is None:
        return Figure(name, found["estimate"], "points", low, high)
    holds = (found["verdict"] in SUPPORT) == supported
    goal = "supported" if supported else "not supported"
    return Figure(f"{name} ({found['verdict']})", found["estimate"], "points", low, high, goal, holds)


if __name__ == "__main__":
    raise SystemExit(main())
