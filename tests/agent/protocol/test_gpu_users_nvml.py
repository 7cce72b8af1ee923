"""Users of the GPU through the real NVML binding, with a library of our own in the driver's place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.nvml import StubDriver
from tests.fakes.shared_library import NoCompilerError

_SCRIPT = """
import json, os, sys
from edgerig_agent.protocol.gpu_users import GpuUsers
print(json.dumps(GpuUsers(sys.argv[1], frozenset({int(sys.argv[2])})).list()))
"""


def users(tmp_path: Path, profile: str, *processes: int, is_old: bool = False) -> tuple[list[str], str]:
    """Returns what GpuUsers finds; the first process is named as our own."""
    pytest.importorskip("pynvml")
    try:
        driver = StubDriver(tmp_path, profile, is_old=is_old)
    except NoCompilerError as error:
        pytest.skip(str(error))
    driver.say(*(f"process {pid} 1000000" for pid in processes))
    (tmp_path / "root/sys").mkdir(parents=True)
    own = processes[0] if processes else 1
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tmp_path / "root"), str(own)],
        env=driver.outer_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found, why = json.loads(ended.stdout)
    return found, why


@pytest.mark.parametrize("profile", ["gpu", "thor"])
def test_processes_of_others_are_named_and_our_own_are_not(tmp_path: Path, profile: str) -> None:
    own = os.getpid()
    name = Path("/proc/1/comm").read_text().strip()
    assert users(tmp_path, profile, own, 1) == ([f"1 {name}"], "")


def test_a_gpu_that_nobody_uses_has_no_users(tmp_path: Path) -> None:
    assert users(tmp_path, "gpu") == ([], "")


@pytest.mark.parametrize(("profile", "is_old"), [("orin", False), ("gpu", True)])
def test_a_board_without_the_lists_is_asked_in_another_way(
    tmp_path: Path, profile: str, is_old: bool
) -> None:
    # No device files stand in this tree, so nobody can have one open.
    assert users(tmp_path, profile, os.getpid(), 1, is_old=is_old) == ([], "")
