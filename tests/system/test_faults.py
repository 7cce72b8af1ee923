"""Killed processes: every trial ends recorded exactly once, whatever died in the middle.

The trials use the built-in method `spin` (fixed work, no torch), so that what is
tested is the passage of results and not a model. One more test does the same to
real LoRA training.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections import Counter

import psutil
import pytest

from tests.system.rig import Rig, until

pytestmark = pytest.mark.system

WORKER, ATTEMPT, AGENT, CONTROLLER = (
    "edgerig_workload",
    "edgerig_agent.attempt",
    "edgerig_agent.cli",
    "edgerig_controller.serve",
)


def spin_study(rig: Rig, *, trials: int, duration_s: float) -> str:
    return rig.study(
        "spin",
        f"""
edgerig: 1
name: spin
protocol: quick
devices: {{labels: [local]}}
seeds: {list(range(1, trials + 1))}
tasks: [{{name: lamp-2, source: synthetic, users: 4, items_per_user: 1}}]
factors:
  model: [starter/small]
  method: [{{kind: spin, duration_s: {duration_s}}}]
  compression: [{{kind: none}}]
  history: [4]
budgets: {{attempt: {{duration_s: 60}}}}
inference: {{prompt_tokens: 8, new_tokens: 4, batch: 1, requests: 1}}
""",
    )


def recorded(rig: Rig) -> Counter[str]:
    """Counts canonical results per trial, straight from the database."""
    with sqlite3.connect(f"file:{rig.data / 'store.db'}?mode=ro", uri=True) as database:
        rows = database.execute("select trial_id from result where canonical").fetchall()
    return Counter(row[0] for row in rows)


def statuses(rig: Rig, study: str) -> Counter[str]:
    document = rig.call("results", study, "--json").document
    return Counter(record["failure_class"] or record["status"] for record in document["records"])


def test_a_killed_worker_is_a_result_and_the_study_goes_on(rig: Rig) -> None:
    study = spin_study(rig, trials=3, duration_s=1.5)
    run = rig.start("run", study, "--json")
    rig.wait_for(WORKER).kill()
    answer = rig.finish(run)
    assert answer.exit_code == 1, answer.stderr
    assert statuses(rig, "spin") == {"ok": 2, "killed": 1}


def test_running_again_repeats_only_what_died(rig: Rig) -> None:
    study = spin_study(rig, trials=3, duration_s=1.5)
    run = rig.start("run", study, "--json")
    rig.wait_for(WORKER).kill()
    rig.finish(run)
    again = rig.call("run", study, "--json")
    assert again.exit_code == 0, again.stderr
    assert statuses(rig, "spin") == {"ok": 3}
    assert set(recorded(rig).values()) == {1}


def test_a_killed_agent_leaves_the_worker_running_and_loses_nothing(rig: Rig) -> None:
    study = spin_study(rig, trials=3, duration_s=4)
    run = rig.start("run", study, "--json")
    worker = rig.wait_for(WORKER)
    rig.wait_for(AGENT).kill()
    second = rig.start("run", study, "--json")
    rig.wait_for(AGENT)
    assert worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE
    for process in (run, second):
        assert rig.finish(process).exit_code == 0
    assert statuses(rig, "spin") == {"ok": 3}
    assert sorted(recorded(rig).values()) == [1, 1, 1]


def test_a_killed_controller_loses_nothing(rig: Rig) -> None:
    study = spin_study(rig, trials=3, duration_s=2)
    run = rig.start("run", study, "--json")
    rig.wait_for(WORKER)
    rig.wait_for(CONTROLLER).kill()
    rig.finish(run)
    again = rig.call("run", study, "--json")
    assert again.exit_code == 0, again.stderr
    assert statuses(rig, "spin") == {"ok": 3}
    assert sorted(recorded(rig).values()) == [1, 1, 1]


def test_a_killed_attempt_process_takes_its_worker_with_it(rig: Rig) -> None:
    study = spin_study(rig, trials=2, duration_s=20)
    run = rig.start("run", study, "--json")
    worker = rig.wait_for(WORKER)
    rig.wait_for(ATTEMPT).kill()
    until(
        lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 10, "the worker lives on"
    )
    rig.wait_for(WORKER)
    rig.call("cancel", "spin")
    assert rig.finish(run).exit_code == 1
    assert statuses(rig, "spin")["killed"] >= 1


def test_interrupting_once_detaches_with_a_hint(rig: Rig) -> None:
    study = spin_study(rig, trials=2, duration_s=2)
    run = rig.start("run", study)
    rig.wait_for(WORKER)
    os.kill(run.pid, signal.SIGINT)
    answer = rig.finish(run, timeout_s=30)
    assert answer.exit_code == 130
    assert "edgerig watch spin" in answer.stderr
    assert rig.call("watch", "spin", "--json").exit_code == 0
    assert statuses(rig, "spin") == {"ok": 2}


def test_interrupting_twice_cancels_and_leaves_no_process(rig: Rig) -> None:
    study = spin_study(rig, trials=3, duration_s=30)
    run = rig.start("run", study)
    rig.wait_for(WORKER)
    os.kill(run.pid, signal.SIGINT)
    # Two signals that arrive together are one; a person, too, reads the hint first.
    assert run.stderr
    for line in run.stderr:
        if "Ctrl-C again" in line:
            break
    os.kill(run.pid, signal.SIGINT)
    answer = rig.finish(run, timeout_s=60)
    assert answer.exit_code == 130
    until(lambda: not rig.processes(""), 20, f"still running: {rig.processes('')}")
