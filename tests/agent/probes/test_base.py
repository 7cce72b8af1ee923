"""Places of the kernel's files, and files that stay open."""

from pathlib import Path

from edgerig_agent.probes.base import UNREAD, KeptFile, places


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
