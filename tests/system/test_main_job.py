"""The main job as a person does it: check, run, look, export, and what wrong input gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.system.rig import ROOT, Rig

pytestmark = pytest.mark.system

SMALL = """
edgerig: 1
name: small
protocol: quick
devices: {labels: [local]}
seeds: [1]
tasks: [{name: lamp-2, source: synthetic, users: 6, items_per_user: 2}]
factors:
  model: [starter/small]
  method: [{kind: none}, {kind: rag, retriever: bm25, k: 2}, {kind: lora, r: 2, alpha: 4}]
  compression: [{kind: none}]
  history: [8]
budgets: {train: {steps: 3}, attempt: {duration_s: 100}}
inference: {prompt_tokens: 16, new_tokens: 8, batch: 1, requests: 20}
"""

# The same without its idles, for what does not look at them.
BRISK = SMALL + "protocol_overrides: {idle_s: 0}\n"

# Each of these cells ends in its own way; the one in the middle is sound.
MIXED = """
edgerig: 1
name: mixed
protocol: quick
devices: {labels: [local]}
seeds: [1]
tasks: [{name: lamp-2, source: synthetic, users: 2, items_per_user: 1}]
factors:
  model: [starter/small]
  method:
    - {kind: lora, r: 2, alpha: 4, targets: no_such_layer}
    - {kind: none}
    - {kind: spin, duration_s: 60}
  compression: [{kind: none}]
  history: [4]
