"""Has the settings of a trial set by the helper, and put back whatever happens.

This side holds no rights. It keeps a pipe to the helper open for as long as the
settings are to hold; when the attempt dies, the pipe ends with it and the
helper puts everything back at once.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerig.errors import DeviceError
from edgerig.v1.trial_pb2 import DeviceSettings
from edgerig_agent.protocol import steps
from edgerig_agent.protocol.helper import IN_USE, RECORD

# Of a helper that runs through sudo: only root may write there.
SHARED_STATE = Path("/var/lib/edgerig")
# A power mode takes seconds, four settings with a stuck program four times sixty.
_ANSWER_S = 300.0
_HELPER = ("-m", "edgerig_agent.protocol.helper")


@dataclass(frozen=True)
class Applied:
    """One setting that was changed, in words."""

    name: str
    before: str
    during: str


class HeldSettings:
    """Settings that are in force until `put_back`."""

    def __init__(self, process: subprocess.Popen[bytes], applied: tuple[Applied, ...]) -> None:
        self._process = process
        self.applied = applied

    def put_back(self) -> str:
        """Has everything put back; returns what could not be, '' for nothing. May be called once."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            answer = _answer(self._process)
        except DeviceError as error:
            return error.message
        return "; ".join(str(problem) for problem in answer.get("failed", ()))


def wanted(settings: DeviceSettings) -> dict[str, Any]:
    """Returns what a trial asks to be set, by the names of the helper; empty for nothing."""
    found: dict[str, Any] = {}
    if settings.power_mode:
        found[steps.POWER_MODE] = settings.power_mode
    if settings.jetson_clocks:
        found[steps.JETSON_CLOCKS] = True
    if settings.gpu_clock_mhz:
        found[steps.GPU_CLOCKS] = settings.gpu_clock_mhz
    if settings.cpu_governor:
        found[steps.CPU_GOVERNOR] = settings.cpu_governor
    return found


def hold(settings: DeviceSettings, home: Path, root: str) -> HeldSettings | None:
    """Sets what a trial asks for; None where it asks for nothing.

    Raises:
        DeviceError: a setting is not to be had here, or needs rights; all is put back then.
    """
    request = wanted(settings)
    if not request:
        return None
    process = _start(_command(home))
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps({"root": root, "settings": request}).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        # It has ended and said why.
        pass
    try:
        answer = _answer(process)
    except DeviceError:
        process.stdin.close()
        raise
    if answer.get("ok"):
        return HeldSettings(process, tuple(Applied(**one) for one in answer["applied"]))
    held = HeldSettings(process, ())
    problem = f"the device is not set as the trial asks: {answer.get('problem', 'no reason given')}"
    if process.poll() is None and (left := held.put_back()):
        problem = f"{problem}; and not put back: {left}"
    raise DeviceError(problem, hint=str(answer.get("hint", "")))


def restore_stale(home: Path) -> str:
    """Puts back what an attempt left that died together with its helper; returns what could not be.

    Does nothing where nothing was left, or where a living attempt holds its settings.
    """
    states = [state for state in (home, SHARED_STATE) if (state / RECORD).is_file()]
    problems = []
    for state in states:
        process = _start([*_command(home)[:-1], str(state), "--restore"])
        try:
            answer = _answer(process)
        except DeviceError as error:
            problems.append(error.message)
            continue
        finally:
            assert process.stdin is not None
            process.stdin.close()
        if process.wait(_ANSWER_S) == IN_USE:
            continue
        problems += [str(problem) for problem in answer.get("failed", ())]
        if answer.get("problem"):
            problems.append(str(answer["problem"]))
    return "; ".join(problems)


def _command(home: Path) -> list[str]:
    if os.geteuid() == 0:
        return [sys.executable, *_HELPER, str(home)]
    # -n: a password is never asked for. The rule for sudoers is in docs/how-to/doctor.md.
    return ["sudo", "-n", sys.executable, "-I", *_HELPER, str(SHARED_STATE)]


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Ctrl-C and the end of the attempt's group are not for it.
            start_new_session=True,
        )
    except OSError as error:
        raise DeviceError(
            f"settings need root, and {command[0]} cannot be started: {error}",
            hint="run the agent as root, or see docs/how-to/doctor.md",
        ) from error


def _answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Waits for one line of the helper. Raises DeviceError where none comes."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], _ANSWER_S)
    line = process.stdout.readline() if ready else b""
    try:
        document = json.loads(line)
    except ValueError as error:
        reason = "did not answer" if not line else "answered with something else"
        raise DeviceError(
            f"the settings helper {reason}; setting the device needs root or a rule for sudo",
            hint="sudo -n true; see docs/how-to/doctor.md",
        ) from error
    return document if isinstance(document, dict) else {}
