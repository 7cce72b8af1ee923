"""Power modes that take a restart: whether a trial needs one, and having it done.

    python -m edgerig_agent.protocol.restart FOLDER [--go]

Prints one JSON line {"needs_restart", "mode", "problem"}. Run by the daemon before
an attempt begins, so that nothing has run when the device goes down. A device
that was restarted into a mode stays in it until a trial asks for another or for
none; `restart_mode.json` of the agent's home says what it was like before, and is
there exactly as long as it is away from that.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgerig.errors import DeviceError, EdgerigError
from edgerig_agent import attempt_files as files
from edgerig_agent.environment import Environment
from edgerig_agent.probes.base import places
from edgerig_agent.protocol.conditions import read_clock_limits, read_governor
from edgerig_agent.protocol.power_mode import read_power_mode
from edgerig_agent.protocol.record import RESTART_RECORD
from edgerig_agent.protocol.settings import ask_once, restore_stale


@dataclass(frozen=True)
class Usual:
    """What a restart into another mode changes, as it was before the first: the mode, and its clocks."""

    power_mode: str
    governor: str
    clock_limits: tuple[str, ...]
    cpu_count: int


@dataclass(frozen=True)
class Need:
    """The mode that a trial is to run in ('' = any), and what stands in the way."""

    mode: str = ""
    needs_restart: bool = False
    problem: str = ""


def usual(home: Path) -> Usual | None:
    """Returns what a device is like that was restarted away from it; None where it was not."""
    try:
        document = json.loads((home / RESTART_RECORD).read_bytes())
        return Usual(
            str(document["power_mode"]),
            str(document["governor"]),
            tuple(str(one) for one in document["clock_limits"]),
            int(document["cpu_count"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def as_usual(environment: Environment, home: Path) -> Environment:
    """Returns an environment as it is without the mode that a trial had the device restarted into."""
    before = usual(home)
    if before is None:
        return environment
    return replace(
        environment,
        power_mode=before.power_mode,
        governor=before.governor,
        clock_limits=before.clock_limits,
        cpu_count=before.cpu_count,
    )


def needed(asked: str, home: Path, root: str) -> Need:
    """Finds out whether a trial that asks for this mode needs a restart; only nvpmodel itself knows.

    A mode that holds at once is put back, except where the device is away from
    its usual one: then it stays, since to put it back would take a restart.

    Raises:
        DeviceError: the settings helper cannot be run.
    """
    mode = read_power_mode(root)
    before = usual(home)
    wanted = mode.find(asked) if asked else (before.power_mode if before is not None else "")
    if wanted and wanted != mode.name:
        request: dict[str, Any] = {"root": root}
        request |= {"settings": {"power_mode": wanted}} if before is None else {"stay_in": wanted}
        answer = ask_once(request, home)
        if answer.get("needs_restart"):
            return Need(wanted, needs_restart=True)
        if not answer.get("ok"):
            return Need(wanted, problem=str(answer.get("problem", "no reason given")))
    if before is not None and wanted == before.power_mode:
        (home / RESTART_RECORD).unlink(missing_ok=True)
    return Need(wanted or "")


def restart(mode: str, home: Path, root: str) -> None:
    """Notes what the device is like and has it restarted into a mode; returns before it goes down.

    Raises:
        DeviceError: it cannot be restarted.
        StorageError: the disk refuses.
    """
    restore_stale(home)
    if usual(home) is None:
        at = places(root)
        document = {
            "power_mode": read_power_mode(root).name,
            "governor": read_governor(at),
            "clock_limits": [limits.words() for limits in read_clock_limits(at)],
            "cpu_count": os.cpu_count() or 1,
        }
        files.write_durably(home / RESTART_RECORD, json.dumps(document).encode())
    answer = ask_once({"root": root, "stay_in": mode, "restart": True}, home)
    if not answer.get("ok"):
        raise DeviceError(str(answer.get("problem", "the settings helper gave no reason")))


def main(argv: list[str] | None = None) -> int:
    """Says whether the trial of an attempt folder needs a restart; with --go restarts."""
    parser = argparse.ArgumentParser(
        prog="python -m edgerig_agent.protocol.restart", description=main.__doc__
    )
    parser.add_argument("folder", type=Path, help="attempt folder with trial.json and attempt.json")
    parser.add_argument("--go", action="store_true", help="restart the device where it needs one")
    arguments = parser.parse_args(argv)
    try:
        settings = files.read_settings(arguments.folder)
        home = Path(settings.home)
        asked = files.read_trial(arguments.folder).settings.power_mode
        need = needed(asked, home, settings.sysfs_root)
        if need.needs_restart and arguments.go:
            restart(need.mode, home, settings.sysfs_root)
    except EdgerigError as error:
        need = Need(problem=error.message)
    answer = {"needs_restart": need.needs_restart, "mode": need.mode, "problem": need.problem}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
