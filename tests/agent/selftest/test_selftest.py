"""The self-test as a person runs it, on a board whose power a writer process makes follow the wave."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgerig_agent.cli import main
from tests.fakes import sysfs_tree

LAG_S = 0.06
ROOT = Path(__file__).parents[3]
SHORT = ["--duration-s", "3", "--period-s", "0.4", "--processes", "1"]


@contextmanager
def writer(folder: Path, *targets: str) -> Iterator[None]:
    """A process that writes 5 W or 12 W in the unit of each target."""
    command = [sys.executable, "-m", "tests.fakes.wave_writer", str(folder), str(LAG_S), "5", "12", *targets]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        yield
        process.kill()


def arguments(tmp_path: Path, root: Path, *more: str) -> list[str]:
    keep = ["--keep", str(tmp_path / "kept"), "--home", str(tmp_path / "home")]
    return ["selftest", "--root", str(root), *keep, "--worker-python", "/nowhere/python", *SHORT, *more]


@pytest.mark.system
def test_a_board_that_follows_is_found_to_with_its_lag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    base = sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 1000), ("VDD_SOC", 5000, 100)])
    counter = sysfs_tree.rapl_zone(root, "intel-rapl:0", "package-0", 0)
    # Milliamperes at 5 V: 200 mA for each watt; the second rail takes a quarter of the first.
    targets = (str(base / "curr1_input"), "200", str(base / "curr2_input"), "50", f"counter:{counter}", "1")
    with writer(tmp_path / "kept", *targets):
        code = main(arguments(tmp_path, root, "--json"))
    document = json.loads(capsys.readouterr().out)
    assert code == 0, document["problems"]
    found = {one["source"]: one for one in document["responses"]}
    total = found["ina3221:1-0040:1:VDD_IN"]
    assert total["load"] == "cpu" and total["responds"]
    assert total["response_w"] == pytest.approx(7.0, rel=0.1)
    # A loaded machine delays writer and sampler alike; the sign and the size are what matters here.
    assert total["lag_s"] == pytest.approx(LAG_S, abs=0.05)
    assert total["idle_w"] == pytest.approx(5.0, rel=0.02)
    assert found["rapl:package-0"]["response_w"] == pytest.approx(7.0, rel=0.15)
    (share,) = document["additivity"]
    assert share["response_share"] == pytest.approx(0.25, rel=0.15)
    assert "gpu" in document["skipped"]
    waves = json.loads((tmp_path / "kept/wave.json").read_text())
    assert waves[0]["begin_mono_ns"] % waves[0]["period_ns"] == 0


# In the place of the worker's interpreter: a GPU program that is ready and does what it is told.
_GPU = """#!{python}
import sys, time
print("ready", flush=True)
begin_ns, period_ns, cycles = map(int, sys.stdin.readline().split())
time.sleep(max(0.0, (begin_ns + cycles * period_ns - time.monotonic_ns()) / 1e9))
"""


@pytest.mark.system
def test_with_a_gpu_there_is_a_wave_for_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "root"
    base = sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 1000)])
    interpreter = tmp_path / "python"
    interpreter.write_text(_GPU.format(python=sys.executable))
    interpreter.chmod(0o755)
    with writer(tmp_path / "kept", str(base / "curr1_input"), "200"):
        code = main([*arguments(tmp_path, root, "--json"), "--worker-python", str(interpreter)])
    document = json.loads(capsys.readouterr().out)
    assert code == 0, document["problems"]
    assert [(one["load"], one["responds"]) for one in document["responses"]] == [("cpu", True), ("gpu", True)]
    assert document["skipped"] == {}


@pytest.mark.system
def test_a_sensor_that_does_not_follow_is_found_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 1000)])
    assert main(arguments(tmp_path, root)) == 1
    shown = capsys.readouterr()
    assert "does not follow the cpu load" in " ".join(shown.out.split())
    assert max(map(len, shown.out.splitlines())) <= 80
    assert "idle" in shown.err


def test_a_device_without_sensors_says_so_with_its_own_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "root/sys").mkdir(parents=True)
    assert main(arguments(tmp_path, tmp_path / "root")) == 4
    said = capsys.readouterr().err
    assert "no power sensor can be read" in said and "edgerig-agent doctor" in said


def test_wrong_arguments_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments(tmp_path, tmp_path), "--period-s", "0"]) == 2
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/x").write_text("")
    assert main(arguments(tmp_path, tmp_path)) == 2
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.system
def test_ctrl_c_leaves_no_load_behind(tmp_path: Path) -> None:
    root = tmp_path / "root"
    sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 1000)])
    command = [sys.executable, "-m", "edgerig_agent.cli", *arguments(tmp_path, root), "--duration-s", "60"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        # The first note is that of the idle time; by then the sampler runs.
        assert process.stderr.readline().startswith("idle")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert children
        os.killpg(process.pid, signal.SIGINT)
        ended = process.wait(60)
        assert ended == 130, process.stderr.read()
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
