"""The live energy meter between two processes: what the attempt writes is what the worker reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgerig.documents import from_json
from edgerig.v1.attempt_pb2 import PHASE_POINT, PHASE_TRAIN, STATUS_OK, AttemptResult
from edgerig_agent.live_meter import open_meter
from edgerig_agent.measure.tracefile import TraceWriter
from edgerig_workload.meter import SharedMeter
from tests.agent.test_measure_real import TRIAL
from tests.fakes import sysfs_tree
from tests.fakes.reports import find

S = 10**9


def trace(folder: Path) -> TraceWriter:
    (folder / "trace").mkdir()
    field = {
        "name": "board:power_w",
        "unit": "power_w",
        "scale": 1e-3,
        "source": "board",
        "boundary": "module_in",
    }
    header = {"schema": 1, "name": "board", "interval_ns": 10_000_000}
    return TraceWriter(str(folder / "trace" / "board.trace"), header, [field])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = trace(tmp_path)
    written.append(1 * S, [2000])
    meter = open_meter(tmp_path)
    assert meter is not None
    reader = SharedMeter(meter.descriptor)
    before_j = reader.energy_j()
    for t_s in (2, 3, 4):
        written.append(t_s * S, [2000])
    meter.renew()

    assert (before_j, reader.energy_j(), reader.source) == (0.0, 4.0, "board")
    assert reader.resolution_s == pytest.approx(0.12)
    meter.close()


def test_without_a_sensor_there_is_no_meter(tmp_path: Path) -> None:
    assert open_meter(tmp_path) is None


def measured(tmp_path: Path, train: dict[str, object], *, board: bool) -> AttemptResult:
    """Train a starter model on a machine whose board takes 5 W, or which has no sensor at all."""
    root = tmp_path / "root"
    root.mkdir()
    if board:
        sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 1000)])
    profile = [{"id": f"p{n}", "text": f"a film about {n} dogs", "output": "drama"} for n in range(12)]
    item = {"id": "i", "user": "u", "input": "a film", "output": "drama", "profile": profile}
    (tmp_path / "items.jsonl").write_text(json.dumps(item) + "\n")
    trial = {**TRIAL, "history": -1, "budgets": {"train": train, "attempt": {"duration_s": 120}}}
    del trial["inference"]
    (tmp_path / "trial.json").write_text(json.dumps(trial))
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "edgerig_agent.cli", "measure", str(tmp_path / "trial.json")),
            *("--out", str(tmp_path / "out"), "--sysfs-root", str(root), "--json"),
        ],
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=180,
    )
    document = json.loads(ended.stdout)
    return from_json(json.dumps(document["result"]), AttemptResult(), what="result")


@pytest.mark.system
def test_training_stops_by_joules_and_every_point_tells_its_own(tmp_path: Path) -> None:
    pytest.importorskip("torch")

    result = measured(tmp_path, {"energy_j": 4.0, "points": [0.5]}, board=True)

    assert result.status == STATUS_OK, result.failure_message
    worker = result.worker
    assert worker.train_stopped_by == "energy_j"
    assert worker.train_energy_source.endswith("VDD_IN")
    assert worker.train_energy_j >= 4.0
    half, end = result.points
    assert half.budget_share >= 0.5
    assert end.steps > half.steps > 0
    assert end.score == pytest.approx(result.quality)
    for point in result.points:
        [energy] = point.energy
        # 5 W for as long as the steps took, whatever the evaluation between them took.
        assert energy.energy_j == pytest.approx(5.0 * point.duration_s, rel=0.2, abs=0.2)
    # The stop rule sees the energy some tenths of a second late, at both ends.
    slack_j = 2 * 5.0 * worker.train_energy_resolution_s
    assert end.energy[0].energy_j == pytest.approx(worker.train_energy_j, abs=slack_j)
    assert find(result.measurements, "energy_j", "sum", PHASE_POINT).value > 0
    assert find(result.measurements, "duration_s", "sum", PHASE_TRAIN).sample_count == 2
    scores = (tmp_path / "out" / "points.jsonl").read_text().splitlines()
    assert [json.loads(line)["point"] for line in scores] == [1]


@pytest.mark.system
def test_joules_without_a_sensor_fail_as_a_precondition_that_names_another_budget(tmp_path: Path) -> None:
    pytest.importorskip("torch")

    result = measured(tmp_path, {"energy_j": 4.0}, board=False)

    assert "use duration_s instead" in result.failure_message
