"""How the device sees an attempt after crashes and reboots: life locks, lost rows, failed burials."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerig.errors import StorageError
from edgerig.v1.agent_service_pb2 import Lease
from edgerig.v1.attempt_pb2 import FAILURE_CLASS_KILLED, FAILURE_CLASS_REBOOTED, STATUS_FAILED
from edgerig.v1.trial_pb2 import Trial
from edgerig_agent import folder as folders
from edgerig_agent.folder import AttemptFolder
from edgerig_agent.processes import ProcessRef, find, is_alive, lock, run_command, wait_gone
from edgerig_agent.runner import Programs, Runner
from edgerig_agent.spool import Spool, open_spool

FAILING = (sys.executable, "-c", "import sys; sys.exit('the disk is gone')")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = open_spool(tmp_path / "spool.db")
    yield opened
    opened.close()


@pytest.fixture
def runner(tmp_path: Path, spool: Spool) -> Runner:
    return Runner(tmp_path, spool, Programs(FAILING, FAILING, FAILING), "this-boot")


def made(runner: Runner, attempt_id: str = "a") -> AttemptFolder:
    folder = runner.folder(attempt_id)
    lease = Lease(attempt_id=attempt_id, epoch=3, trial=Trial(digest="d", schema_version=1))
    folders.make(folder, lease)
    return folder


def begin(folder: AttemptFolder, boot_id: str) -> None:
    text = f'{{"pid": 1, "start_ticks": 1, "boot_id": "{boot_id}", "t_mono_ns": 0}}'
    (folder.path / "began").write_text(text)


def test_a_process_whose_pid_nobody_noted_is_seen_by_its_lock(runner: Runner, spool: Spool) -> None:
    folder = made(runner)
    spool.add("a", 3, "d")
    held = lock(folder.life_lock)
    assert held is not None
    alive = runner.observe(spool.rows()[0], None).alive
    os.close(held)
    assert (alive, runner.observe(spool.rows()[0], None).alive) == (True, False)


def test_a_held_lock_forbids_a_second_start(runner: Runner, spool: Spool) -> None:
    folder = made(runner)
    spool.add("a", 3, "d")
    held = lock(folder.life_lock)
    assert held is not None
    runner.spawn(spool.rows()[0])
    os.close(held)
    assert spool.rows()[0].spawn_count == 0


def test_a_reused_pid_is_another_process() -> None:
    me = find(os.getpid())
    assert me is not None
    assert is_alive(me)
    assert not is_alive(ProcessRef(me.pid, me.start_ticks + 1))


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    seen = find(child.pid)
    child.wait()
    assert seen is None


async def test_waiting_for_a_process_of_another_time_returns(runner: Runner) -> None:
    await wait_gone(ProcessRef(os.getpid(), 1))


async def test_a_process_is_waited_for_where_there_is_no_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.setattr("edgerig_agent.processes._POLL_S", 0.01)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = find(child.pid)
    assert process is not None
    child.communicate(b"\n")
    await wait_gone(process)
    assert not is_alive(process)


async def test_a_command_past_its_time_is_killed_with_its_children(tmp_path: Path) -> None:
    ended = await run_command(
        (sys.executable, "-c", "import time; time.sleep(600)"), scratch=tmp_path, timeout_s=0.01
    )
    assert ended.exit_code == -9


async def test_a_command_may_print_more_than_a_pipe_holds(tmp_path: Path) -> None:
    ended = await run_command(
        (sys.executable, "-c", "print('x' * 500_000)"), scratch=tmp_path, timeout_s=30.0
    )
    assert (ended.exit_code, len(ended.output)) == (0, 500_001)


def test_a_folder_that_never_ran_and_has_no_row_goes(runner: Runner, spool: Spool) -> None:
    folder = made(runner)
    runner.recover_folders()
    assert (folder.path.exists(), spool.rows()) == (False, [])


def test_a_folder_that_ran_gets_its_row_back(runner: Runner, spool: Spool) -> None:
    begin(made(runner), "this-boot")
    runner.recover_folders()
    row = spool.rows()[0]
    assert (row.attempt_id, row.epoch, row.trial_digest, row.state) == ("a", 3, "d", "running")


def test_a_folder_that_cannot_be_read_stays_and_gets_no_row(runner: Runner, spool: Spool) -> None:
    folder = made(runner)
    begin(folder, "this-boot")
    (folder.path / "lease.json").write_text("{")
    runner.recover_folders()
    assert (folder.path.exists(), spool.rows()) == (True, [])


async def test_a_folder_that_a_full_disk_kept_from_its_row_is_taken_up_later(tmp_path: Path) -> None:
    full = [True]

    def fault(_point: str) -> None:
        if full[0]:
            raise StorageError("the disk is full")

    opened = open_spool(tmp_path / "spool.db", fault=fault)
    runner = Runner(tmp_path, opened, Programs(FAILING, FAILING, FAILING), "this-boot")
    begin(made(runner), "this-boot")
    assert await runner.settle_own() == []
    full[0] = False
    assert [row.state for row in await runner.settle_own()] == ["finished"]
    opened.close()


@pytest.mark.parametrize(
    ("boot_id", "failure"), [("this-boot", FAILURE_CLASS_KILLED), ("last-boot", FAILURE_CLASS_REBOOTED)]
)
async def test_a_burial_that_fails_still_leaves_a_result(
    runner: Runner, spool: Spool, boot_id: str, failure: int
) -> None:
    folder = made(runner)
    begin(folder, boot_id)
    spool.add("a", 3, "d")
    spool.starting("a", boot_id)
    rows = await runner.settle_own()
    result = folder.result()
    assert (result.status, result.failure_class) == (STATUS_FAILED, failure)
    assert "the disk is gone" in result.failure_message
    assert rows[0].state == "finished"
