"""Places of the kernel's files, and files that stay open."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgerig_agent.probes.base import LAST_UNREAD, UNREAD, KeptFile, places, unread_reason, why_unreadable


def test_a_root_with_sys_and_proc_is_taken_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "sys").mkdir()
    (tmp_path / "proc").mkdir()
    found = places(str(tmp_path))
    assert (found.sysfs, found.procfs) == (f"{tmp_path}/sys", f"{tmp_path}/proc")


def test_a_folder_that_is_a_sysfs_itself_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    found = places(str(tmp_path))
    assert (found.sysfs, found.procfs, found.dev) == (str(tmp_path), "/proc", "/dev")


def test_a_kept_file_shows_new_content(tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_text("1\n")
    file = KeptFile(str(path))
    path.write_text("2\n")
    value = file.read_int()
    file.close()
    assert value == 2


def test_what_is_no_number_is_unread(tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_text("Resource busy\n")
    file = KeptFile(str(path))
    value = file.read_int()
    file.close()
    assert value == UNREAD


def test_a_file_without_a_number_is_unreadable_by_name(tmp_path: Path) -> None:
    path = tmp_path / "curr1_input"
    path.write_text("\n")
    assert why_unreadable(str(path)) == "curr1_input: gives no number"


def test_a_reading_that_the_kernel_refuses_carries_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "curr1_input"
    path.write_text("5\n")
    file = KeptFile(str(path))
    monkeypatch.setattr(os, "pread", refuse(errno.ENODATA))
    value = file.read_int()
    file.close()
    assert UNREAD < value <= LAST_UNREAD
    assert unread_reason(value) == "No data available (ENODATA)"


def test_a_device_that_was_removed_and_is_back_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "curr1_input"
    path.write_text("5\n")
    file = KeptFile(str(path))
    path.unlink()
    path.write_text("6\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", refuse(errno.ENODEV))
        gone = {file.read_int() for _ in range(100)}
    back = file.read_int()
    file.close()
    assert (gone, back) == ({UNREAD + errno.ENODEV}, 6)


def refuse(code: int) -> Callable[..., bytes]:
    """Stands for the kernel's pread, the one thing of a sysfs that a plain file cannot do."""

    def pread(*_: object) -> bytes:
        raise OSError(code, os.strerror(code))

    return pread
