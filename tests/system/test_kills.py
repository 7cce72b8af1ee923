"""Real processes killed at random moments of a study: each trial counts once, whatever died.

The seed of the moments is printed; EDGERIG_KILL_SEED replaces it.
"""

from __future__ import annotations

import os
import time
from collections import Counter

import pytest

from tests.system.rig import Rig, until
from tests.system.supervised import AGENT, CONTROLLER, WORKER, Killed, Supervised, ask, harass, is_finished

pytestmark = pytest.mark.system

STUDY = """
edgerig: 1
name: {name}
protocol: quick
devices: {{labels: [local]}}
seeds: {seeds}
tasks: [{{name: lamp-2, source: synthetic, users: 2, items_per_user: 1}}]
factors:
  model: [starter/small]
  method: [{method}]
  compression: [{{kind: none}}]
  history: [4]
budgets: {{train: {{steps: 3}}, attempt: {{duration_s: 60}}}}
inference: {{prompt_tokens: 8, new_tokens: 4, batch: 1, requests: 1}}
protocol_overrides: {{idle_s: 0}}
{more}
"""


def begun(rig: Rig, name: str, trials: int, method: str, more: str = "") -> Supervised:
    """Submits a study as a person does, and takes its two daemons over from the command line."""
    text = STUDY.format(name=name, seeds=list(range(1, trials + 1)), method=method, more=more)
    run = rig.start("run", rig.study(name, text), "--json")
    rig.wait_for(WORKER)
    run.kill()
    rig.finish(run)
    supervised = Supervised(rig)
    for part in (CONTROLLER, AGENT):
        supervised.kill(part)
    return supervised


def killed_all_over(rig: Rig, supervised: Supervised, counts: dict[str, int]) -> Killed:
    """Kills so many of each, and waits for the end of the study."""
    seed = int(os.environ.get("EDGERIG_KILL_SEED") or time.time_ns() % 1_000_000)
    print(f"EDGERIG_KILL_SEED={seed}")
    parts = [part for part, count in counts.items() for _ in range(count)]
    try:
        killed = harass(supervised, parts, seed, finished=lambda: is_finished(rig))
        until(lambda: is_finished(rig), 120, lambda: f"the study does not end\n{rig.logs()}")
    finally:
        supervised.stop()
    return killed


def check(rig: Rig, trials: int) -> Counter[str]:
    """Checks that each trial counts once; returns how often it ended in which way."""
    rows = ask(rig, "SELECT trial_id, attempt_id, failure_class, status FROM result WHERE canonical")
    assert len({row[0] for row in rows}) == len(rows) == trials
    doubled = ask(
        rig, "SELECT attempt_id FROM result WHERE kind = 'attempt' GROUP BY attempt_id HAVING count(*) > 1"
    )
    assert doubled == []
    return Counter(row[2] or row[3] for row in rows)


def test_a_study_of_twenty_trials_outlives_thirty_kills(rig: Rig) -> None:
    supervised = begun(rig, "spin", 20, "{kind: spin, duration_s: 0.4}")
    killed = killed_all_over(rig, supervised, {AGENT: 10, CONTROLLER: 10, WORKER: 10})
    ends = check(rig, 20)
    assert set(ends) <= {"ok", "killed"}, ends
    assert ends["killed"] <= killed.counts[WORKER]
    # The study may be over before the last kill, not before most of them.
    assert killed.counts[AGENT] >= 5 and killed.counts[CONTROLLER] >= 5, killed
    assert killed.survived >= 1, killed


def test_what_was_killed_runs_again_where_the_study_says_so(rig: Rig) -> None:
    supervised = begun(
        rig, "again", 2, "{kind: spin, duration_s: 0.6}", "retry: {max_attempts: 9, retry_on: [killed]}"
    )
    killed = killed_all_over(rig, supervised, {WORKER: 2})
    assert killed.counts[WORKER] >= 1
    assert check(rig, 2) == {"ok": 2}


def test_lora_training_outlives_both_daemons(rig: Rig) -> None:
    supervised = begun(rig, "lora", 1, "{kind: lora, r: 2, alpha: 4}")
    killed = killed_all_over(rig, supervised, {AGENT: 2, CONTROLLER: 2})
    assert killed.survived >= 1
    assert check(rig, 1) == {"ok": 1}