budgets: {train: {steps: 20}, attempt: {duration_s: 20}}
inference: {prompt_tokens: 8, new_tokens: 4, batch: 1, requests: 6}
protocol_overrides: {idle_s: 0}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A rig on which the small study has run; the tests below only read it."""
    rig = Rig(data=tmp_path_factory.mktemp("home"), folder=tmp_path_factory.mktemp("work"))
    answer = rig.call("run", rig.study("small", SMALL), "--json")
    rig.kill_everything()
    assert answer.exit_code == 0, answer.stderr + rig.logs()
    document = answer.document
    assert len(document["records"]) == 3 and document["failures"] == []
    assert Path(document["report"]["html"]).is_file()
    return rig


def test_every_trial_has_latency_memory_and_a_reason_for_missing_energy(finished: Rig) -> None:
    folder = finished.folder / "parquet"
    assert finished.call("export", "small", "--to", "parquet", "--out", str(folder)).exit_code == 0
    rows = pyarrow.parquet.read_table(folder / "measurements.parquet").to_pylist()
    values = {(row["name"], row["phase"], row["statistic"]): row["value"] for row in rows}
    assert values["ttft_s", "inference", "p50"] > 0
    assert values["rss_peak_bytes", "load", "peak"] > 50e6
    energy = [row for row in rows if row["name"] == "energy_j"]
    assert energy
    assert all((row["value"] is None) == bool(row["unavailable_reason"]) for row in energy)


def test_exported_scores_cover_every_item_of_every_trial(finished: Rig) -> None:
    folder = finished.folder / "jsonl"
    assert finished.call("export", "small", "--to", "jsonl", "--out", str(folder)).exit_code == 0
    scores = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert len(scores) == 3 * 6 * 2
    assert len({(row["attempt_id"], row["item_id"]) for row in scores}) == len(scores)


def test_the_same_file_attaches_and_runs_nothing(finished: Rig) -> None:
    answer = finished.call("run", finished.study("small", SMALL), "--json")
    assert answer.exit_code == 0, answer.stderr
    assert len(finished.call("studies", "--json").document["studies"]) == 1


def test_a_changed_file_is_a_new_study_that_reuses_identical_trials(finished: Rig) -> None:
    changed = SMALL.replace("{kind: lora, r: 2, alpha: 4}", "{kind: rag, retriever: bm25, k: 1}")
    answer = finished.call(
        "run", finished.study("changed", changed.replace("name: small", "name: changed")), "--json"
    )
    assert answer.exit_code == 0, answer.stderr
    studies = {study["name"]: study for study in finished.call("studies", "--json").document["studies"]}
    assert studies["changed"]["reused_count"] == 2


def test_each_way_to_fail_has_its_own_class_and_the_study_goes_on(rig: Rig) -> None:
    answer = rig.call("run", rig.study("mixed", MIXED), "--json")
    classes = sorted(record["failure_class"] for record in answer.document["records"])
    assert classes == ["", "bad_model", "timeout"], answer.stderr
    report = Path(answer.document["report"]["html"]).read_text()
    assert all(word in report for word in ("bad_model", "timeout", "no_such_layer"))


def test_a_wrong_file_lists_all_problems_with_their_places(rig: Rig) -> None:
    wrong = (
        SMALL.replace("seeds: [1]", "sedes: [1]")
        .replace("k: 2", "k: -2")
        .replace("starter/small", "starter/huge")
    )
    answer = rig.call("check", rig.study("wrong", wrong))
    assert answer.exit_code == 2
    for part in ("wrong.yaml:6:1", "seeds", "wrong.yaml:10:", "wrong.yaml:9:", "starter/huge"):
        assert part in answer.stderr
    assert not (rig.data / "store.db").exists()


def test_an_empty_data_set_is_refused_before_anything_runs(rig: Rig) -> None:
    (rig.folder / "empty.jsonl").write_text("")
    task = "{name: mine, source: jsonl, path: empty.jsonl, kind: classification, metric: accuracy}"
    text = SMALL.replace("{name: lamp-2, source: synthetic, users: 6, items_per_user: 2}", task)
    answer = rig.call("run", rig.study("empty", text), "--json")
    assert answer.exit_code == 2
    assert "empty.jsonl" in answer.stdout + answer.stderr


def test_a_users_own_task_runs(rig: Rig) -> None:
    rows = [
        {"id": f"q{n}", "user": f"u{n % 2}", "input": "the sky is", "output": "blue" if n % 2 else "grey",
         "profile": [{"id": "p", "text": "the sea is", "output": "blue"}]}
        for n in range(4)
    ]  # fmt: skip
    (rig.folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = "{name: mine, source: jsonl, path: mine.jsonl, kind: classification, metric: accuracy}"
    text = BRISK.replace("{name: lamp-2, source: synthetic, users: 6, items_per_user: 2}", task)
    answer = rig.call("run", rig.study("mine", text), "--json")
    assert answer.exit_code == 0, answer.stderr + rig.logs()
    assert all(record["item_count"] == 4 for record in answer.document["records"])


def test_dry_run_of_the_quickstart_predicts_with_a_basis(rig: Rig) -> None:
    answer = rig.call("run", str(ROOT / "examples" / "quickstart.yaml"), "--dry-run", "--json")
    assert answer.exit_code == 0, answer.stderr
    document = answer.document["dry_run"]
    assert (document["totals"]["cells"], document["totals"]["trials"]) == (6, 12)
    for cell in document["cells"]:
        assert cell["ram_peak_bytes"]["basis"] == "formula" and cell["ram_peak_bytes"]["value"] > 1e6
        assert cell["duration_s"] == {"value": None, "basis": "unknown", "low": None, "high": None}
    assert not rig.processes("")


def test_measuring_one_trial_needs_no_grpc(tmp_path: Path) -> None:
    code = (
        "import sys; from edgerig_agent.cli import main; code = main(sys.argv[1:]);"
        "assert 'grpc' not in sys.modules and 'numpy' not in sys.modules, 'heavy import'; sys.exit(code)"
    )
    out = tmp_path / "attempt"
    command = [
        sys.executable,
        "-c",
        code,
        "measure",
        str(ROOT / "examples" / "trial.json"),
        "--out",
        str(out),
    ]
    answer = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert {"manifest.json", "result.json", "trial.json"} <= {path.name for path in out.iterdir()}
    assert list((out / "trace").glob("*.trace"))
    assert json.loads((out / "result.json").read_text())["status"] == "STATUS_OK"


def test_a_study_on_a_third_party_checkpoint(rig: Rig) -> None:
    data = os.environ.get("EDGERIG_TEST_DATA")
    if not data:
        pytest.skip("EDGERIG_TEST_DATA is not set")
    source = Path(data) / "models" / "stories260k"
    folder = rig.folder / "stories"
    pair = (str(source / "stories260K.bin"), str(source / "tok512.bin"))
    imported = rig.call("model", "import", "llama2c", *pair, "--out", str(folder))
    assert imported.exit_code == 0, imported.stderr
    answer = rig.call("run", rig.study("stories", BRISK.replace("starter/small", "./stories")), "--json")
    assert answer.exit_code == 0, answer.stderr + rig.logs()
    assert [record["status"] for record in answer.document["records"]] == ["ok"] * 3
