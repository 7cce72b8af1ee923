"""A study that stops by itself: its claim is settled before its last seed, and the rest is left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.system.rig import Rig

pytestmark = pytest.mark.system

# Neither method trains, so that the third seed would tell what the first two have told.
ADAPTIVE = """
edgerig: 1
name: adaptive
protocol: quick
devices: {labels: [local]}
seeds: [1, 2, 3]
stop: when_settled
tasks: [{name: lamp-2, source: synthetic, users: 8, items_per_user: 2}]
factors:
  model: [starter/small]
  method: [{kind: none}, {kind: rag, retriever: bm25, k: 2}]
  compression: [{kind: none}]
  history: [8]
budgets: {attempt: {duration_s: 100}}
inference: {prompt_tokens: 8, new_tokens: 4, batch: 1, requests: 6}
protocol_overrides: {idle_s: 0}
claims:
  - {id: rag-helps, better: {method.kind: rag}, than: {method.kind: none}, metric: accuracy}
"""


def test_a_settled_study_leaves_its_last_seed_out_and_says_so(tmp_path: Path) -> None:
    rig = Rig(data=tmp_path / "home", folder=tmp_path)
    try:
        answer = rig.call("run", rig.study("adaptive", ADAPTIVE), "--json")
        assert answer.exit_code == 0, answer.stderr + rig.logs()
        assert (answer.document["ok_count"], answer.document["trial_count"]) == (4, 6)
        assert answer.document["state"] == "finished"
        again = rig.call("run", rig.study("adaptive", ADAPTIVE), "--json")
        assert again.exit_code == 0
        guide = rig.call("guide", "adaptive", "--json")
        (found,) = [g for g in guide.document["guidelines"] if g["origin"]["family"] == "study file"]
        assert found["verdict"] == "supported" and found["n_seeds"] == 2
        folder = rig.folder / "out"
        assert rig.call("export", "adaptive", "--to", "jsonl", "--out", str(folder)).exit_code == 0
        rows = [json.loads(line) for line in (folder / "attempts.jsonl").read_text().splitlines()]
        assert sorted(row["status"] for row in rows) == ["not_run"] * 2 + ["ok"] * 4
    finally:
        rig.kill_everything()
