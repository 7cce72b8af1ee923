"""Settings are set by a process of their own and put back, whoever dies and when."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgerig.errors import DeviceError
from edgerig.v1.trial_pb2 import DeviceSettings
from edgerig_agent.protocol import helper
from edgerig_agent.protocol.record import RECORD
from edgerig_agent.protocol.settings import hold, restore_stale
from tests.fakes import jetson_settings

PATIENCE_S = 60.0
ALL = DeviceSettings(power_mode="15W", jetson_clocks=True, gpu_clock_mhz=900, cpu_governor="performance")

# Holds settings until it is killed: what an attempt process does while its worker runs.
_HOLDER = """
import sys, time
from pathlib import Path
from edgerig.v1.trial_pb2 import DeviceSettings
from edgerig_agent.protocol.settings import hold
hold(DeviceSettings.FromString(bytes.fromhex(sys.argv[1])), Path(sys.argv[2]), sys.argv[3])
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = jetson_settings.make_tree(tmp_path / "root")
    programs = jetson_settings.make_programs(tmp_path / "bin", root)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    if os.geteuid() != 0:
        pytest.skip("without root the helper runs through sudo")
    return root


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        select.select([], [], [], 0.01)


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


@pytest.fixture
def holder(root: Path, home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds all settings."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, ALL.SerializeToString().hex(), str(home), str(root)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with process:
        yield process
        process.kill()
    until(lambda: not helper_pids(home), "the helper still lives")


def test_everything_is_set_in_order_and_put_back_in_reverse(root: Path, home: Path) -> None:
    before = jetson_settings.settings(root)
    held = hold(ALL, home, str(root))
    assert held is not None
    during = jetson_settings.settings(root)
    assert during["var/lib/nvpmodel/status"].startswith("pmode:0001")
    assert during["sys/devices/system/cpu/cpufreq/policy0/scaling_governor"] == "performance"
    assert during["sys/devices/system/cpu/cpufreq/policy4/scaling_min_freq"] == "1190400"
    assert [(one.name, one.before, one.during) for one in held.applied] == [
        ("power_mode", "MAXN", "15W"),
        ("cpu_governor", "schedutil", "performance"),
        ("jetson_clocks", "as stored", "pinned"),
        ("gpu_clocks", "unknown", "900 MHz"),
    ]
    assert held.put_back() == ""
    assert jetson_settings.settings(root) == before
    words = [" ".join(call[:2]) for call in jetson_settings.calls(root)]
    assert words == [
        "nvpmodel -m",
        "jetson_clocks --store",
        "jetson_clocks",
        "nvidia-smi --lock-gpu-clocks=900,900",
        "nvidia-smi --reset-gpu-clocks",
        "jetson_clocks --restore",
        "nvpmodel -m",
    ]
    assert not (home / RECORD).exists()


def test_a_trial_that_asks_for_nothing_starts_nothing(root: Path, home: Path) -> None:
    assert hold(DeviceSettings(), home, str(root)) is None
    assert not home.exists()


def test_what_is_as_asked_already_is_left_alone(root: Path, home: Path) -> None:
    held = hold(DeviceSettings(power_mode="MAXN"), home, str(root))
    assert held is not None and held.put_back() == ""
    assert jetson_settings.calls(root) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (DeviceSettings(power_mode="900W"), "known are MAXN, 15W, 7W"),
        (DeviceSettings(cpu_governor="turbo"), "known are performance, schedutil, powersave"),
        (DeviceSettings(power_mode="15W", gpu_clock_mhz=99_999), "no clock of a GPU"),
        (DeviceSettings(cpu_governor="powersave", power_mode="7W"), "the power mode 7W needs a restart"),
    ],
)
def test_what_cannot_be_set_is_refused_with_the_reason_and_all_is_as_before(
    root: Path, home: Path, settings: DeviceSettings, words: str
) -> None:
    before = jetson_settings.settings(root)
    with pytest.raises(DeviceError, match=words):
        hold(settings, home, str(root))
    assert jetson_settings.settings(root) == before
    assert not (home / RECORD).exists()


