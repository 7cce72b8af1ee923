"""One board, no server: a starter model measured by the real worker, from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgerig.documents import from_json
from edgerig.v1.attempt_pb2 import (
    PHASE_DECODE,
    PHASE_EVALUATE,
    PHASE_INFERENCE,
    PHASE_LOAD,
    PHASE_TRAIN,
    STATUS_OK,
    AttemptResult,
)
from tests.fakes import sysfs_tree
from tests.fakes.reports import find

TRIAL = {
    "protocol": "PROTOCOL_QUICK",
    "seed": 1,
    "model": {"name": "starter/small"},
    "task": {
        "name": "mine",
        "kind": "TASK_KIND_GENERATION",
        "metric": "rouge1_f",
        "prompt": "plain",
        "data": {"path": "items.jsonl"},
        "answer_tokens": 4,
    },
    "method": {"kind": "lora", "parameters": {"r": 4, "alpha": 8}},
    "compression": {"kind": "none"},
    "history": 2,
    "budgets": {"train": {"steps": 6}, "attempt": {"duration_s": 120}},
    "inference": {"prompt_tokens": 16, "new_tokens": 8, "batch": 1, "requests": 20},
    "dtype": "auto",
    "threads": 1,
}


@pytest.mark.system
def test_a_starter_model_is_trained_and_measured_with_energy_per_phase(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    root = tmp_path / "root"
    sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 1000)])
    profile = [{"id": "p1", "text": "a film about a dog", "output": "drama"}]
    items = [
        {"id": str(i), "user": "u", "input": "a film", "output": "drama", "profile": profile}
        for i in range(2)
    ]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (tmp_path / "trial.json").write_text(json.dumps(TRIAL))
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "edgerig_agent.cli", "measure", str(tmp_path / "trial.json")),
            *("--out", str(tmp_path / "out"), "--sysfs-root", str(root), "--json"),
        ],
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=180,
    )
    assert ended.returncode == 0, ended.stderr.decode() + (tmp_path / "out/worker.log").read_text()
    document = json.loads(ended.stdout)
    result = from_json(json.dumps(document["result"]), AttemptResult(), what="result")
    assert result.status == STATUS_OK
    assert result.item_count == 2
    # 5 V and 1 A for as long as each phase took.
    for phase in (PHASE_LOAD, PHASE_TRAIN, PHASE_INFERENCE, PHASE_EVALUATE):
        energy = find(result.measurements, "energy_j", "sum", phase)
        duration = find(result.measurements, "duration_s", "sum", phase)
        assert energy.value == pytest.approx(5.0 * duration.value * energy.coverage, rel=1e-3)
        assert find(result.measurements, "rss_peak_bytes", "peak", phase).value > 2**26
    assert find(result.measurements, "j_per_output_token", "ratio", PHASE_DECODE).value > 0
    assert find(result.measurements, "decode_tokens_per_s", "ratio").value > 0
    assert find(result.measurements, "train_tokens_per_s", "ratio").value > 0
