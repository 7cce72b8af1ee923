"""Starting and finding controller and agent, with small real programs in their place."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from edgerig.errors import UnreachableError
from edgerig_controller import embedded
from edgerig_controller import home as homes
from edgerig_controller.embedded import Commands, Invitation
from edgerig_controller.home import Home

CONTROLLER = """
import os, signal, sys
from pathlib import Path
from edgerig_controller import home as homes
home = homes.Home(Path(sys.argv[1]))
held = homes.lock(home)
with open(home.root / "starts", "a") as file:
    file.write("controller\\n")
homes.write_endpoint(home, homes.Endpoint(os.getpid(), "fleet", "c:1", "a:1", "e:1", "00", True))
signal.pause()
"""
AGENT = """
import fcntl, os, signal, sys
file = open(sys.argv[1] + "/agent.lock", "a+")
fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
file.truncate(0)
file.write(str(os.getpid()))
file.flush()
signal.pause()
"""
ENROLL = """
import json, os, sys
folder = sys.argv[1] + "/identity"
os.makedirs(folder, exist_ok=True)
with open(folder + "/enrollment.json", "w") as file:
    json.dump({"fleet_id": "fleet", "token": sys.stdin.read().strip(), "replace": sys.argv[2]}, file)
"""
FAILING = "import sys; print('no such thing as a free port'); sys.exit(3)"


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code), *arguments]


COMMANDS = Commands(
    controller=lambda home: python(CONTROLLER, str(home.root)),
    enroll=lambda home, _, replaced: python(ENROLL, str(home.agent_dir), str(replaced)),
    agent=lambda home: python(AGENT, str(home.agent_dir)),
)


def invite() -> Invitation:
    return Invitation("secret", "00", "e:1", "a:1")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "data" / "agent").mkdir(parents=True)
    return Home(tmp_path / "data")


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes] | None]]:
    """Ends and reaps what a test started."""
    started: list[subprocess.Popen[bytes] | None] = []
    yield started
    for process in started:
        if process is not None:
            process.kill()
            process.wait()


def test_an_unused_folder_has_no_controller(home: Home) -> None:
    assert embedded.find_controller(home) is None
    assert embedded.agent_pid(home) is None


def test_a_controller_is_started_once_and_found_afterwards(
    home: Home, children: list[subprocess.Popen[bytes] | None]
) -> None:
    first = embedded.ensure_controller(home, commands=COMMANDS)
    children.append(first.process)
    second = embedded.ensure_controller(home, commands=COMMANDS)
    assert (first.started, second.started) == (True, False)
    assert first.endpoint == second.endpoint
    assert first.process is not None and first.endpoint.pid == first.process.pid


def test_a_started_controller_is_no_child_of_the_terminal(
    home: Home, children: list[subprocess.Popen[bytes] | None]
) -> None:
    running = embedded.ensure_controller(home, commands=COMMANDS)
    children.append(running.process)
    assert os.getsid(running.endpoint.pid) == running.endpoint.pid
    assert Path(f"/proc/{running.endpoint.pid}/fd/0").resolve() == Path("/dev/null")
    assert Path(f"/proc/{running.endpoint.pid}/fd/1").resolve() == home.logs_dir / "controller.out"


def test_two_commands_at_the_same_time_start_one_controller(
    home: Home, children: list[subprocess.Popen[bytes] | None]
) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: embedded.ensure_controller(home, commands=COMMANDS), range(4)))
    children += [running.process for running in found]
    assert sum(running.started for running in found) == 1
    assert (home.root / "starts").read_text() == "controller\n"


def test_a_controller_that_is_just_ending_is_waited_for(
    home: Home, children: list[subprocess.Popen[bytes] | None]
) -> None:
    ending = homes.lock(home)
    running = embedded.ensure_controller(home, commands=COMMANDS, pause=lambda _: ending.release())
    children.append(running.process)
    assert running.started


def test_a_controller_that_ends_at_once_shows_what_it_said(home: Home) -> None:
    with pytest.raises(UnreachableError, match="ended with code 3:\nno such thing as a free port"):
        embedded.ensure_controller(home, commands=replace(COMMANDS, controller=lambda _: python(FAILING)))


def test_a_new_agent_is_enrolled_with_the_token_on_its_input_and_started(
    home: Home, children: list[subprocess.Popen[bytes] | None]
) -> None:
    home.logs_dir.mkdir()
    process = embedded.ensure_agent(home, "fleet", invite, commands=COMMANDS)
    children.append(process)
    assert process is not None
    assert embedded.agent_pid(home) == process.pid
    text = (home.agent_dir / "identity" / "enrollment.json").read_text()
    assert '"token": "secret", "replace": "False"' in text


def test_a_running_agent_is_left_alone(home: Home, children: list[subprocess.Popen[bytes] | None]) -> None:
    children.append(embedded.ensure_agent(home, "fleet", invite, commands=COMMANDS))
    assert embedded.ensure_agent(home, "fleet", invite, commands=COMMANDS) is None


def test_an_enrolled_agent_needs_no_second_invitation(
    home: Home, children: list[subprocess.Popen[bytes] | None]
) -> None:
    children.append(embedded.ensure_agent(home, "fleet", invite, commands=COMMANDS))
    process = children[0]
    assert process is not None
    process.kill()
    process.wait()

    def refuse() -> Invitation:
        raise AssertionError("asked for a token")

    children.append(embedded.ensure_agent(home, "fleet", refuse, commands=COMMANDS))
    assert children[1] is not None


def test_an_agent_of_another_fleet_is_enrolled_again(
    home: Home, children: list[subprocess.Popen[bytes] | None]
) -> None:
    identity = home.agent_dir / "identity"
    identity.mkdir()
    (identity / "enrollment.json").write_text('{"fleet_id": "another"}')
    children.append(embedded.ensure_agent(home, "fleet", invite, commands=COMMANDS))
    assert '"replace": "True"' in (identity / "enrollment.json").read_text()


def test_an_enrolment_that_fails_shows_what_it_said(home: Home) -> None:
    commands = replace(COMMANDS, enroll=lambda *_: python(FAILING))
    with pytest.raises(UnreachableError, match="no such thing as a free port"):
        embedded.ensure_agent(home, "fleet", invite, commands=commands)


def test_an_agent_that_ends_at_once_shows_what_it_said(home: Home) -> None:
    commands = replace(COMMANDS, agent=lambda _: python(FAILING))
    with pytest.raises(UnreachableError, match="ended with code 3"):
        embedded.ensure_agent(home, "fleet", invite, commands=commands)


def test_waiting_ends_when_both_have_let_go(
    home: Home, children: list[subprocess.Popen[bytes] | None]
) -> None:
    running = embedded.ensure_controller(home, commands=COMMANDS)
    children += [running.process, embedded.ensure_agent(home, "fleet", invite, commands=COMMANDS)]
    assert not embedded.wait_until_gone(home, deadline_s=0.0)
    for process in children:
        assert process is not None
        process.kill()
        process.wait()
    assert embedded.wait_until_gone(home, deadline_s=5.0)


def test_a_process_that_has_let_its_lock_go_is_still_waited_for(
    home: Home, children: list[subprocess.Popen[bytes] | None]
) -> None:
    code = "import signal; print('ready', flush=True); signal.pause()"
    ending = subprocess.Popen(python(code, str(home.root)), stdout=subprocess.PIPE)
    children.append(ending)
    assert ending.stdout is not None
    with ending.stdout as ready:
        ready.readline()
    assert not embedded.wait_until_gone(home, [ending.pid], deadline_s=0.0)
    ending.kill()
    ending.wait()
    assert embedded.wait_until_gone(home, [ending.pid], deadline_s=5.0)
