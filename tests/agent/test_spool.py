"""The spool keeps its rows over restarts and damage, and says clearly when it cannot."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerig.errors import BugError, StorageError
from edgerig_agent.spool import SCHEMA_VERSION, Spool, open_spool


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    opened = open_spool(path, clock=lambda: 1000.0)
    yield opened
    opened.close()


def reopened(path: Path) -> Spool:
    return open_spool(path, clock=lambda: 1000.0)


def test_a_row_goes_through_its_states_in_order(spool: Spool) -> None:
    states = []
    spool.add("a", 7, "digest")
    states.append(spool.rows()[0].state)
    spool.starting("a", "boot")
    states.append(spool.rows()[0].state)
    spool.running("a", 42, 99)
    states.append(spool.rows()[0].state)
    spool.finished("a")
    states.append(spool.rows()[0].state)
    assert states == ["accepted", "starting", "running", "finished"]


def test_what_was_written_is_there_after_a_restart(spool: Spool, path: Path) -> None:
    spool.add("a", 7, "digest")
    spool.starting("a", "boot")
    spool.running("a", 42, 99)
    with_second = reopened(path)
    row = with_second.rows()[0]
    with_second.close()
    assert (row.attempt_id, row.epoch, row.trial_digest) == ("a", 7, "digest")
    assert (row.boot_id, row.pid, row.start_ticks, row.spawn_count) == ("boot", 42, 99, 1)


def test_a_new_start_forgets_the_old_process(spool: Spool) -> None:
    spool.add("a", 1, "d")
    spool.starting("a", "boot")
    spool.running("a", 42, 99)
    spool.starting("a", "boot")
    row = spool.rows()[0]
    assert (row.pid, row.start_ticks, row.spawn_count) == (0, 0, 2)


def test_a_deleted_row_is_gone_and_may_be_deleted_again(spool: Spool) -> None:
    spool.add("a", 1, "d")
    spool.delete("a")
    spool.delete("a")
    assert spool.rows() == []


def test_a_row_that_is_not_there_cannot_change(spool: Spool) -> None:
    with pytest.raises(BugError, match="no attempt ghost"):
        spool.running("ghost", 1, 1)


def test_an_attempt_has_one_row(spool: Spool) -> None:
    spool.add("a", 1, "d")
    with pytest.raises(BugError):
        spool.add("a", 2, "d")


def test_commits_are_synced_to_the_disk(spool: Spool) -> None:
    connection = spool._connection
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_session_epochs_grow_over_restarts(spool: Spool, path: Path) -> None:
    first = spool.next_session_epoch()
    second = reopened(path)
    assert second.next_session_epoch() > first
    second.close()


def test_session_epochs_grow_although_the_clock_goes_back(path: Path) -> None:
    now = [1000.0]
    spool = open_spool(path, clock=lambda: now[0])
    first = spool.next_session_epoch()
    now[0] = 10.0
    assert spool.next_session_epoch() > first
    spool.close()


def test_session_epochs_grow_although_the_spool_was_lost(path: Path, tmp_path: Path) -> None:
    old = open_spool(path, clock=lambda: 1000.0)
    first = old.next_session_epoch()
    old.close()
    new = open_spool(tmp_path / "new.db", clock=lambda: 1001.0)
    assert new.next_session_epoch() > first
    new.close()


def test_session_epochs_grow_although_the_disk_is_full(path: Path) -> None:
    def fault(point: str) -> None:
        if point == "before session":
            raise StorageError("the disk is full")

    spool = open_spool(path, clock=lambda: 1000.0, fault=fault)
    first, second = spool.next_session_epoch(), spool.next_session_epoch()
    assert second > first
    spool.close()


def test_a_damaged_spool_is_moved_aside_and_kept(path: Path) -> None:
    path.write_bytes(b"this is no database, but it is somebody's data" * 100)
    content = path.read_bytes()
    spool = reopened(path)
    assert spool.rows() == []
    assert spool.moved_aside is not None
    assert spool.moved_aside.read_bytes() == content
    spool.close()


def test_a_spool_with_damaged_pages_is_moved_aside(path: Path) -> None:
    spool = reopened(path)
    for number in range(200):
        spool.add(f"a-{number}", 1, "d" * 100)
    spool._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    spool.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(3 * 4096))
    fresh = reopened(path)
    assert fresh.moved_aside is not None
    assert fresh.rows() == []
    fresh.close()


def test_a_spool_of_a_newer_version_is_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StorageError, match="newer edgerig"):
        reopened(path)
    assert list(path.parent.glob("*damaged*")) == []


def test_an_empty_file_of_version_0_is_brought_up_to_date(path: Path) -> None:
    sqlite3.connect(path).close()
    spool = reopened(path)
    version = spool._connection.execute("PRAGMA user_version").fetchone()[0]
    spool.close()
    assert version == SCHEMA_VERSION


def test_a_full_disk_is_named(spool: Spool) -> None:
    pages = spool._connection.execute("PRAGMA page_count").fetchone()[0]
    spool._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="the disk is full") as caught:
        for number in range(1000):
            spool.add(f"a-{number}", 1, "d" * 1000)
    assert caught.value.hint.startswith("df -h")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be used"):
        reopened(tmp_path / "file" / "spool.db")


KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from edgerig_agent.spool import open_spool
spool = open_spool(Path(sys.argv[1]))
for number in range(20):
    spool.add(f"a-{number:02d}", 1, "d")
    os.write(1, b"x")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_every_write_that_returned_survives_a_kill(path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED_WRITER, str(path)], capture_output=True)
    assert ended.returncode < 0
    spool = open_spool(path)
    assert len(spool.rows()) == len(ended.stdout) == 20
    spool.close()
