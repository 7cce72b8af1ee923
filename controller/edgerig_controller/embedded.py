"""Finds the controller and the local agent of a data folder, or starts them as detached processes.

They are the same programs that a fleet runs, over loopback with real mTLS;
nothing here is a special path but the starting. Two commands that start at
the same time agree through a start lock. Knows nothing of studies.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgerig.errors import StorageError, TimeoutExceededError, UnreachableError
from edgerig_controller import home as homes
from edgerig_controller.home import Endpoint, Home

LOCAL_DEVICE = "local"
START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 30.0
ENROLL_DEADLINE_S = 60.0
_PAUSE_S = 0.05
_TAIL_LINES = 15
_TAIL_BYTES = 16 * 1024

Pause = Callable[[float], None]


@dataclass(frozen=True)
class Invitation:
    """What a new device needs to enroll: a one-time token and where to present it."""

    token: str
    ca_spki_sha256: str
    enroll_address: str
    agents_address: str


@dataclass(frozen=True)
class Running:
    """A controller that answers, and whether this call started it."""

    endpoint: Endpoint
    # Kept so that a child that ends is reaped by whoever started it.
    process: subprocess.Popen[bytes] | None

    @property
    def started(self) -> bool:
        return self.process is not None


@dataclass(frozen=True)
class Commands:
    """How the programs are started; tests put others in their place."""

    controller: Callable[[Home], Sequence[str]]
    enroll: Callable[[Home, Invitation, bool], Sequence[str]]
    agent: Callable[[Home], Sequence[str]]


def _controller_command(home: Home) -> Sequence[str]:
    return [sys.executable, "-m", "edgerig_controller.serve", "--data", str(home.root), "--embedded"]


def _enroll_command(home: Home, invitation: Invitation, replace: bool) -> Sequence[str]:
    command = [
        *(sys.executable, "-m", "edgerig_agent.cli", "enroll"),
        *("--home", str(home.agent_dir)),
        *("--controller", invitation.enroll_address),
        *("--agents", invitation.agents_address),
        *("--device-id", LOCAL_DEVICE),
        *("--ca-sha256", invitation.ca_spki_sha256),
        *("--ca-file", str(home.ca_dir / "ca.pem")),
    ]
    return [*command, "--replace"] if replace else command


def _agent_command(home: Home) -> Sequence[str]:
    return [sys.executable, "-m", "edgerig_agent.cli", "run", "--home", str(home.agent_dir), "--embedded"]


PROGRAMS = Commands(_controller_command, _enroll_command, _agent_command)


def find_controller(home: Home) -> Endpoint | None:
    """Returns the addresses of the controller that holds this data folder, or None."""
    return homes.read_endpoint(home)


def ensure_controller(home: Home, *, commands: Commands = PROGRAMS, pause: Pause = time.sleep) -> Running:
    """Finds the running controller, or starts an embedded one and waits until it listens.

    Raises:
        UnreachableError: the new process ended; the message shows the end of its log. Or the store is a
            database that controllers share: those are services.
        TimeoutExceededError: it did not listen within START_DEADLINE_S.
        StorageError: the data folder cannot be used.
    """
    endpoint = homes.read_endpoint(home)
    if endpoint is not None:
        return Running(endpoint, None)
    if home.database:
        raise UnreachableError(
            f"no controller runs for the data folder {home.root}, whose store is on a server",
            hint=f"edgerig serve --data {home.root}",
        )
    homes.prepare(home)
    with _start_lock(home):
        return _start_controller(home, commands, pause)


def ensure_agent(
    home: Home,
    fleet_id: str,
    invite: Callable[[], Invitation],
    *,
    commands: Commands = PROGRAMS,
    pause: Pause = time.sleep,
) -> subprocess.Popen[bytes] | None:
    """Sees to it that the local agent is enrolled and runs; returns the process if it was started.

    `invite` asks the controller for a token; it is called only for a new
    enrolment.

    Raises:
        UnreachableError: enrolment or the agent failed; the message shows what it said.
        TimeoutExceededError: the agent did not take its lock in time.
    """
    with _start_lock(home):
        if agent_pid(home) is not None:
            return None
        enrolled = _enrolled_fleet(home)
        if enrolled != fleet_id:
            _enroll(home, invite(), commands, replace=enrolled is not None)
        log = home.logs_dir / "agent.out"
        process = _spawn(commands.agent(home), home, log)
        _wait_for_agent(home, process, log, pause)
        return process


def agent_pid(home: Home) -> int | None:
    """Returns the process id of the local agent's daemon while it runs."""
    path = home.agent_dir / "agent.lock"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid_in(path)
    finally:
        os.close(descriptor)
    return None


