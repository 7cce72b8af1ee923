"""What the doctor finds on trees that stand for devices, and how it says so."""

import json
import os
import sys
from pathlib import Path

import pytest

from edgerig_agent.cli import main
from edgerig_agent.doctor import controller
from edgerig_agent.doctor.findings import ChannelScan, Finding, Report, Section
from edgerig_agent.doctor.main import examine
from edgerig_agent.doctor.sensors import energy_section, other_section, scan
from edgerig_agent.doctor.system import kernel_clock_status, memory, swap, time_sync
from edgerig_agent.probes.base import ENERGY_J, UNREAD, Channel, places
from edgerig_agent.probes.families import discover
from edgerig_agent.protocol.conditions import Observer
from tests.fakes import jetson_settings, meters, sysfs_tree
from tests.fakes.boards import BOARDS
from tests.fakes.sysfs_tree import write

# In the place of the worker's interpreter: says which libraries it has, and what torch would say.
_INTERPRETER = """#!{python}
import json, sys
if sys.argv[1] == "-m":
    print("{{}}")
elif "import json, torch" in sys.argv[2]:
    print(json.dumps({{"torch": "9.9", "cuda": {cuda}, "name": "Orin", "built": "12.6"}}))
else:
    print(json.dumps(dict.fromkeys({libraries!r}, "1.0")))
"""
_LIBRARIES = ("python", "torch", "transformers", "safetensors", "peft")


def interpreter(path: Path, libraries: tuple[str, ...] = _LIBRARIES, *, cuda: bool = True) -> str:
    path.write_text(_INTERPRETER.format(python=sys.executable, libraries=libraries, cuda=cuda))
    path.chmod(0o755)
    return str(path)


def energy(root: Path) -> Section:
    at = places(str(root))
    return energy_section(scan(discover(at), 0.0), at)


def words(section: Section) -> list[str]:
    return [f"{finding.state} {finding.text} {finding.fix}".strip() for finding in section.findings]


def test_a_module_input_is_a_boundary_with_its_rate(tmp_path: Path) -> None:
    sysfs_tree.ina3221_hwmon(tmp_path, "1-0040", [("VDD_IN", 5000, 1000), ("VDD_SOC", 5000, 200)])
    found = words(energy(tmp_path))
    assert len(found) == 1
    assert found[0].startswith("ok module_in: ina3221:1-0040:1:VDD_IN, read 100 times a second, one scan")


def test_rails_that_add_up_are_a_total(tmp_path: Path) -> None:
    rails = [("VDD_GPU_SOC", 19000, 500), ("VDD_CPU_CV", 19000, 300), ("VIN_SYS_5V0", 5000, 900)]
    sysfs_tree.ina3221_hwmon(tmp_path, "1-0040", rails)
    found = words(energy(tmp_path))
    assert found[0].startswith("ok rails_sum: VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0")


def test_rails_that_are_no_total_are_not_enough(tmp_path: Path) -> None:
    sysfs_tree.ina3221_hwmon(tmp_path, "1-0040", [("VDD_SOC", 5000, 200)])
    section = energy(tmp_path)
    assert section.state == "missing"
    assert "not known to add up" in section.findings[0].text


def test_a_counter_for_root_only_comes_with_the_command(tmp_path: Path) -> None:
    counter = sysfs_tree.rapl_zone(tmp_path, "intel-rapl:0", "package-0", 5)
    counter.chmod(0)
    if os.access(counter, os.R_OK):
        # Root may read everything; the reason is then given as a probe would give it.
        counter.unlink()
        counter.mkdir()
        assert energy(tmp_path).state == "missing"
        return
    finding = energy(tmp_path).findings[0]
    assert finding.state == "missing"
    assert finding.fix.startswith("sudo chmod a+r")


