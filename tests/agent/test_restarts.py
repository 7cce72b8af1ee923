"""A device that is restarted for a trial's power mode: the same attempt goes on in the next boot.

Real daemon processes against a controller over real mTLS, the real settings
helper and a scripted nvpmodel; the machine that goes down is the daemon killed.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from edgerig.documents import digest, to_json
from edgerig.v1 import agent_service_pb2 as wire
from edgerig.v1.attempt_pb2 import FAILURE_CLASS_REBOOT_FAILED, STATUS_OK
from edgerig_agent.restarts import BACK_S
from tests.fakes import jetson_settings
from tests.fakes.agent_rig import FAKES, Rig
from tests.fakes.controller import FakeController

ROOT = Path(__file__).parents[2]
_DAEMON = """
import asyncio, sys
from pathlib import Path
from edgerig_agent import processes, restarts
from edgerig_agent.daemon import Daemon, Settings, _until_signal
from edgerig_agent.identity import load
from edgerig_agent.runner import Programs
from edgerig_agent.spool import open_spool
home, fakes, root, mode = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
processes.boot_id = lambda: (Path(root) / "boot").read_text()
restarts._DOWN_S = 0.05
program = (sys.executable, fakes + "/attempt_program.py")
programs = Programs(
    program, (*program, "--bury"), (sys.executable, fakes + "/facts_program.py"),
    restart=(sys.executable, fakes + "/restart_program.py", root, mode),
)
spool = open_spool(home / "spool.db")
asyncio.run(_until_signal(Daemon(home, load(home), spool, Settings(), programs, embedded=False)))
"""


@dataclass
class Board:
    """A device with its tree of settings, and the daemon that lives on it now."""

    rig: Rig
    root: Path
    mode: str = "ok"
    daemon: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        command = [sys.executable, "-c", _DAEMON, str(self.rig.home), str(FAKES), str(self.root), self.mode]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.daemon = subprocess.Popen(command, env=environment)

    async def goes_down(self) -> None:
        assert self.daemon is not None
        assert await asyncio.to_thread(self.daemon.wait, 60) == -9

    def restarts(self) -> list[str]:
        path = self.root / "restarts"
        return path.read_text().split() if path.exists() else []

    def states(self) -> list[int]:
        """What the controller was told of the attempt, each state once, in order."""
        told = [held.state for sync in self.rig.controller.syncs for held in sync.held]
        return list(dict.fromkeys(told))

    def offer(self, attempt_id: str, power_mode: str) -> None:
        lease = self.rig.controller.lease(attempt_id)
        lease.trial.settings.power_mode = power_mode
        lease.trial.digest = ""
        lease.trial.digest = digest(to_json(lease.trial))
        self.rig.controller.offer(lease)


@pytest_asyncio.fixture
async def board(tmp_path: Path) -> AsyncIterator[Board]:
    if os.geteuid() != 0:
        pytest.skip("without root the settings helper runs through sudo")
    root = jetson_settings.make_tree(tmp_path / "root")
    jetson_settings.make_programs(tmp_path / "bin", root)
    (root / "boot").write_text("boot-1")
    controller = FakeController()
    await controller.start()
    board = Board(Rig(tmp_path / "home", controller), root)
    yield board
    if board.daemon is not None:
        board.daemon.kill()
        board.daemon.wait()
    await board.rig.close()
    await controller.stop()


async def test_the_same_attempt_goes_on_after_the_restart(board: Board) -> None:
    controller = board.rig.controller
    board.boot()
    board.offer("a-1", "7W")
    await board.goes_down()
    assert board.rig.runs() == []
    board.boot()
    await controller.wait_for(lambda: "a-1" in controller.results)
    assert controller.results["a-1"].status == STATUS_OK
    assert board.rig.runs() == ["a-1"]
    assert board.restarts() == ["2"]
    assert board.states() == [wire.HELD_STATE_REBOOTING, wire.HELD_STATE_ACCEPTED]
    announced = [held.back_s for sync in controller.syncs for held in sync.held]
    assert announced == [BACK_S, 0.0]


async def test_a_trial_that_asks_for_none_has_the_usual_mode_again(board: Board) -> None:
    controller = board.rig.controller
    board.boot()
    board.offer("a-1", "7W")
    await board.goes_down()
    board.boot()
    await controller.wait_for(lambda: "a-1" in controller.results)
    board.offer("a-2", "")
    await board.goes_down()
    board.boot()
    await controller.wait_for(lambda: "a-2" in controller.results)
    assert board.restarts() == ["2", "0"]
    assert board.rig.runs() == ["a-1", "a-2"]


async def test_without_the_controllers_word_nothing_is_restarted(board: Board) -> None:
    controller = board.rig.controller
    controller.verdict = lambda held: (
        wire.VERDICT_CANCEL if held.state == wire.HELD_STATE_REBOOTING else wire.VERDICT_CONTINUE
    )
    board.boot()
    board.offer("a-1", "7W")
    await controller.wait_for(lambda: wire.HELD_STATE_REBOOTING in board.states())
    await controller.wait_for(lambda: not controller.syncs[-1].held)
    assert board.restarts() == [] and board.rig.runs() == []


async def test_a_device_that_comes_back_in_its_old_mode_is_not_restarted_for_ever(board: Board) -> None:
    controller = board.rig.controller
    board.mode = "forgetful"
    board.boot()
    board.offer("a-1", "7W")
    for _ in range(2):
        await board.goes_down()
        board.boot()
    await controller.wait_for(lambda: "a-1" in controller.results)
    result = controller.results["a-1"]
    assert result.failure_class == FAILURE_CLASS_REBOOT_FAILED
    assert "restarted 2 times for the power mode 7W" in result.failure_message
    assert board.rig.runs() == [] and board.restarts() == ["2", "2"]


async def test_a_device_that_does_not_go_down_says_so(board: Board) -> None:
    controller = board.rig.controller
    board.mode = "stuck"
    board.boot()
    board.offer("a-1", "7W")
    await controller.wait_for(lambda: "a-1" in controller.results)
    result = controller.results["a-1"]
    assert result.failure_class == FAILURE_CLASS_REBOOT_FAILED
    assert "did not go down" in result.failure_message
    assert board.rig.runs() == []
