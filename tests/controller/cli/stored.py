"""A data folder filled through the real repository: a device runs the trials of a small study."""

from __future__ import annotations

from pathlib import Path

from edgerig import documents
from edgerig.v1 import attempt_pb2 as pb
from edgerig.v1.device_pb2 import DeviceFacts
from edgerig_controller import home as homes
from edgerig_controller.cli.reference import prepare_file
from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.results import Submission
from edgerig_controller.store.rows import StudyRow

NOW_S = 1_780_000_000.0
NO_SENSOR = "no INA3221, RAPL or NVML energy sensor on this device"
STUDY = """\
edgerig: 1
name: tiny
protocol: quick
devices: {labels: [local]}
seeds: [1, 2]
tasks: [{name: lamp-2, source: synthetic, users: 6, items_per_user: 2}]
factors:
  model: [starter/small]
  method: [{kind: none}, {kind: rag, k: 2}]
  compression: [{kind: none}]
  history: [4]
budgets: {train: {steps: 2}, attempt: {duration_s: 60}}
inference: {prompt_tokens: 16, new_tokens: 4, batch: 1, requests: 6}
"""


def write_study(folder: Path, text: str = STUDY) -> Path:
    """Writes a study file."""
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path


def register(home: Home, path: Path) -> StudyRow:
    """Stores a study and a device that may run it."""
    homes.prepare(home)
    store = Repository.open(home)
    try:
        store.add_device("local", ["local"], token_sha256="0" * 64, expires_unix_s=NOW_S, now_unix_s=NOW_S)
        store.store_facts("local", DeviceFacts(hostname="box", environment_digest="e" * 64), now_unix_s=NOW_S)
        row, _, _ = store.create_study(prepare_file(path), reuse=True, now_unix_s=NOW_S)
        return row
    finally:
        store.close()


def answer_trials(home: Home, *, most: int = 100, fail_method: str = "", failure: str = "oom_host") -> int:
    """Runs trials as an agent would: sync, accept, start, commit. Returns how many."""
    store = Repository.open(home)
    count = 0
    try:
        while count < most:
            now_s = NOW_S + 10 * count
            offer = store.sync("local", [], wants_work=True, now_unix_s=now_s).offer
            if offer is None:
                break
            lease, trial = offer.lease, offer.trial
            store.accept_lease("local", lease.attempt_id, lease.epoch, now_unix_s=now_s)
            store.start_attempt(
                "local", lease.attempt_id, lease.epoch, boot_id="b", quiet_s=60.0, now_unix_s=now_s
            )
            failed = bool(fail_method) and trial.method.kind == fail_method
            result = _result(lease.attempt_id, trial.digest, trial.seed, failure if failed else "")
            manifest = pb.Manifest(attempt_id=lease.attempt_id)
            store.commit_result(
                Submission(
                    device_id="local",
                    attempt_id=lease.attempt_id,
                    epoch=lease.epoch,
                    kind="attempt",
                    sha256=documents.digest(documents.to_json(result)),
                    manifest=manifest,
                    result=result,
                    scores=[] if failed else _scores(trial.method.kind),
                ),
                now_unix_s=now_s + 5,
            )
            count += 1
        return count
    finally:
        store.close()


def finished(home: Home, folder: Path, *, fail_method: str = "", failure: str = "oom_host") -> StudyRow:
    """Stores a study and the results of all its trials."""
    row = register(home, write_study(folder))
    answer_trials(home, fail_method=fail_method, failure=failure)
    return row


def _result(attempt_id: str, digest: str, seed: int, failure: str) -> pb.AttemptResult:
    result = pb.AttemptResult(
        attempt_id=attempt_id,
        trial_digest=digest,
        boot_id="b",
        begin_mono_ns=1_000_000_000,
        end_mono_ns=6_000_000_000,
        environment_digest="e" * 64,
        worker=pb.WorkerFacts(python="3.11.9", torch="2.9.0", device="cpu", dtype="float32", threads=1),
    )
    if failure:
        result.status = pb.STATUS_FAILED
        result.MergeFrom(pb.AttemptResult(failure_class=f"FAILURE_CLASS_{failure.upper()}"))
        result.failure_message = "the kernel killed the worker"
        result.failure_phase = pb.PHASE_TRAIN
        return result
    result.status = pb.STATUS_OK
    result.quality = 0.5
    result.item_count = 12
    result.measurements.add(
        name="ttft_s", phase=pb.PHASE_INFERENCE, statistic="p50", value=0.004 + 0.0001 * seed,
        source="worker", sample_count=6, flags=["indicative"],
    )  # fmt: skip
    result.measurements.add(
        name="rss_peak_bytes", phase=pb.PHASE_LOAD, statistic="peak", value=3e8, source="proc"
    )
    result.measurements.add(
        name="energy_j", phase=pb.PHASE_INFERENCE, statistic="sum", unavailable_reason=NO_SENSOR
    )
    return result


def _scores(method: str) -> list[pb.ItemScore]:
    better = {"none": 3, "rag": 2}[method]
    return [
        pb.ItemScore(
            item_id=f"u{user}-i{item}",
            user_id=f"u{user}",
            score=float((user + item) % better == 0),
            output="comedy",
            expected="drama",
        )
        for user in range(6)
        for item in range(2)
    ]
