"""INA3221 rails on trees that look like Jetson boards."""

from pathlib import Path

from edgerig_agent.probes.base import UNREAD, places
from edgerig_agent.probes.jetson import VOLTAGE_EVERY, discover
from tests.fakes import sysfs_tree

ORIN_NANO = [("VDD_IN", 5040, 1000), ("VDD_CPU_GPU_CV", 5040, 400), ("VDD_SOC", 5040, 300)]


def boundaries(root: Path) -> dict[str, str]:
    (probe,) = discover(places(str(root)))
    return {channel.source: channel.boundary for channel in probe.describe()}


def test_an_orin_nano_has_one_rail_that_is_the_modules_input(tmp_path: Path) -> None:
    sysfs_tree.ina3221_hwmon(tmp_path, "1-0040", ORIN_NANO)
    assert boundaries(tmp_path) == {
        "ina3221:1-0040:1:VDD_IN": "module_in",
        "ina3221:1-0040:2:VDD_CPU_GPU_CV": "rail",
        "ina3221:1-0040:3:VDD_SOC": "rail",
    }


def test_a_nano_of_jetpack_4_is_read_through_iio(tmp_path: Path) -> None:
    sysfs_tree.ina3221_iio(tmp_path, "6-0040", [("POM_5V_IN", 5000, 800), ("POM_5V_GPU", 5000, 100)])
    (probe,) = discover(places(str(tmp_path)))
    channels = probe.open()
    values = probe.read_all()
    probe.close()
    assert channels[0].source == "ina3221:6-0040:1:POM_5V_IN"
    assert channels[0].boundary == "module_in"
    assert values == [800, 5000, 100, 5000]


def test_channels_that_are_not_connected_are_passed_over(tmp_path: Path) -> None:
    sysfs_tree.ina3221_hwmon(tmp_path, "1-0041", [("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 4968, 60), ("NC", 0, 0)])
    assert list(boundaries(tmp_path)) == ["ina3221:1-0041:2:VDDQ_VDD2_1V8AO"]


def test_the_number_of_the_hwmon_folder_does_not_matter(tmp_path: Path) -> None:
    sysfs_tree.ina3221_hwmon(tmp_path, "1-0040", ORIN_NANO, hwmon="hwmon17")
    assert len(boundaries(tmp_path)) == 3


def test_two_chips_are_one_probe_with_distinct_sources(tmp_path: Path) -> None:
    sysfs_tree.ina3221_hwmon(tmp_path, "1-0040", [("GPU", 19000, 10)])
    sysfs_tree.ina3221_hwmon(tmp_path, "1-0041", [("GPU", 19000, 20)])
    assert set(boundaries(tmp_path)) == {"ina3221:1-0040:1:GPU", "ina3221:1-0041:1:GPU"}


def test_a_disabled_channel_is_described_with_its_reason_and_not_read(tmp_path: Path) -> None:
    base = sysfs_tree.ina3221_hwmon(tmp_path, "1-0040", ORIN_NANO)
    (base / "curr2_input").write_text("")  # what ENODATA looks like in a plain file
    (probe,) = discover(places(str(tmp_path)))
    reasons = {channel.source: channel.unavailable_reason for channel in probe.describe()}
    opened = probe.open()
    probe.close()
    assert "curr2_input" in reasons["ina3221:1-0040:2:VDD_CPU_GPU_CV"]
    assert "ina3221:1-0040:2:VDD_CPU_GPU_CV" not in {channel.source for channel in opened}


def test_a_reading_that_fails_later_is_marked_and_ends_nothing(tmp_path: Path) -> None:
    base = sysfs_tree.ina3221_hwmon(tmp_path, "1-0040", ORIN_NANO[:1])
    (probe,) = discover(places(str(tmp_path)))
    probe.open()
    (base / "curr1_input").write_text("")
    values = probe.read_all()
    probe.close()
    assert values == [UNREAD, 5040]


def test_voltage_is_read_again_every_tenth_time_only(tmp_path: Path) -> None:
    base = sysfs_tree.ina3221_hwmon(tmp_path, "1-0040", ORIN_NANO[:1])
    (probe,) = discover(places(str(tmp_path)))
    probe.open()
    probe.read_all()
    (base / "in1_input").write_text("4900\n")
    voltages = [probe.read_all()[1] for _ in range(VOLTAGE_EVERY)]
    probe.close()
    assert voltages == [5040] * (VOLTAGE_EVERY - 1) + [4900]


def test_a_board_without_the_chip_has_no_probe(tmp_path: Path) -> None:
    sysfs_tree.write(tmp_path / "sys/bus/i2c/devices/0-0050/name", "eeprom")
    assert discover(places(str(tmp_path))) == []


def test_what_the_driver_says_of_the_sensor_stands_with_the_channel(tmp_path: Path) -> None:
    base = sysfs_tree.ina3221_hwmon(tmp_path, "1-0040", ORIN_NANO[:1], update_interval_ms=7)
    (base / "samples").write_text("16\n")
    (probe,) = discover(places(str(tmp_path)))
    current, voltage = probe.describe()
    assert (current.shunt_ohm, current.update_interval_ns, current.averaged_count) == (0.005, 7_000_000, 16)
    assert voltage.averaged_count == 16
