"""The attempt process, with real processes in the worker's place."""

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgerig.documents import from_json
from edgerig.v1.attempt_pb2 import (
    PHASE_INFERENCE,
    PHASE_LOAD,
    PHASE_TRAIN,
    AttemptResult,
    FailureClass,
    Manifest,
    Status,
)
from edgerig.words import word
from edgerig_agent.attempt import bury, main, run_attempt
from tests.fakes import sysfs_tree
from tests.fakes.reports import find
from tests.fakes.worker_program import COMPLETE, attempt_folder, make

PATIENCE_S = 60.0


def run(tmp_path: Path, body: str, *, trial: dict[str, Any] | None = None) -> AttemptResult:
    """Runs one attempt in this process and returns what stands in its result.json."""
    folder = attempt_folder(tmp_path, trial=trial)
    run_attempt(folder, worker_python=make(tmp_path / "worker", body))
    return result_of(folder)


def result_of(folder: Path) -> AttemptResult:
    return from_json((folder / "result.json").read_bytes(), AttemptResult(), what="result.json")


def ending(result: AttemptResult) -> tuple[str, str]:
    return word(Status, result.status), word(FailureClass, result.failure_class)


def start(folder: Path, worker: str) -> subprocess.Popen[bytes]:
    """Starts the attempt process as the daemon does, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "edgerig_agent.attempt", str(folder), "--worker-python", worker],
        start_new_session=True,
    )


def wait_for(path: Path) -> Path:
    """Returns once a file exists; the time limit is that of the whole test."""
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never appeared"
        select.select([], [], [], 0.01)
    return path


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (
        Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]
    ):
        assert time.monotonic() < deadline, f"process {pid} still lives"
        select.select([], [], [], 0.01)


def test_a_complete_worker_gives_an_ok_result_with_its_figures(tmp_path: Path) -> None:
    result = run(tmp_path, COMPLETE)
    assert ending(result) == ("ok", "")
    assert (result.quality, result.item_count) == (0.5, 2)
    assert result.worker.torch == "9.9"
    assert find(result.measurements, "ttft_s", "p50").HasField("value")
    assert result.end_mono_ns > result.begin_mono_ns > 0
    assert len(result.environment_digest) == 64
    assert list(result.flags)[:1] == ["indicative"]


def test_without_a_sensor_each_main_phase_has_one_energy_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "root/sys").mkdir(parents=True)
    folder = attempt_folder(tmp_path, sysfs_root=str(tmp_path / "root"))
    run_attempt(folder, worker_python=make(tmp_path / "worker", COMPLETE))
    energies = [one for one in result_of(folder).measurements if one.name == "energy_j"]
    assert len(energies) == 2  # load and inference
    assert all(not one.HasField("value") and "INA3221" in one.unavailable_reason for one in energies)


def test_with_a_sensor_a_phase_has_its_energy(tmp_path: Path) -> None:
    root = tmp_path / "root"
    sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 2000)])
    folder = attempt_folder(tmp_path, sysfs_root=str(root))
    run_attempt(folder, worker_python=make(tmp_path / "worker", COMPLETE))
    power = find(result_of(folder).measurements, "power_mean_w", "mean", PHASE_LOAD)
    assert power.value == pytest.approx(10.0)
    # Even the last window of a worker that ends at once lies between two samples.
    assert find(result_of(folder).measurements, "energy_j", "sum", PHASE_INFERENCE).coverage == 1.0


def test_the_manifest_names_every_file_with_its_hash(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path)
    run_attempt(folder, worker_python=make(tmp_path / "worker", COMPLETE))
    manifest = from_json((folder / "manifest.json").read_bytes(), Manifest(), what="manifest.json")
    names = [file.path for file in manifest.files]
    assert names[:5] == ["trial.json", "events.jsonl", "scores.jsonl", "worker.log", "result.json"]
    assert names[5:7] == ["sampler.json", "cpu.json"]
    assert "trace/memory.trace" in names
    for file in manifest.files:
        content = (folder / file.path).read_bytes()
        assert (file.sha256, file.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))


def test_scores_are_kept_apart_from_events(tmp_path: Path) -> None:
    run(tmp_path, COMPLETE)
    folder = tmp_path / "attempt-1"
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    scores = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert not any("score" in event for event in events)
    assert [score["item_id"] for score in scores] == ["a", "b"]


def test_the_worker_sees_no_credential_and_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    body = "print(json.dumps([dict(os.environ), os.listdir('.'), os.listdir(os.environ['PYTHONPATH'])]))\n"
    run(tmp_path, body + COMPLETE, trial={"threads": 3})
    environment, here, importable = json.loads((tmp_path / "attempt-1/worker.log").read_text())
    assert "HF_TOKEN" not in environment
    assert environment["CUDA_VISIBLE_DEVICES"] == "0"
    assert (environment["OMP_NUM_THREADS"], environment["HF_HUB_OFFLINE"]) == ("3", "1")
    assert (here, importable) == ([], ["edgerig_workload"])


def test_the_worker_is_the_first_that_the_kernel_takes(tmp_path: Path) -> None:
    run(
        tmp_path,
        "print(open('/proc/self/oom_score_adj').read().strip(), os.getpgrp() == os.getpid())\n" + COMPLETE,
    )
    assert (tmp_path / "attempt-1/worker.log").read_text().split() == ["500", "True"]


def test_a_worker_that_reports_a_failure_is_believed(tmp_path: Path) -> None:
    body = (
        "emit('phase_begin', phase='PHASE_TRAIN', t_mono_ns=now())\n"
        "emit('failure', failure_class='FAILURE_CLASS_DIVERGED', message='loss is nan',"
        " phase='PHASE_TRAIN')\n"
        "raise SystemExit(1)\n"
    )
    result = run(tmp_path, body)
    assert ending(result) == ("failed", "diverged")
    assert (result.failure_message, result.failure_phase) == ("loss is nan", PHASE_TRAIN)


def test_a_worker_that_raises_is_a_worker_error_with_its_last_words(tmp_path: Path) -> None:
    body = "emit('phase_begin', phase='PHASE_LOAD', t_mono_ns=now())\nraise ValueError('no such layer')\n"
    result = run(tmp_path, body)
    assert ending(result) == ("failed", "worker_error")
    assert "no such layer" in result.failure_message
    assert result.failure_phase == PHASE_LOAD


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    result = run(tmp_path, "import no_such_package\n")
    assert ending(result) == ("failed", "not_installed")
    assert "no_such_package" in result.failure_message


def test_a_worker_that_ends_without_done_is_a_worker_error(tmp_path: Path) -> None:
    result = run(tmp_path, "raise SystemExit(0)\n")
    assert ending(result) == ("failed", "worker_error")
    assert "without saying that it was done" in result.failure_message


def test_a_worker_past_its_budget_is_a_timeout(tmp_path: Path) -> None:
    result = run(tmp_path, "hang()\n", trial={"budgets": {"attempt": {"duration_s": 0.3}}})
    assert ending(result) == ("failed", "timeout")
    assert "0.3 s" in result.failure_message


def test_a_worker_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgerig_agent.supervise.TERM_PATIENCE_S", 0.2)
    body = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nhang()\n"
    result = run(tmp_path, body, trial={"budgets": {"attempt": {"duration_s": 0.5}}})
    assert ending(result) == ("failed", "timeout")


def test_a_worker_killed_from_outside_is_killed_and_not_out_of_memory(tmp_path: Path) -> None:
    result = run(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)\n")
    assert ending(result) == ("failed", "killed")
    assert result.last_rss_bytes > 0 and result.last_available_bytes > 0


def test_a_worker_stopped_by_a_limit_is_a_worker_error_that_names_the_signal(tmp_path: Path) -> None:
    body = "resource.setrlimit(resource.RLIMIT_CPU, (1, 5))\nwhile True:\n    pass\n"
    result = run(tmp_path, body)
    assert ending(result) == ("failed", "worker_error")
    assert "SIGXCPU" in result.failure_message


def test_a_failed_allocation_is_out_of_memory(tmp_path: Path) -> None:
    body = "resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))\nbytearray(2**30)\n"
    result = run(tmp_path, body)
    assert ending(result) == ("failed", "oom_host")


def test_garbage_on_the_pipe_is_a_worker_error_that_names_the_line(tmp_path: Path) -> None:
    result = run(tmp_path, "emit('facts', torch='1')\nsend(b'what is this\\n')\n" + COMPLETE)
    assert ending(result) == ("failed", "worker_error")
    assert "line 2" in result.failure_message


def test_an_unknown_field_is_not_passed_over(tmp_path: Path) -> None:
    result = run(tmp_path, "emit('facts', torches='1')\n" + COMPLETE)
    assert ending(result) == ("failed", "worker_error")
    assert "torches" in result.failure_message


def test_a_line_without_end_is_cut_off_and_the_worker_ended(tmp_path: Path) -> None:
    result = run(tmp_path, "while True:\n    send(b'x' * 65536)\n")
    assert ending(result) == ("failed", "worker_error")
    assert "1048576 bytes" in result.failure_message


def test_a_flood_of_events_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgerig_agent.supervise.MAX_EVENT_BYTES", 100_000)
    result = run(tmp_path, "while True:\n    emit('phase_begin', phase='PHASE_LOAD', t_mono_ns=1)\n")
    assert ending(result) == ("failed", "worker_error")
    assert "100000 bytes" in result.failure_message


def test_of_a_talkative_worker_the_last_words_are_kept(tmp_path: Path) -> None:
    body = "for number in range(40000):\n    print(number, 'x' * 100)\nsys.stdout.flush()\n"
    assert ending(run(tmp_path, body + COMPLETE)) == ("ok", "")
    log = (tmp_path / "attempt-1/worker.log").read_bytes()
    assert len(log) == 1024 * 1024
    assert log.splitlines()[-1].startswith(b"39999 ")


def test_what_the_worker_starts_ends_with_it(tmp_path: Path) -> None:
    body = (
        "import subprocess\n"
        "command = [sys.executable, '-c', 'import signal; signal.pause()']\n"
        "child = subprocess.Popen(command, pass_fds=(event_fd,))\n"
        "print(child.pid, flush=True)\n"
    )
    assert ending(run(tmp_path, body + COMPLETE)) == ("ok", "")
    wait_gone(int((tmp_path / "attempt-1/worker.log").read_text()))


def test_an_interpreter_that_is_not_there_is_not_installed(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path)
    run_attempt(folder, worker_python=str(tmp_path / "nowhere/python"))
    result = result_of(folder)
    assert ending(result) == ("failed", "not_installed")
    assert (folder / "manifest.json").exists()


def test_an_interpreter_may_be_named_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = attempt_folder(tmp_path)
    make(tmp_path / "worker", COMPLETE)
    monkeypatch.chdir(tmp_path)
    run_attempt(folder, worker_python="./worker")
    assert ending(result_of(folder)) == ("ok", "")


def test_a_model_that_is_not_there_is_a_bad_model(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path)
    (tmp_path / "model").rmdir()
    run_attempt(folder, worker_python=make(tmp_path / "worker", COMPLETE))
    assert ending(result_of(folder)) == ("failed", "bad_model")


def test_data_that_is_not_there_is_bad_data(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path, trial={"task": {"data": {"path": "d.jsonl", "sha256": "a" * 64}}})
    run_attempt(folder, worker_python=make(tmp_path / "worker", COMPLETE))
    assert ending(result_of(folder)) == ("failed", "bad_data")


def test_models_come_out_of_the_cache_by_hash(tmp_path: Path) -> None:
    sha256 = hashlib.sha256(b"{}").hexdigest()
    blob = tmp_path / "cache/blobs" / sha256[:2] / sha256
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"{}")
    folder = attempt_folder(tmp_path, trial={"model": {"files": [{"path": "config.json", "sha256": sha256}]}})
    (folder / "attempt.json").write_text('{"attempt_id": "attempt-1"}')
    body = "print(open(arguments['--model'] + '/config.json').read())\n"
    run_attempt(folder, worker_python=make(tmp_path / "worker", body + COMPLETE), cache=tmp_path / "cache")
    assert ending(result_of(folder)) == ("ok", "")
    assert (folder / "worker.log").read_text().strip() == "{}"


def test_a_model_file_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    sha256 = "a" * 64
    blob = tmp_path / "cache/blobs/aa" / sha256
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"{}")
    folder = attempt_folder(tmp_path, trial={"model": {"files": [{"path": "../../evil", "sha256": sha256}]}})
    (folder / "attempt.json").write_text("{}")
    run_attempt(folder, worker_python=make(tmp_path / "worker", COMPLETE), cache=tmp_path / "cache")
    assert ending(result_of(folder)) == ("failed", "bad_model")
    assert not (tmp_path / "evil").is_symlink()


def test_a_trial_that_cannot_be_read_has_a_result_too(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path)
    (folder / "trial.json").write_text('{"sead": 1}')
    assert main([str(folder)]) == 0
    result = result_of(folder)
    assert ending(result) == ("failed", "precondition")
    assert "sead" in result.failure_message


def test_a_finished_attempt_is_left_alone(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path)
    worker = make(tmp_path / "worker", COMPLETE)
    run_attempt(folder, worker_python=worker)
    before = (folder / "manifest.json").read_bytes(), (folder / "began").stat().st_mtime_ns
    assert main([str(folder), "--worker-python", worker]) == 0
    assert before == ((folder / "manifest.json").read_bytes(), (folder / "began").stat().st_mtime_ns)


def test_an_attempt_that_began_and_died_never_runs_again(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path)
    (folder / "began").write_text("{}")
    worker = make(tmp_path / "worker", "open(out + '/ran', 'w').close()\n" + COMPLETE)
    assert main([str(folder), "--worker-python", worker]) == 2
    assert not (folder / "worker/ran").exists()


def test_began_names_the_process_before_the_worker_exists(tmp_path: Path) -> None:
    run(tmp_path, "print(open(out + '/../began').read())\n" + COMPLETE)
    began = json.loads((tmp_path / "attempt-1/worker.log").read_text())
    assert began["pid"] == os.getpid()
    assert began["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.mark.system
def test_sigterm_cancels_and_leaves_a_result(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path)
    worker = make(tmp_path / "worker", "open(out + '/running', 'w').close()\nhang()\n")
    process = start(folder, worker)
    wait_for(folder / "worker/running")
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    result = result_of(folder)
    assert ending(result) == ("failed", "killed")
    assert (folder / "manifest.json").exists()


@pytest.mark.system
def test_a_killed_attempt_takes_its_worker_and_sampler_with_it_and_can_be_buried(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path)
    body = (
        "with open(out + '/pid.new', 'w') as file:\n"
        "    file.write(str(os.getpid()))\n"
        "os.rename(out + '/pid.new', out + '/pid')\n"
        "hang()\n"
    )
    process = start(folder, make(tmp_path / "worker", body))
    worker_pid = int(wait_for(folder / "worker/pid").read_text())
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait(PATIENCE_S)
    for pid in {worker_pid, *map(int, children)}:
        wait_gone(pid)
    assert not (folder / "manifest.json").exists()
    assert main(["--bury", str(folder)]) == 0
    result = result_of(folder)
    assert ending(result) == ("failed", "killed")
    assert (result.attempt_id, result.trial_digest) == ("attempt-1", "d" * 64)


def test_an_attempt_of_another_boot_is_buried_as_rebooted(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path)
    (folder / "began").write_text('{"pid": 1, "start_ticks": 1, "boot_id": "another", "t_mono_ns": 1}')
    bury(folder, "the process died")
    result = result_of(folder)
    assert ending(result) == ("failed", "rebooted")
    assert result.boot_id == "another"


def test_burying_twice_changes_nothing(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path)
    (folder / "began").write_text("{}")
    bury(folder, "the process died")
    before = [(path.name, path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    bury(folder, "another reason")
    assert before == [(path.name, path.read_bytes()) for path in sorted(folder.glob("*.json"))]


def test_a_result_that_was_written_before_the_death_stands(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path)
    run_attempt(folder, worker_python=make(tmp_path / "worker", COMPLETE))
    (folder / "manifest.json").unlink()
    bury(folder, "the process died")
    assert ending(result_of(folder)) == ("ok", "")
    assert (folder / "manifest.json").exists()


def test_the_processor_time_of_our_own_processes_is_counted(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        settings = json.loads((folder / "attempt.json").read_text())
        (folder / "attempt.json").write_text(json.dumps({**settings, "own_pids": [busy.pid]}))
        body = "begin = time.process_time()\nwhile time.process_time() - begin < 0.3:\n    pass\n"
        run_attempt(folder, worker_python=make(tmp_path / "worker", body + COMPLETE))
    finally:
        busy.send_signal(signal.SIGKILL)
        busy.wait(PATIENCE_S)
    result = result_of(folder)
    assert result.own_cpu_s > 0.01
    assert "self_disturbed" in result.flags


def test_a_pair_of_clocks_stands_at_either_end_of_an_attempt(tmp_path: Path) -> None:
    before_ns = time.monotonic_ns()
    result = run(tmp_path, COMPLETE)
    stamps = [result.anchor_mono_ns, result.begin_mono_ns, result.end_mono_ns, result.end_anchor_mono_ns]
    assert stamps == sorted(stamps) and before_ns <= stamps[0] and stamps[-1] <= time.monotonic_ns()
    # Nobody sets this machine's clock meanwhile, and 500 ppm of some seconds is little.
    moved_ns = (result.end_anchor_unix_ns - result.anchor_unix_ns) - (stamps[-1] - stamps[0])
    assert abs(moved_ns) < 50_000_000
