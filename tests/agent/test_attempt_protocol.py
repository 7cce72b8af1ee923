"""An attempt keeps its protocol: real processes on a tree of files that stands for the device."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgerig.documents import from_json
from edgerig.v1.attempt_pb2 import AttemptResult, FailureClass, Status
from edgerig.words import word
from edgerig_agent.attempt import main, run_attempt
from edgerig_agent.daemon import _put_settings_back
from edgerig_agent.protocol.record import RECORD
from tests.fakes import jetson_settings, sysfs_tree
from tests.fakes.sysfs_tree import write
from tests.fakes.worker_program import COMPLETE, attempt_folder, make

PATIENCE_S = 60.0
ZONE = "thermal:0:cpu-thermal"
TINY = {"idle_s": 0.01, "wait_s": 0.2, "cooldown_s": 0.2, "settle_s": 0.0}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An idle and cool Jetson."""
    root = jetson_settings.make_tree(tmp_path / "root")
    sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 1000)])
    sysfs_tree.thermal_zone(root, 0, "cpu-thermal", 40_000)
    sysfs_tree.memory(root, available_kib=4_000_000)
    with (root / "proc/meminfo").open("a") as file:
        file.write("SwapTotal: 0 kB\n")
    write(root / "proc/loadavg", "0.01 0.1 0.1 1/100 4242")
    programs = jetson_settings.make_programs(tmp_path / "bin", root)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return root


def folder_of(tmp_path: Path, root: Path, **trial: Any) -> Path:
    overrides = {**TINY, **trial.pop("protocol_overrides", {})}
    content = {"protocol": "PROTOCOL_STANDARD", "protocol_overrides": overrides, **trial}
    folder = attempt_folder(tmp_path, trial=content, sysfs_root=str(root))
    settings = json.loads((folder / "attempt.json").read_text())
    (folder / "attempt.json").write_text(json.dumps({**settings, "home": str(tmp_path / "home")}))
    return folder


def result_of(folder: Path) -> AttemptResult:
    return from_json((folder / "result.json").read_bytes(), AttemptResult(), what="result.json")


def run(tmp_path: Path, root: Path, body: str = COMPLETE, **trial: Any) -> AttemptResult:
    folder = folder_of(tmp_path, root, **trial)
    run_attempt(folder, worker_python=make(tmp_path / "worker", body))
    return result_of(folder)


def ending(result: AttemptResult) -> tuple[str, str]:
    return word(Status, result.status), word(FailureClass, result.failure_class)


def assert_measured(result: AttemptResult) -> None:
    """The machine that runs the tests may be busy with others, and that is found out too."""
    reasons = set(result.failure_message.removeprefix("not evidence: ").split(", ")) - {""}
    assert reasons <= {"foreign_load", "sampler_late"}, result.failure_message
    assert ending(result)[0] in ("ok", "invalid") and result.measurements


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        select.select([], [], [], 0.01)


def test_a_fit_device_is_measured_and_its_conditions_are_recorded(tmp_path: Path, root: Path) -> None:
    result = run(tmp_path, root)
    assert_measured(result)
    record = result.protocol_record
    assert (record.before.power_mode, record.before.cpu_governor) == ("MAXN", "schedutil")
    assert [(zone.source, zone.temperature_c, zone.base_c) for zone in record.before.temperatures] == [
        (ZONE, 40.0, 40.0)
    ]
    assert record.after.t_mono_ns > record.before.t_mono_ns
    assert record.cooled and not record.broken
    assert {"shortened_protocol", "clocks_not_pinned"} <= set(result.flags)


def test_the_idle_base_of_the_first_attempt_holds_for_the_next(tmp_path: Path, root: Path) -> None:
    run(tmp_path / "one", root)
    (tmp_path / "two").mkdir()
    (tmp_path / "one/home").rename(tmp_path / "two/home")
    write(root / "sys/class/thermal/thermal_zone0/temp", 45_000)
    result = run(tmp_path / "two", root)
    assert ending(result) == ("failed", "precondition")
    assert "is at 45.0 °C, its idle base is 40.0 °C + 3" in result.failure_message


