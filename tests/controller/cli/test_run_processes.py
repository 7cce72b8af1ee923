"""`edgerig run` with real processes: leaving, cancelling and coming back to one study."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerig_controller import embedded
from edgerig_controller.home import Home
from tests.controller.cli import stored
from tests.controller.cli.stored import STUDY, write_study

pytestmark = pytest.mark.system
PATIENCE_S = 180


def start(home: Home, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgerig_controller.cli.main", *words, "--data", str(home.root)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def read_until(process: subprocess.Popen[str], phrase: str) -> None:
    """Reads progress lines until one says that a trial runs."""
    assert process.stderr is not None
    for line in process.stderr:
        if phrase in line:
            return
    pytest.fail(f"{phrase!r} never came")


def processes_of(home: Home) -> list[str]:
    """Lists the command lines of processes that name the data folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(home.root) in words and "cli.main" not in words:
            found.append(words)
    return found


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "data")
    yield home
    endpoint = embedded.find_controller(home)
    for pid in (endpoint.pid if endpoint else None, embedded.agent_pid(home)):
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
    embedded.wait_until_gone(home)


def test_a_study_can_be_left_cancelled_and_finished(home: Home, tmp_path: Path) -> None:
    path = write_study(tmp_path, STUDY.replace("seeds: [1, 2]", "seeds: [1]"))

    left = start(home, "run", str(path))
    read_until(left, "now: ")
    left.send_signal(signal.SIGINT)
    _, notes = left.communicate(timeout=PATIENCE_S)
    assert left.returncode == 130
    assert f"Come back with: edgerig watch tiny --data {home.root}" in notes
    assert embedded.find_controller(home) is not None

    cancelled = start(home, "watch", "tiny")
    read_until(cancelled, "now: ")
    cancelled.send_signal(signal.SIGINT)
    read_until(cancelled, "Press Ctrl-C again")
    cancelled.send_signal(signal.SIGINT)
    _, notes = cancelled.communicate(timeout=PATIENCE_S)
    assert cancelled.returncode == 130
    assert processes_of(home) == [], notes

    finished = start(home, "run", str(path), "--json")
    stdout, notes = finished.communicate(timeout=PATIENCE_S)
    assert finished.returncode == 0, notes
    document = json.loads(stdout)
    assert (document["attached"], document["ok_count"], document["trial_count"]) == (True, 2, 2)
    assert Path(document["report"]["html"]).exists()


def test_changes_start_a_controller_and_end_it_again(home: Home, tmp_path: Path) -> None:
    stored.finished(home, tmp_path)

    collected = start(home, "gc", "--json")
    stdout, notes = collected.communicate(timeout=PATIENCE_S)
    assert (collected.returncode, json.loads(stdout)["removed"]) == (0, False), notes

    removed = start(home, "rm", "tiny", "--yes", "--json")
    stdout, notes = removed.communicate(timeout=PATIENCE_S)
    assert removed.returncode == 0, notes
    listed = start(home, "studies", "--json")
    assert json.loads(listed.communicate(timeout=PATIENCE_S)[0])["studies"] == []
    assert embedded.wait_until_gone(home)


def test_a_served_controller_invites_devices_and_is_stopped(home: Home) -> None:
    served = start(home, "serve")
    while embedded.find_controller(home) is None:
        assert served.poll() is None
    invited = start(home, "device", "add", "orin-07", "--label", "lab", "--json")
    stdout, notes = invited.communicate(timeout=PATIENCE_S)
    assert invited.returncode == 0, notes
    document = json.loads(stdout)
    assert document["token"] not in document["command"]
    assert f"--ca-sha256 {document['ca_spki_sha256']}" in document["command"]

    stopped = start(home, "stop")
    _, notes = stopped.communicate(timeout=PATIENCE_S)
    assert stopped.returncode == 0, notes
    served.communicate(timeout=PATIENCE_S)
    assert served.returncode == 0