def test_a_command_in_a_reason_becomes_the_fix(tmp_path: Path) -> None:
    class Refused:
        name = "rapl"
        interval_ns = 10_000_000

        def describe(self) -> tuple[Channel, ...]:
            reason = "energy_uj is readable by root only; until the next boot: sudo chmod a+r FILE"
            return (Channel("rapl:package-0", ENERGY_J, "cpu_pkg", 1e-6, unavailable_reason=reason),)

        def open(self) -> tuple[Channel, ...]:
            return ()

        def read_all(self) -> list[int]:
            return []

        def close(self) -> None:
            return

    section = energy_section(scan([Refused()], 0.0), places(str(tmp_path)))
    assert section.findings == (
        Finding(
            "missing",
            "rapl:package-0: energy_uj is readable by root only; until the next boot",
            "sudo chmod a+r FILE",
        ),
    )


def test_a_virtual_machine_is_told_that_it_is_shown_nothing(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", "vendor_id : GenuineIntel\nflags : fpu hypervisor sse")
    (tmp_path / "sys").mkdir()
    assert "a virtual machine" in energy(tmp_path).findings[0].text


def test_a_bare_machine_is_told_which_module_to_load(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", "vendor_id : GenuineIntel\nflags : fpu sse")
    (tmp_path / "sys").mkdir()
    assert energy(tmp_path).findings[0].fix == "sudo modprobe intel_rapl_msr"


class Steps:
    """A probe whose value moves on every third reading, and one channel that answers nothing."""

    name = "steps"
    interval_ns = 10_000_000

    def __init__(self) -> None:
        self.count = 0

    def describe(self) -> tuple[Channel, ...]:
        return (
            Channel("steps:0", "power_w", "module_in", 0.5),
            Channel("steps:1", "power_w", "module_in", 1.0),
        )

    def open(self) -> tuple[Channel, ...]:
        return self.describe()

    def read_all(self) -> list[int]:
        self.count += 1
        return [self.count // 3, UNREAD]

    def close(self) -> None:
        return


def test_a_scan_finds_value_rate_and_period() -> None:
    now_s = [0.0]

    def clock() -> float:
        # Each look at the clock takes a tenth of a millisecond.
        now_s[0] += 1e-4
        return now_s[0]

    def rest(duration_s: float) -> None:
        now_s[0] += duration_s

    steps = Steps()
    moving, dumb = scan([steps], 1.0, clock, rest)
    assert moving.value == pytest.approx(0.5 * (steps.count // 3))
    assert moving.scan_s == pytest.approx(1e-4)
    assert moving.update_s == pytest.approx(0.03, rel=0.1)
    assert (dumb.value, dumb.scan_s, bool(dumb.unavailable_reason)) == (None, None, True)


def test_without_clear_refs_peaks_are_bounds_only(tmp_path: Path) -> None:
    write(tmp_path / "proc/pressure/memory", "some avg10=0.00")
    (tmp_path / "sys").mkdir()
    states = [(finding.state, finding.text) for finding in memory(places(str(tmp_path)))]
    assert states[0][0] == "warning" and "upper bounds" in states[0][1]
    assert states[1] == ("ok", "memory pressure is counted (PSI)")


@pytest.mark.parametrize(("status", "state"), [(0x2001, "ok"), (0x40, "warning"), (None, "warning")])
def test_an_unsynchronised_clock_is_found(status: int | None, state: str) -> None:
    assert [finding.state for finding in time_sync(lambda: status)] == [state]


def test_the_kernels_status_of_the_clock_can_be_read() -> None:
    status = kernel_clock_status()
    assert status is not None and 0 <= status < 2**16


def test_no_line_is_wider_than_a_terminal_and_no_command_is_torn() -> None:
    command = "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"
    section = Section("energy", (Finding("missing", "word " * 60, command),), required=True)
    lines = Report("machine " * 40, (section,)).lines()
    assert max(map(len, lines)) <= 80
    assert f"      -> {command}" in lines
    assert lines[-1].startswith("Not ready: energy")


@pytest.fixture
def orin(tmp_path: Path) -> Path:
    root = jetson_settings.make_tree(tmp_path / "root", mode=1)
    sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 1000), ("VDD_SOC", 5000, 200)])
    sysfs_tree.thermal_zone(root, 0, "cpu-thermal", 40_000)
    sysfs_tree.memory(root, available_kib=4_000_000)
    write(root / "proc/loadavg", "0.01 0.1 0.1 1/100 4242")
    return root


def test_a_device_with_energy_and_worker_is_ready(
    tmp_path: Path, orin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = interpreter(tmp_path / "worker")
    arguments = ["doctor", "--root", str(orin), "--home", str(tmp_path / "home"), "--worker-python", worker]
    assert main([*arguments, "--scan-s", "0"]) == 0
    shown = capsys.readouterr().out
    assert "module_in: ina3221:1-0040:1:VDD_IN" in shown
    assert "torch 9.9 computes on Orin" in shown
    assert "power mode 15W (nvpmodel; there are MAXN, 15W, 7W)" in shown
    assert "sudo jetson_clocks" in shown
    assert "Ready" in shown.splitlines()[-1]
    assert max(map(len, shown.splitlines())) <= 80


def test_a_worker_that_lacks_torch_is_not_ready_and_says_what_to_type(
    tmp_path: Path, orin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = interpreter(tmp_path / "worker", ("python", "torch"))
    arguments = ["doctor", "--root", str(orin), "--home", str(tmp_path / "home"), "--worker-python", worker]
    assert main([*arguments, "--scan-s", "0", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ready"] is False
    section = next(one for one in document["sections"] if one["name"] == "worker")
    assert "has no transformers, safetensors" in section["findings"][0]["text"]
    assert "pip install" in section["findings"][0]["fix"]
    assert {"source", "quantity", "boundary", "scan_s", "update_s", "value"} <= set(document["channels"][0])


def test_a_torch_that_does_not_reach_the_gpu_is_a_warning(
    tmp_path: Path, orin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(orin / "dev/nvhost-gpu", "")
    worker = interpreter(tmp_path / "worker", cuda=False)
    arguments = ["doctor", "--root", str(orin), "--home", str(tmp_path / "home"), "--worker-python", worker]
    assert main([*arguments, "--scan-s", "0"]) == 0
    assert "does not reach the GPU of this device (built for CUDA 12.6)" in " ".join(
        capsys.readouterr().out.split()
    )


def test_an_interpreter_that_is_none_is_named(
    tmp_path: Path, orin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    write(home / "agent.json", json.dumps({"worker_python": "/nowhere/python"}))
    assert main(["doctor", "--root", str(orin), "--home", str(home), "--scan-s", "0"]) == 1
    assert "/nowhere/python cannot be run" in capsys.readouterr().out


def test_a_forgotten_idle_base_is_gone(tmp_path: Path, orin: Path) -> None:
    home = tmp_path / "home"
    write(home / "idle_base.json", "{}")
    arguments = ["doctor", "--root", str(orin), "--home", str(home), "--worker-python", "/nowhere/python"]
    main([*arguments, "--scan-s", "0", "--forget-idle-base"])
    assert not (home / "idle_base.json").exists()


def test_this_machine_is_looked_at_without_a_fault(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    code = main(
        ["doctor", "--json", "--scan-s", "0.05", "--home", str(tmp_path), "--worker-python", sys.executable]
    )
    document = json.loads(capsys.readouterr().out)
    assert code == (0 if document["ready"] else 1)
    worker = next(one for one in document["sections"] if one["name"] == "worker")
    assert worker["state"] != "missing", worker


def test_an_enrolled_home_has_its_connection_looked_at(tmp_path: Path) -> None:
    pytest.importorskip("grpc")
    assert controller.section(tmp_path) is None
    (tmp_path / "identity").mkdir()
    found = controller.section(tmp_path)
    assert found is not None
    # A folder without a key is a fault; energy and worker do not depend on it.
    assert (found.state, found.required) == ("missing", False)
    assert "edgerig-agent enroll" in found.findings[-1].fix


def test_what_else_is_read_is_counted_and_what_cannot_be_is_named(orin: Path) -> None:
    temperature = orin / "sys/class/thermal/thermal_zone1/temp"
    write(temperature.with_name("type"), "dead-thermal")
    temperature.mkdir()
    found = words(other_section(scan(discover(places(str(orin))), 0.0)))
    assert "temperatures (1)" in found[0] and "clocks" in found[0]
    assert any("thermal:1:dead-thermal" in text and text.startswith("warning") for text in found)


def test_swap_is_described(orin: Path) -> None:
    with (orin / "proc/meminfo").open("a") as file:
        file.write("SwapTotal: 2097152 kB\n")
    write(orin / "proc/swaps", "Filename Type Size Used Priority\n/dev/zram0 partition 2097152 0 5")
    found = swap(places(str(orin)), Observer(str(orin), orin).look())
    assert found.text.startswith("swap space compressed memory (zram): 2.0 GiB, 2048 MiB in use")


def test_a_meter_makes_a_device_without_sensors_ready(tmp_path: Path) -> None:
    (tmp_path / "root/sys").mkdir(parents=True)
    worker = interpreter(tmp_path / "worker")
    with meters.shelly(7.5) as shelly:
        address = f"shelly://127.0.0.1:{shelly.port}"
        report = examine(str(tmp_path / "root"), tmp_path, worker, scan_s=0.0, meter_addresses=[address])
    assert report.ready
    found = {section.name: section for section in report.sections}
    assert "wall_ac" in found["energy"].findings[0].text
    assert found["external meters"].state == "ok"
    assert any(one.quantity == "power_w" and one.value == pytest.approx(7.5) for one in report.channels)


def test_a_meter_that_does_not_answer_or_cannot_be_understood_is_named(tmp_path: Path) -> None:
    (tmp_path / "root/sys").mkdir(parents=True)
    for address, words_ in (("shelly://127.0.0.1:1", "does not answer"), ("shely://x", "shely")):
        report = examine(
            str(tmp_path / "root"), tmp_path, "/nowhere/python", scan_s=0.0, meter_addresses=[address]
        )
        found = {section.name: section for section in report.sections}
        assert found["external meters"].state == "missing"
        assert words_ in found["external meters"].findings[0].text
        assert not report.ready


@pytest.mark.parametrize("board", ["orin_nx", "two_of_a_kind", "virtual machine", "bare machine", "broken"])
def test_whatever_is_not_well_comes_with_what_mends_it(board: str, tmp_path: Path) -> None:
    """A command, or the page that says why there is none."""
    root = tmp_path / "root"
    (root / "sys").mkdir(parents=True)
    if board in BOARDS:
        BOARDS[board](root)
    elif board == "broken":
        base = sysfs_tree.ina3221_hwmon(root, "1-0040", [("VDD_IN", 5000, 1000)])
        (base / "curr1_input").write_text("")
        sysfs_tree.thermal_zone(root, 0, "GPU-therm", 0).write_text("")
        sysfs_tree.memory(root, available_kib=100)
    else:
        flags = "hypervisor" if board == "virtual machine" else "sse"
        write(root / "proc/cpuinfo", f"vendor_id : GenuineIntel\nflags : fpu {flags}")
        write(root / "proc/meminfo", "MemTotal: 1 kB")
    worker = interpreter(tmp_path / "python", _LIBRARIES[:-1], cuda=False)
    report = examine(str(root), tmp_path / "home", worker, scan_s=0.0)
    unwell = [finding for section in report.sections for finding in section.findings if finding.state != "ok"]
    assert unwell and all(finding.fix for finding in unwell)


def test_a_disabled_channel_comes_with_the_command_that_enables_it() -> None:
    source = "ina3221:1-0040:3:VDD_SOC"
    gone = ChannelScan(
        source, "current_a", "rail", "curr3_input: No data available (ENODATA)", 0.01, *[None] * 3
    )
    (_, finding) = energy_section([_whole(), gone], places("/")).findings
    assert finding.state == "warning"
    assert finding.fix == "echo 1 | sudo tee /sys/bus/i2c/devices/1-0040/hwmon/hwmon*/in3_enable"


def _whole() -> ChannelScan:
    return ChannelScan("ina3221:1-0040:1:VDD_IN", "current_a", "module_in", "", 0.01, 1e-4, None, 1.0)