def test_a_busy_device_starts_no_worker_and_says_why_and_what_to_type(tmp_path: Path, root: Path) -> None:
    write(root / "proc/loadavg", "7.50 3 1 1/100 4242")
    notes: list[str] = []
    folder = folder_of(tmp_path, root)
    worker = make(tmp_path / "worker", "open(out + '/ran', 'w').close()\n" + COMPLETE)
    run_attempt(folder, worker_python=worker, note=notes.append)
    result = result_of(folder)
    assert ending(result) == ("failed", "precondition")
    assert "the load of the last minute is 7.50" in result.failure_message
    assert "next: top" in result.failure_message
    assert result.protocol_record.waited_s >= 0.19
    assert result.protocol_record.before.load1 == 7.5
    assert notes and "waiting" in notes[0]
    assert not (folder / "worker/ran").exists()
    assert (folder / "manifest.json").exists()


def test_quick_records_and_refuses_nothing(tmp_path: Path, root: Path) -> None:
    write(root / "proc/loadavg", "7.50 3 1 1/100 4242")
    result = run(tmp_path, root, protocol="PROTOCOL_QUICK")
    assert_measured(result)
    assert result.protocol_record.before.load1 == 7.5
    assert not result.protocol_record.HasField("cooled")


def test_settings_hold_while_the_worker_runs_and_are_put_back(tmp_path: Path, root: Path) -> None:
    before = jetson_settings.settings(root)
    status = root / "var/lib/nvpmodel/status"
    body = f"print(open({str(status)!r}).read().split()[0])\n" + COMPLETE
    result = run(tmp_path, root, body, settings={"power_mode": "1", "jetson_clocks": True})
    assert_measured(result)
    assert (tmp_path / "attempt-1/worker.log").read_text().strip() == "pmode:0001"
    assert result.protocol_record.before.power_mode == "15W"
    assert result.protocol_record.before.clocks_pinned
    assert [(one.name, one.before) for one in result.protocol_record.settings] == [
        ("power_mode", "MAXN"),
        ("jetson_clocks", "as stored"),
    ]
    assert jetson_settings.settings(root) == before


def test_a_setting_that_is_not_to_be_had_is_a_precondition(tmp_path: Path, root: Path) -> None:
    before = jetson_settings.settings(root)
    result = run(tmp_path, root, settings={"power_mode": "900W"})
    assert ending(result) == ("failed", "precondition")
    assert "known are MAXN, 15W, 7W" in result.failure_message
    assert jetson_settings.settings(root) == before


def test_the_environment_is_the_devices_own_whatever_a_trial_sets(tmp_path: Path, root: Path) -> None:
    plain = run(tmp_path / "a", root)
    asked = run(tmp_path / "b", root, settings={"power_mode": "15W"})
    jetson_settings.nvpmodel(str(root), ["-m", "1"])
    changed = run(tmp_path / "c", root)
    assert plain.environment_digest == asked.environment_digest != changed.environment_digest


def test_a_condition_that_breaks_in_the_middle_makes_the_run_no_evidence(tmp_path: Path, root: Path) -> None:
    governor = root / "sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
    body = f"open({str(governor)!r}, 'w').write('powersave')\n" + COMPLETE
    result = run(tmp_path, root, body)
    assert ending(result) == ("invalid", "")
    assert "conditions_broken" in result.flags
    assert result.failure_message.startswith("not evidence: conditions_broken")
    assert list(result.protocol_record.broken) == [
        "the processor's governor went from schedutil to powersave,schedutil"
    ]


def test_a_device_that_stays_hot_is_said_not_to_have_cooled_down(tmp_path: Path, root: Path) -> None:
    temperature = root / "sys/class/thermal/thermal_zone0/temp"
    body = f"open({str(temperature)!r}, 'w').write('71000')\n" + COMPLETE
    result = run(tmp_path, root, body)
    assert_measured(result)
    assert result.protocol_record.after.temperatures[0].temperature_c == 71.0
    assert not result.protocol_record.cooled
    assert result.protocol_record.cooldown_s >= 0.19


