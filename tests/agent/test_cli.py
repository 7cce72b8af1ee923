"""The command line, as a person runs it: in processes of its own."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgerig_agent.cli import main
from tests.fakes.worker_program import COMPLETE, make

PATIENCE_S = 60.0


def trial_file(tmp_path: Path) -> Path:
    model = tmp_path / "m"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    path = tmp_path / "trial.json"
    path.write_text(json.dumps({"protocol": "PROTOCOL_QUICK", "model": {"name": "m"}}))
    return path


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "edgerig_agent.cli", *map(str, arguments)]


def test_measure_prints_a_table_and_leaves_a_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = make(tmp_path / "worker", COMPLETE)
    code = main(
        ["measure", str(trial_file(tmp_path)), "--out", str(tmp_path / "out"), "--worker-python", worker]
    )
    shown = capsys.readouterr().out
    assert code == 0
    assert "ttft_s" in shown and "status     ok" in shown
    assert (tmp_path / "out/manifest.json").exists()


def test_measure_never_imports_grpc_nor_torch(tmp_path: Path) -> None:
    worker = make(tmp_path / "worker", COMPLETE)
    script = (
        "import json, sys\n"
        "from edgerig_agent.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "heavy = ('grpc', 'numpy', 'torch', 'cryptography')\n"
        "print(json.dumps([code, [name for name in heavy if name in sys.modules]]))\n"
    )
    arguments = [
        "measure",
        trial_file(tmp_path),
        "--out",
        tmp_path / "out",
        "--worker-python",
        worker,
        "--json",
    ]
    ended = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, check=True, text=True
    )
    document, loaded = ended.stdout.splitlines()
    assert json.loads(loaded) == [0, []]
    assert json.loads(document)["result"]["status"] == "STATUS_OK"


def test_a_folder_in_use_is_refused_with_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").write_text("")
    assert main(["measure", str(trial_file(tmp_path)), "--out", str(tmp_path / "out")]) == 2
    assert "Next:" in capsys.readouterr().err


def test_an_accident_of_the_worker_is_exit_1_and_a_timeout_is_a_result(tmp_path: Path) -> None:
    trial = trial_file(tmp_path)
    broken = make(tmp_path / "broken", "raise SystemExit(3)\n")
    slow = make(tmp_path / "slow", "hang()\n")
    assert (
        main(["measure", str(trial), "--out", str(tmp_path / "a"), "--worker-python", broken, "--json"]) == 1
    )
    trial.write_text(
        json.dumps({**json.loads(trial.read_text()), "budgets": {"attempt": {"duration_s": 0.3}}})
    )
    assert main(["measure", str(trial), "--out", str(tmp_path / "b"), "--worker-python", slow, "--json"]) == 0


@pytest.mark.system
def test_ctrl_c_ends_cleanly_with_a_result_and_exit_130(tmp_path: Path) -> None:
    worker = make(tmp_path / "worker", "open(out + '/running', 'w').close()\nhang()\n")
    process = subprocess.Popen(
        command(
            "measure", trial_file(tmp_path), "--out", tmp_path / "out", "--worker-python", worker, "--json"
        ),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (tmp_path / "out/worker/running").exists():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.01)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert json.loads(output)["result"]["failure_class"] == "FAILURE_CLASS_KILLED"
    assert (tmp_path / "out/manifest.json").exists()


def test_trace_prints_samples_as_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worker = make(tmp_path / "worker", COMPLETE)
    main(
        [
            "measure",
            str(trial_file(tmp_path)),
            "--out",
            str(tmp_path / "out"),
            "--worker-python",
            worker,
            "--json",
        ]
    )
    capsys.readouterr()
    assert main(["trace", str(tmp_path / "out"), "--csv", "--name", "memory"]) == 0
    header, first, *_ = capsys.readouterr().out.splitlines()
    assert header.startswith("t_mono_ns,proc:meminfo:MemAvailable")
    assert int(first.split(",")[0]) > 0
    assert main(["trace", str(tmp_path / "out"), "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "t_mono_ns,field,value"
    assert main(["trace", str(tmp_path / "out")]) == 0
    assert "memory:" in capsys.readouterr().out


def test_a_trace_that_is_not_there_is_not_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", str(tmp_path)]) == 5
    assert "no such trace" in capsys.readouterr().err


def test_facts_are_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["facts"]) == 0
    assert json.loads(capsys.readouterr().out)["architecture"]


def test_a_daemon_of_a_home_that_is_not_enrolled_says_what_to_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--home", str(tmp_path)]) == 2
    assert "edgerig-agent enroll" in capsys.readouterr().err


def test_an_enrolment_without_a_token_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        code = main(
            [
                *(
                    "enroll",
                    "--home",
                    str(tmp_path),
                    "--controller",
                    "127.0.0.1:1",
                    "--agents",
                    "127.0.0.1:2",
                ),
                *("--device-id", "d", "--ca-sha256", "0" * 64),
            ]
        )
    assert code == 2
    assert "token is empty" in capsys.readouterr().err