def pids(home: Home) -> tuple[int, ...]:
    """Returns the processes that hold the locks of controller and local agent."""
    return tuple(pid for pid in (homes.holder(home), agent_pid(home)) if pid is not None)


def wait_until_gone(
    home: Home,
    processes: Sequence[int] = (),
    *,
    pause: Pause = time.sleep,
    deadline_s: float = STOP_DEADLINE_S,
) -> bool:
    """Waits until both locks are free and these processes have ended; False when time ran out.

    A process lets its lock go shortly before it ends: who promises that none
    is left behind passes what `pids` said before.
    """
    end_s = time.monotonic() + deadline_s
    while pids(home) or any(_works_on(home, pid) for pid in processes):
        if time.monotonic() > end_s:
            return False
        pause(_PAUSE_S)
    return True


def _works_on(home: Home, pid: int) -> bool:
    """Says whether this process is still one of the data folder."""
    # Ids are reused, and a zombie's command line is empty.
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return os.fsencode(home.root) in words


def _start_controller(home: Home, commands: Commands, pause: Pause) -> Running:
    log = home.logs_dir / "controller.out"
    process: subprocess.Popen[bytes] | None = None
    deadline_s = time.monotonic() + START_DEADLINE_S
    while True:
        endpoint = homes.read_endpoint(home)
        if endpoint is not None:
            return Running(endpoint, process)
        if process is not None and process.poll() is not None:
            raise UnreachableError(
                f"the controller ended with code {process.returncode}:\n{_tail(log)}", hint=f"less {log}"
            )
        # A lock without an endpoint is held by a controller that starts or ends.
        if process is None and homes.holder(home) is None:
            process = _spawn(commands.controller(home), home, log)
        if time.monotonic() > deadline_s:
            if process is not None:
                process.terminate()
            raise TimeoutExceededError(
                f"the controller did not start within {START_DEADLINE_S:.0f} s:\n{_tail(log)}",
                hint=f"less {log}",
            )
        pause(_PAUSE_S)


def _wait_for_agent(home: Home, process: subprocess.Popen[bytes], log: Path, pause: Pause) -> None:
    deadline_s = time.monotonic() + START_DEADLINE_S
    # The pid in the file, not the lock, is looked at: trying the lock
    # would make the agent believe that another one holds it.
    while _pid_in(home.agent_dir / "agent.lock") != process.pid:
        if process.poll() is not None:
            raise UnreachableError(
                f"the local agent ended with code {process.returncode}:\n{_tail(log)}", hint=f"less {log}"
            )
        if time.monotonic() > deadline_s:
            process.terminate()
            raise TimeoutExceededError(
                f"the local agent did not start within {START_DEADLINE_S:.0f} s:\n{_tail(log)}",
                hint=f"less {log}",
            )
        pause(_PAUSE_S)


def _enroll(home: Home, invitation: Invitation, commands: Commands, *, replace: bool) -> None:
    command = commands.enroll(home, invitation, replace)
    try:
        done = subprocess.run(
            command,
            # The token goes through the pipe: arguments can be read by every user of the machine.
            input=invitation.token + "\n",
            capture_output=True,
            text=True,
            timeout=ENROLL_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutExceededError(
            f"the local agent did not enroll within {ENROLL_DEADLINE_S:.0f} s", hint=f"less {home.log_path}"
        ) from error
    if done.returncode != 0:
        raise UnreachableError(
            f"the local agent could not enroll: {done.stderr.strip() or done.stdout.strip()}",
            hint=f"less {home.log_path}",
        )


def _enrolled_fleet(home: Home) -> str | None:
    """Returns the fleet that the local agent belongs to, or None when it is not enrolled."""
    path = home.agent_dir / "identity" / "enrollment.json"
    try:
        return str(json.loads(path.read_text())["fleet_id"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        # A damaged identity is replaced; "" is the id of no fleet.
        return ""


def _spawn(command: Sequence[str], home: Home, log: Path) -> subprocess.Popen[bytes]:
    """Starts a process of its own session that keeps nothing of this terminal open."""
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("wb") as file:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=home.root,
            )
    except OSError as error:
        raise StorageError(
            f"{command[0]} cannot be started: {error.strerror}", hint=f"look at {log.parent}"
        ) from error


@contextlib.contextmanager
def _start_lock(home: Home) -> Iterator[None]:
    """Lets one command at a time look and start; the others wait for it."""
    path = home.root / "start.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _pid_in(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() else None


def _tail(path: Path) -> str:
    """Returns the last lines of a log, for a message."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError as error:
        return f"({path} cannot be read: {error.strerror})"
    return "\n".join(lines[-_TAIL_LINES:]) or f"({path} is empty)"