def test_a_warm_up_that_never_settled_is_flagged(tmp_path: Path, root: Path) -> None:
    body = "emit('facts', warmup_request_count=20, warmup_settled=False)\n" + COMPLETE
    assert "warmup_unsettled" in run(tmp_path, root, body).flags


def start(folder: Path, worker: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgerig_agent.attempt", str(folder), "--worker-python", worker],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.system
def test_a_wait_can_be_cancelled(tmp_path: Path, root: Path) -> None:
    write(root / "proc/loadavg", "7.50 3 1 1/100 4242")
    before = jetson_settings.settings(root)
    folder = folder_of(tmp_path, root, protocol_overrides={"wait_s": 600}, settings={"power_mode": "15W"})
    process = start(folder, make(tmp_path / "worker", COMPLETE))
    until(lambda: jetson_settings.settings(root) != before, "nothing was set")
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    assert ending(result_of(folder)) == ("failed", "killed")
    assert "not yet fit" in result_of(folder).failure_message
    assert jetson_settings.settings(root) == before


@pytest.mark.system
@pytest.mark.parametrize("moment", ["wait", "worker", "cooldown"])
def test_killed_in_any_phase_the_settings_come_back_and_a_result_is_left(
    tmp_path: Path, root: Path, moment: str
) -> None:
    before = jetson_settings.settings(root)
    temperature = root / "sys/class/thermal/thermal_zone0/temp"
    if moment == "wait":
        write(root / "proc/loadavg", "7.50 3 1 1/100 4242")
    heat = f"open({str(temperature)!r}, 'w').write('71000')\n"
    body = "open(out + '/ran', 'w').close()\nhang()\n" if moment == "worker" else heat + COMPLETE
    folder = folder_of(
        tmp_path,
        root,
        protocol_overrides={"wait_s": 600, "cooldown_s": 600},
        settings={"power_mode": "15W", "jetson_clocks": True},
    )
    process = start(folder, make(tmp_path / "worker", body))
    reached = {
        "wait": lambda: jetson_settings.calls(root)[-1:] == [["jetson_clocks"]],
        "worker": (folder / "worker/ran").exists,
        "cooldown": (folder / "result.json").exists,
    }
    until(reached[moment], f"the phase {moment} was not reached")
    assert jetson_settings.settings(root) != before
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE_S)
    until(lambda: not (tmp_path / "home" / RECORD).exists(), "the settings were not put back")
    assert jetson_settings.settings(root) == before
    assert main(["--bury", str(folder)]) == 0
    if moment == "cooldown":
        # What was measured before stands.
        assert_measured(result_of(folder))
    else:
        assert ending(result_of(folder)) == ("failed", "killed")
    assert (folder / "manifest.json").exists()


@pytest.mark.system
@pytest.mark.parametrize("by", ["burial", "daemon"])
def test_settings_of_an_attempt_that_died_with_its_helper_are_put_back(
    tmp_path: Path, root: Path, by: str
) -> None:
    before = jetson_settings.settings(root)
    folder = folder_of(tmp_path, root, settings={"power_mode": "15W"})
    process = start(folder, make(tmp_path / "worker", "open(out + '/ran', 'w').close()\nhang()\n"))
    until((folder / "worker/ran").exists, "the worker never ran")
    # The helper first: it would put everything back when the attempt dies.
    for pid in helper_pids(tmp_path / "home"):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not helper_pids(tmp_path / "home"), "the helper still lives")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE_S)
    assert jetson_settings.settings(root) != before
    if by == "burial":
        assert main(["--bury", str(folder)]) == 0
    else:
        _put_settings_back(tmp_path / "home")
    assert jetson_settings.settings(root) == before


def helper_pids(home: Path) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(home).encode() in words and b"edgerig_agent.protocol.helper" in words:
            found.append(int(path.parent.name))
    return found
