"""A server of a study, from the file to the report; and a device that does not allow its program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.fakes import completion_server
from tests.system.rig import ROOT, Rig, until

pytestmark = pytest.mark.system

STUDY = f"""
edgerig: 1
name: served
protocol: quick
devices: {{labels: [local]}}
seeds: [1]
tasks: [{{name: lamp-2, source: synthetic, users: 2, items_per_user: 1}}]
factors:
  model: [starter/small]
  method: [none, {{kind: lora, r: 2}}]
  history: [4]
  engine: [scripted, stranger]
servers:
  - name: scripted
    command: [{Path(sys.executable).name}, {completion_server.__file__}, --port, "{{port}}"]
  - {{name: stranger, command: [/bin/sh, -c, "sleep 600"]}}
budgets: {{train: {{steps: 1}}, attempt: {{duration_s: 100}}}}
inference: {{prompt_tokens: 8, new_tokens: 4, requests: 5}}
"""


def test_a_server_is_measured_and_a_program_that_is_not_allowed_is_not_started(tmp_path: Path) -> None:
    rig = Rig(data=tmp_path / "home", folder=tmp_path)
    (rig.data / "agent").mkdir(parents=True)
    (rig.data / "agent" / "agent.json").write_text(json.dumps({"server_programs": [sys.executable]}))
    try:
        answer = rig.call("run", rig.study("served", STUDY), "--json")
        left = rig.processes("completion_server")
        exported = rig.call("export", "served", "--to", "parquet", "--out", str(tmp_path / "rows"))
    finally:
        rig.kill_everything()

    document = answer.document
    # What learns is left out: the server would not have what was learnt.
    assert document["trial_count"] == 2, answer.stderr + rig.logs()
    (record,) = [record for record in document["records"] if "engine=scripted" in record["cell"]]
    assert record["status"] == "ok"
    failure = document["failures"][0]
    assert failure["failure_class"] == "precondition"
    assert "'/bin/sh'" in failure["message"] and "server_programs" in failure["message"]
    assert left == []
    assert exported.exit_code == 0
    rows = pyarrow.parquet.read_table(tmp_path / "rows" / "measurements.parquet").to_pylist()
    peaks = {row["phase"]: row for row in rows if row["name"] == "rss_peak_bytes"}
    assert peaks["inference"]["source"] == "server_processes"
    # A bare interpreter, and not the worker with torch in it.
    assert peaks["inference"]["value"] < 60e6 < peaks["import"]["value"]
    assert any(row["name"] == "ttft_s" and row["value"] for row in rows)
    assert "scripted" in Path(document["report"]["markdown"]).read_text()


def test_a_cancelled_attempt_leaves_nothing_of_its_server(tmp_path: Path) -> None:
    """Not even a helper in a session of its own that ignores SIGTERM."""
    pids = tmp_path / "pids.json"
    trial = json.loads((ROOT / "examples" / "trial.json").read_text())
    command = ["python", completion_server.__file__, "--port", "{port}", "--mode", "detached"]
    trial["engine"] = {"kind": "server", "name": "scripted", "command": [*command, "--pid-file", str(pids)]}
    trial |= {"method": {"kind": "none"}, "inference": {**trial["inference"], "requests": 100_000}}
    (tmp_path / "trial.json").write_text(json.dumps(trial))
    (tmp_path / "trial-data.jsonl").write_bytes((ROOT / "examples" / "trial-data.jsonl").read_bytes())
    (tmp_path / "agent.json").write_text(
        json.dumps({"server_programs": [str(Path(sys.executable).with_name("python"))]})
    )
    program = "import sys; from edgerig.console import agent; sys.exit(agent())"
    arguments = [
        "measure",
        str(tmp_path / "trial.json"),
        "--out",
        str(tmp_path / "out"),
        "--home",
        str(tmp_path),
    ]
    attempt = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL)
    try:
        until(lambda: pids.exists() and bool(pids.read_text()), 120, "the server was not started")
    finally:
        attempt.send_signal(signal.SIGTERM)
        attempt.wait(120)

    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["failure_class"] == "FAILURE_CLASS_KILLED"
    started = json.loads(pids.read_text())
    assert len(started) == 2
    assert not [pid for pid in started if os.path.exists(f"/proc/{pid}")]  # noqa: PTH110