def test_a_device_without_modes_says_so(tmp_path: Path, root: Path, home: Path) -> None:
    (tmp_path / "bare/sys").mkdir(parents=True)
    with pytest.raises(DeviceError, match="no power modes"):
        hold(DeviceSettings(power_mode="15W"), home, str(tmp_path / "bare"))
    with pytest.raises(DeviceError, match="no frequency governor"):
        hold(DeviceSettings(cpu_governor="performance"), home, str(tmp_path / "bare"))


def test_a_program_that_is_not_there_is_named(
    root: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DeviceError, match="nvpmodel is not on this device"):
        hold(DeviceSettings(power_mode="15W"), home, str(root))


def test_two_attempts_do_not_set_the_same_device(
    root: Path, home: Path, holder: subprocess.Popen[str]
) -> None:
    during = jetson_settings.settings(root)
    with pytest.raises(DeviceError, match="other settings are in force"):
        hold(DeviceSettings(power_mode="MAXN"), home, str(root))
    assert restore_stale(home) == ""
    assert jetson_settings.settings(root) == during


@pytest.mark.system
def test_an_attempt_killed_in_the_middle_has_its_settings_put_back_at_once(
    tmp_path: Path, root: Path, home: Path, holder: subprocess.Popen[str]
) -> None:
    fresh = jetson_settings.settings(jetson_settings.make_tree(tmp_path / "fresh"))
    holder.send_signal(signal.SIGKILL)
    holder.wait(PATIENCE_S)
    until(lambda: not (home / RECORD).exists(), "the settings were not put back")
    assert jetson_settings.settings(root) == fresh


@pytest.mark.system
def test_settings_of_a_killed_helper_are_put_back_by_the_next_start(
    tmp_path: Path, root: Path, home: Path, holder: subprocess.Popen[str]
) -> None:
    fresh = jetson_settings.settings(jetson_settings.make_tree(tmp_path / "fresh"))
    during = jetson_settings.settings(root)
    # A power cut, as far as processes go: nobody is left to put anything back.
    for pid in helper_pids(home):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not helper_pids(home), "the helper still lives")
    assert jetson_settings.settings(root) == during != fresh
    assert restore_stale(home) == ""
    assert jetson_settings.settings(root) == fresh
    assert not (home / RECORD).exists()


@pytest.mark.system
@pytest.mark.parametrize("program", ["nvpmodel", "jetson_clocks"])
def test_a_helper_killed_while_a_program_runs_has_noted_what_was_before(
    tmp_path: Path, root: Path, home: Path, program: str
) -> None:
    fresh = jetson_settings.settings(jetson_settings.make_tree(tmp_path / "fresh"))
    working = (tmp_path / "bin" / program).read_text()
    # It does its work and then hangs, so that the helper never hears of it.
    (tmp_path / "bin" / program).write_text(working + "if '--store' not in sys.argv:\n    time.sleep(600)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "edgerig_agent.protocol.helper", str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdin is not None
    request = {"root": str(root), "settings": {"power_mode": "15W", "jetson_clocks": True}}
    if program == "jetson_clocks":
        del request["settings"]["power_mode"]  # type: ignore[attr-defined]
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()
    until(lambda: jetson_settings.settings(root) != fresh, "nothing was set")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE_S)
    process.stdin.close()
    (tmp_path / "bin" / program).write_text(working)
    assert restore_stale(home) == ""
    assert jetson_settings.settings(root) == fresh


def test_an_attempt_whose_helper_was_killed_puts_its_settings_back_itself(
    tmp_path: Path, root: Path, home: Path
) -> None:
    fresh = jetson_settings.settings(root)
    held = hold(DeviceSettings(power_mode="15W"), home, str(root))
    assert held is not None
    for pid in helper_pids(home):
        os.kill(pid, signal.SIGKILL)
    assert held.put_back() == ""
    assert jetson_settings.settings(root) == fresh


def test_ctrl_c_does_not_reach_the_helper(root: Path, home: Path) -> None:
    held = hold(DeviceSettings(power_mode="15W"), home, str(root))
    assert held is not None
    for pid in helper_pids(home):
        assert os.getpgid(pid) == pid != os.getpgid(0)
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    assert held.put_back() == ""


