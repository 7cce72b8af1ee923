"""Serial number and L4T release out of files as boards have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerig_agent.board import l4t_release, serial_number


def put(root: Path, path: str, content: bytes) -> str:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return str(root)


def test_the_device_tree_comes_first_and_ends_with_a_null(tmp_path: Path) -> None:
    put(tmp_path, "sys/class/dmi/id/product_serial", b"DMI-1\n")
    root = put(tmp_path, "proc/device-tree/serial-number", b"1424021234567\0")
    assert serial_number(root) == "1424021234567"


def test_dmi_is_next(tmp_path: Path) -> None:
    assert serial_number(put(tmp_path, "sys/class/dmi/id/product_serial", b"DMI-1\n")) == "DMI-1"


@pytest.mark.parametrize("text", [b"", b"0\n", b"Default string\n", b"To be filled by O.E.M.\n"])
def test_placeholders_are_no_serial_numbers(tmp_path: Path, text: bytes) -> None:
    assert serial_number(put(tmp_path, "sys/class/dmi/id/product_serial", text)) == ""


def test_a_machine_without_either_has_none(tmp_path: Path) -> None:
    assert (serial_number(str(tmp_path)), l4t_release(str(tmp_path))) == ("", "")


@pytest.mark.parametrize(
    ("line", "release"),
    [
        (b"# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n", "36.4.3"),
        (b"# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref\n", "35.4.1"),
        (b"# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref\n", "32.7.1"),
        (b"something else\n", ""),
    ],
)
def test_l4t_release(tmp_path: Path, line: bytes, release: str) -> None:
    assert l4t_release(put(tmp_path, "etc/nv_tegra_release", line)) == release
