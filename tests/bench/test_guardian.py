"""A run that is killed leaves no process behind: neither children nor what was detached on purpose."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import guardian
from tests.system.rig import until

ROOT = Path(__file__).parents[2]
# Starts what a test starts, says that it is there, and waits to be killed.
OWNER = """
import pathlib, subprocess, sys, time
from bench import guardian
folder = pathlib.Path(sys.argv[1])
apart = {"start_new_session": True, "stdout": subprocess.DEVNULL}
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
with guardian.watching(folder):
    subprocess.Popen([*sleep, str(folder / "home")], **apart)
    subprocess.Popen(sleep, env={"EDGERIG_HOME": str(folder / "home")}, **apart)
    subprocess.Popen(sleep, cwd=folder, **apart)
    print("started", flush=True)
    if sys.argv[2] == "stay":
        time.sleep(600)
"""


def owner(folder: Path, what: str) -> subprocess.Popen[str]:
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), what], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "rig-1"
    yield folder
    guardian.end_all(str(folder))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_owner_started_dies(folder: Path, number: signal.Signals) -> None:
    process = owner(folder, "stay")
    # The owner, its guardian, and the three that it started.
    assert len(guardian.names(str(folder))) == 5
    process.send_signal(number)
    process.communicate()
    until(lambda: not guardian.names(str(folder)), 30, f"alive: {guardian.names(str(folder))}")


def test_an_owner_that_ends_in_good_order_kills_nobody(folder: Path) -> None:
    process = owner(folder, "leave")
    assert process.wait(30) == 0
    process.communicate()
    assert len(guardian.names(str(folder))) == 3


def test_a_folder_whose_name_only_begins_alike_is_another(folder: Path) -> None:
    process = owner(folder.with_name("rig-10"), "stay")
    assert guardian.names(str(folder)) == []
    process.kill()
    process.communicate()
    guardian.end_all(str(folder.with_name("rig-10")))
    assert os.getpid() not in guardian.names(str(folder.with_name("rig-10")))