def test_after_a_restart_only_what_the_device_remembers_is_put_back(
    root: Path, home: Path, holder: subprocess.Popen[str]
) -> None:
    for pid in helper_pids(home):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not helper_pids(home), "the helper still lives")
    record = json.loads((home / RECORD).read_text())
    (home / RECORD).write_text(json.dumps({**record, "boot_id": "an earlier one"}))
    count = len(jetson_settings.calls(root))
    assert restore_stale(home) == ""
    assert jetson_settings.calls(root)[count:] == [["nvpmodel", "-m", "0"]]
    assert not (home / RECORD).exists()


def test_what_cannot_be_put_back_stays_noted_and_is_said(root: Path, home: Path, tmp_path: Path) -> None:
    held = hold(DeviceSettings(power_mode="15W"), home, str(root))
    assert held is not None
    program = tmp_path / "bin/nvpmodel"
    working = program.read_text()
    program.write_text(f"#!{sys.executable}\nraise SystemExit('no')\n")
    assert "nvpmodel -m 0 ended with 1: no" in held.put_back()
    assert (home / RECORD).exists()
    program.write_text(working)
    assert restore_stale(home) == ""
    assert jetson_settings.settings(root)["var/lib/nvpmodel/status"].startswith("pmode:0000")


def test_nothing_new_is_set_over_what_could_not_be_put_back(root: Path, home: Path, tmp_path: Path) -> None:
    """The clocks that jetson_clocks stored are known in one place only, and must not be stored over."""
    before = jetson_settings.settings(root)
    held = hold(DeviceSettings(jetson_clocks=True), home, str(root))
    assert held is not None
    program = tmp_path / "bin/jetson_clocks"
    working = program.read_text()
    program.write_text(f"#!{sys.executable}\nraise SystemExit('no')\n")
    assert "jetson_clocks" in held.put_back()
    with pytest.raises(DeviceError, match="could not be put back"):
        hold(DeviceSettings(jetson_clocks=True), home, str(root))
    program.write_text(working)
    again = hold(DeviceSettings(jetson_clocks=True), home, str(root))
    assert again is not None and again.put_back() == ""
    assert jetson_settings.settings(root) == before


def test_a_damaged_record_is_passed_over(root: Path, home: Path) -> None:
    home.mkdir()
    before = jetson_settings.settings(root)
    for text in ("", "[]", '{"steps": [{"name": "rm"}], "root": "/", "boot_id": ""}'):
        (home / RECORD).write_text(text)
        assert restore_stale(home) == ""
    assert jetson_settings.settings(root) == before


def test_through_sudo_the_record_must_be_roots_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_to_all = tmp_path / "state"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setenv("SUDO_UID", "1000")
    assert helper.main([str(open_to_all)]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert "only root may write" in answer["problem"] and "install -d" in answer["hint"]


def test_without_root_the_helper_runs_through_sudo_which_is_never_asked_for_a_password(
    tmp_path: Path, root: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sudo = tmp_path / "bin/sudo"
    note = tmp_path / "sudo-called-with"
    script = f'printf \'%s \' "$@" > {note}; shift; SUDO_UID=1000 exec "$@"'
    sudo.write_text(f"#!/bin/sh\n{script}\n")
    sudo.chmod(0o755)
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    monkeypatch.setattr("edgerig_agent.protocol.settings.SHARED_STATE", state)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    before = jetson_settings.settings(root)
    # Through sudo a tree of files is refused: only the device itself is set.
    with pytest.raises(DeviceError, match="only the device itself"):
        hold(DeviceSettings(power_mode="15W"), home, str(root))
    words = note.read_text().split()
    assert words[0] == "-n" and words[-3:] == ["-m", "edgerig_agent.protocol.helper", str(state)]
    assert jetson_settings.settings(root) == before


def test_a_user_without_the_right_is_told_where_to_read_of_it(
    tmp_path: Path, root: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sudo = tmp_path / "bin/sudo"
    sudo.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    sudo.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(DeviceError, match="needs root or a rule for sudo") as caught:
        hold(DeviceSettings(power_mode="15W"), home, str(root))
    assert "docs/how-to/doctor.md" in caught.value.hint
