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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerig.errors import DeviceError
from edgerig.v1.trial_pb2 import DeviceSettings
from edgerig_agent.protocol import steps
from edgerig_agent.protocol.helper import IN_USE
from edgerig_agent.protocol.record import RECORD, SHARED_STATE

# A power mode takes seconds, four settings with a stuck program four times sixty.
_ANSWER_S = 300.0
_HELPER = ("-m", "edgerig_agent.protocol.helper")


@dataclass(frozen=True)
class Applied:
    """One setting that was changed, in words."""

    name: str
    before: str
    during: str


class _Helper:
    """The helper's process: one line in, one line out, and a last one when its input ends."""

    def __init__(self, command: list[str]) -> None:
        try:
            self._process = subprocess.Popen(
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
        assert self._process.stdin is not None and self._process.stdout is not None
        self._into, self._out = self._process.stdin, self._process.stdout

    @property
    def exit_code(self) -> int | None:
        """None while it lives."""
        return self._process.poll()

    def ask(self, document: dict[str, Any]) -> dict[str, Any]:
        """Sends a request and returns the answer. Raises DeviceError where none comes."""
        # One that has ended has said why, and that is read below.
        with suppress(BrokenPipeError):
            self._into.write(json.dumps(document).encode() + b"\n")
            self._into.flush()
        return self._answer()

    def end(self) -> dict[str, Any]:
        """Ends the input, and returns the last answer once it has ended. Raises DeviceError."""
        with suppress(BrokenPipeError):
            self._into.close()
        try:
            answer = self._answer()
            self._process.wait(_ANSWER_S)
            return answer
        except subprocess.TimeoutExpired as error:
            raise DeviceError("the settings helper does not end") from error
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends it by force where it lives still; what it noted stays."""
        with suppress(BrokenPipeError):
            self._into.close()
        self._process.kill()
        self._process.wait()
        self._out.close()

    def _answer(self) -> dict[str, Any]:
        ready, _, _ = select.select([self._out], [], [], _ANSWER_S)
        line = self._out.readline() if ready else b""
        try:
            document = json.loads(line)
        except ValueError as error:
            reason = "answered with something else" if line else "did not answer"
            raise DeviceError(
                f"the settings helper {reason}; setting the device needs root or a rule for sudo",
                hint="sudo -n true; see docs/how-to/doctor.md",
            ) from error
        return document if isinstance(document, dict) else {}


class HeldSettings:
    """Settings that are in force until `put_back`."""

    def __init__(self, helper: _Helper, home: Path, applied: tuple[Applied, ...]) -> None:
        self._helper = helper
        self._home = home
        self.applied = applied

    def put_back(self) -> str:
        """Has everything put back; returns what could not be, '' for nothing. May be called once."""
        try:
            answer = self._helper.end()
        except DeviceError:
            # It was killed; what it had noted is still there.
            return restore_stale(self._home)
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
    helper = _Helper(_command(home))
    try:
        answer = helper.ask({"root": root, "settings": request})
    except DeviceError:
        helper.kill()
        raise
    if answer.get("ok"):
        return HeldSettings(helper, home, tuple(Applied(**one) for one in answer["applied"]))
    problem = f"the device is not set as the trial asks: {answer.get('problem', 'no reason given')}"
    if left := HeldSettings(helper, home, ()).put_back():
        problem = f"{problem}; and not put back: {left}"
    raise DeviceError(problem, hint=str(answer.get("hint", "")))


def ask_once(request: dict[str, Any], home: Path) -> dict[str, Any]:
    """Asks the helper for one thing, ends it, and returns its answer. Raises DeviceError without one."""
    helper = _Helper(_command(home))
    try:
        answer = helper.ask(request)
    except DeviceError:
        helper.kill()
        raise
    HeldSettings(helper, home, ()).put_back()
    return answer


def restore_stale(home: Path) -> str:
    """Puts back what an attempt left that died together with its helper; returns what could not be.

    Does nothing where nothing was left, or where a living attempt holds its settings.
    """
    problems = []
    for state in (home, SHARED_STATE):
        if (state / RECORD).is_file():
            problems += _restore(_Helper([*_command(home)[:-1], str(state), "--restore"]))
    return "; ".join(problems)


def _restore(helper: _Helper) -> list[str]:
    try:
        answer = helper.end()
    except DeviceError as error:
        return [error.message]
    if helper.exit_code == IN_USE:
        return []
    problems = [str(problem) for problem in answer.get("failed", ())]
    return [*problems, str(answer["problem"])] if answer.get("problem") else problems


def _command(home: Path) -> list[str]:
    if os.geteuid() == 0:
        return [sys.executable, *_HELPER, str(home)]
    # -n: a password is never asked for. The rule for sudoers is in docs/how-to/doctor.md.
    return ["sudo", "-n", sys.executable, "-I", *_HELPER, str(SHARED_STATE)]
