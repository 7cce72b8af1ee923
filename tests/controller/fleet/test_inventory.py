"""The inventory file: its Ansible shape, its problems with their places, and what differs from a device."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerig.errors import StudyProblems, UsageError
from edgerig.v1.attempt_pb2 import BOUNDARY_GPU_BOARD, BOUNDARY_MODULE_IN
from edgerig.v1.device_pb2 import DeviceFacts, Sensor
from edgerig.v1.fleet_service_pb2 import DeclaredDevice
from edgerig_controller.fleet import inventory, inventory_file

ROOT = Path(__file__).parents[3]
LAB = """\
all:
  vars: {edgerig_power_mode: default, ntp_server: 10.0.0.1}
  children:
    orin_nano:
      vars:
        edgerig_labels: [orin, lab-a]
        edgerig_module: Orin Nano
        edgerig_jetpack: 6.2
      hosts:
        orin-07: {edgerig_memory_bytes: 8589934592, ansible_host: 10.0.0.7, edgerig_owner: vera}
        orin-08:
    rack_2:
      hosts:
        orin-08: {edgerig_labels: [orin, rack-2]}
"""


def parsed(text: str = LAB) -> dict[str, DeclaredDevice]:
    return {device.device_id: device for device in inventory_file.parse(text, "lab.yaml")}


def problems(text: str) -> list[str]:
    with pytest.raises(StudyProblems) as caught:
        inventory_file.parse(text, "lab.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_variables_of_groups_hold_for_their_hosts_and_hosts_override() -> None:
    devices = parsed()
    assert devices["orin-07"].module == "Orin Nano"
    assert devices["orin-07"].address == "10.0.0.7"
    assert devices["orin-07"].jetpack == "6.2"
    assert list(devices["orin-08"].labels) == ["orin", "rack-2"]
    assert list(devices["orin-08"].groups) == ["orin_nano", "rack_2"]
    assert devices["orin-08"].power_mode == "default"


def test_the_example_is_an_inventory() -> None:
    text = (ROOT / "inventory" / "lab.example.yaml").read_text()
    assert {device.device_id for device in inventory_file.parse(text, "lab.example.yaml")} == {
        "orin-07",
        "rtx-01",
    }


def test_every_problem_comes_with_its_place() -> None:
    found = problems(
        "all:\n"
        "  hosts:\n"
        "    Orin:\n"
        "      edgerig_ram: 1\n"
        "      edgerig_memory_bytes: 8GB\n"
        "      edgerig_labels: orin\n"
        "      edgerig_power_meter: {source: x, boundary: wall}\n"
        "  member: {}\n"
    )
    assert len(found) == 6
    assert found[0].startswith("lab.yaml:8:3: a group has no `member`")
    assert any("lab.yaml:3:5" in line and "'Orin' cannot name a device" in line for line in found)
    assert any("lab.yaml:4:7: there is no `edgerig_ram`" in line for line in found)
    assert any(
        "lab.yaml:5:29: `edgerig_memory_bytes`: expected a positive whole number" in line for line in found
    )
    assert any("no boundary 'wall'" in line for line in found)


@pytest.mark.parametrize(
    "text", ["", "[]", "just text", "all: [1]", "all: {hosts: [a]}", "all: {children: 3}"]
)
def test_what_is_no_inventory_is_refused(text: str) -> None:
    assert problems(text)


def facts(**changes: object) -> DeviceFacts:
    observed = DeviceFacts(
        machine="NVIDIA Jetson Orin Nano Developer Kit",
        memory_bytes=int(7.4 * 2**30),
        serial_number="1424021234567",
        l4t_release="36.4.3",
        sensors=[Sensor(source="ina3221:1-0040:1:VDD_IN", quantity="power_w", boundary=BOUNDARY_MODULE_IN)],
    )
    for name, value in changes.items():
        setattr(observed, name, value)
    return observed


DECLARED = DeclaredDevice(
    device_id="orin-07",
    serial_number="1424021234567",
    memory_bytes=8 * 2**30,
    module="Orin Nano",
    jetpack="6.2",
    power_meter_source="ina3221:1-0040:1:VDD_IN",
    power_meter_boundary="module_in",
)


def test_a_device_that_is_what_is_declared_has_no_differences() -> None:
    assert inventory.differences(DECLARED, facts()) == []
    assert inventory.mismatch(DECLARED, facts()) == ""


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"memory_bytes": 4 * 2**30}, "memory is 4.0 GiB, declared is 8.0 GiB"),
        ({"memory_bytes": 16 * 2**30}, "memory is 16.0 GiB"),
        ({"machine": "NVIDIA Jetson Xavier NX"}, "module is NVIDIA Jetson Xavier NX"),
        ({"serial_number": "other"}, "serial is other"),
        ({"l4t_release": "35.4.1"}, "jetpack is 5.1.2 (L4T 35.4.1), declared is 6.2"),
        ({"l4t_release": ""}, "jetpack is no JetPack"),
    ],
)
def test_a_difference_blocks_and_says_what_it_is(changed: dict[str, object], words: str) -> None:
    assert words in inventory.mismatch(DECLARED, facts(**changed))


def test_a_missing_unreadable_or_other_meter_blocks() -> None:
    none = facts()
    del none.sensors[:]
    assert "no such sensor" in inventory.mismatch(DECLARED, none)
    broken = facts()
    broken.sensors[0].unavailable_reason = "permission denied"
    assert "unreadable (permission denied)" in inventory.mismatch(DECLARED, broken)
    other = facts()
    other.sensors[0].boundary = BOUNDARY_GPU_BOARD
    assert "(gpu_board)" in inventory.mismatch(DECLARED, other)


@pytest.mark.parametrize("name", ["serial_number", "machine", "memory_bytes"])
def test_what_a_device_cannot_tell_is_noted_and_blocks_nothing(name: str) -> None:
    silent = facts()
    silent.ClearField(name)
    found = inventory.differences(DECLARED, silent)
    assert [item.blocks for item in found] == [False]
    assert "cannot tell" in found[0].message


def test_an_l4t_that_is_not_known_yet_is_noted() -> None:
    found = inventory.differences(DECLARED, facts(l4t_release="99.1"))
    assert [item.blocks for item in found] == [False]


@pytest.mark.parametrize(
    ("release", "jetpack"),
    [
        ("36.4.3", "6.2"),
        ("R36.4", "6.1"),
        ("36.3.0", "6.0"),
        ("35.4.1", "5.1.2"),
        ("32.7.4", "4.6.1"),
        ("x", ""),
        ("", ""),
    ],
)
def test_jetpack_by_l4t(release: str, jetpack: str) -> None:
    assert inventory.jetpack_of(release) == jetpack


def test_a_major_release_is_enough() -> None:
    declared = DeclaredDevice(device_id="a", jetpack="6")
    assert inventory.mismatch(declared, facts()) == ""
    assert inventory.mismatch(declared, facts(l4t_release="35.4.1"))


def test_changes_are_worded_field_by_field() -> None:
    before = {
        "a": DeclaredDevice(device_id="a", module="X", labels=["l"]),
        "gone": DeclaredDevice(device_id="gone"),
    }
    after = {
        "a": DeclaredDevice(device_id="a", module="Y", labels=["l"]),
        "new": DeclaredDevice(device_id="new"),
    }
    found = {change.device_id: change for change in inventory.changes(before, after, prune=False)}
    assert list(found["a"].details) == ["module: X becomes Y"]
    assert (found["new"].kind, found["gone"].kind) == ("added", "kept")
    assert inventory.changes(before, before, prune=True) == []


def test_ansible_gets_groups_hosts_and_what_was_observed() -> None:
    devices = {name: (device, facts()) for name, device in parsed().items()}
    document = inventory.ansible_inventory(devices)
    assert document["all"] == {"children": ["orin_nano", "rack_2"]}
    assert document["orin_nano"] == {"hosts": ["orin-07", "orin-08"]}
    variables = document["_meta"]["hostvars"]["orin-07"]
    assert variables["ansible_host"] == "10.0.0.7"
    assert variables["edgerig_observed"]["jetpack"] == "6.2"


def test_a_declaration_from_the_wire_is_bounded() -> None:
    with pytest.raises(UsageError):
        inventory.check(DeclaredDevice(device_id="a", owner="x" * 201))
    checked = inventory.check(DeclaredDevice(device_id="a", labels=["b", "a", "a"]))
    assert list(checked.labels) == ["a", "b"]
