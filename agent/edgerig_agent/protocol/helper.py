"""The one program of edgerig that changes a device: `python -m edgerig_agent.protocol.helper STATE`.

Reads one JSON line {"root", "settings": {name: value}} from standard input, sets
what it names and answers with one JSON line; then waits. When its input ends,
also because the attempt died, it puts everything back, answers once more and
ends. Before each change it notes durably in STATE what was; after its own death
`STATE --restore`, or the next run, puts that back. The line {"root", "stay_in": MODE,
"restart": true} instead sets a power mode for good, by a restart of the device where it takes one.

A process in a session of its own, deaf to Ctrl-C, with nothing but the standard
library: it may run through sudo while the agent does not. Then STATE must be
root's own, because what is noted there is acted upon.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import sys
from pathlib import Path
from typing import Any

from edgerig import durable
from edgerig_agent.protocol.record import RECORD
from edgerig_agent.protocol.steps import (
    LOST_AT_BOOT,
    ORDER,
    POWER_MODE,
    STEPS,
    Place,
    RestartNeededError,
    SettingError,
    stay_in,
)

LOCK = "settings.lock"
# Another helper holds the lock: an attempt lives, and its settings are its own.
IN_USE = 3

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAX_LINE_BYTES = 64 * 1024


class Record:
    """What was before each change, on disk before the change is made."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._path = state / RECORD
        self.steps: list[dict[str, Any]] = []
        self.root = "/"
        self.boot_id = ""
        self._load()

    def add(self, name: str, before: Any, root: str) -> None:
        """Notes what was; durable when this returns. Raises OSError."""
        self.root, self.boot_id = root, _BOOT_ID.read_text().strip()
        self.steps.append({"name": name, "before": before})
        self._write()

    def remove(self, step: dict[str, Any]) -> None:
        """Forgets a note that was acted upon."""
        self.steps.remove(step)
        self._write()

    def _load(self) -> None:
        try:
            document = json.loads(self._path.read_bytes())
            steps = [dict(step) for step in document["steps"] if step["name"] in STEPS]
            self.steps, self.root, self.boot_id = steps, str(document["root"]), str(document["boot_id"])
        except (OSError, ValueError, KeyError, TypeError):
            return

    def _write(self) -> None:
        if not self.steps:
            self._path.unlink(missing_ok=True)
            durable.sync(self._state)
            return
        document = {"boot_id": self.boot_id, "root": self.root, "steps": self.steps}
        durable.replace(self._path, json.dumps(document).encode())


def put_back(state: Path, record: Record) -> tuple[list[str], list[str]]:
    """Puts back what the record says, the newest first; returns what was and what could not be.

    A restart has put some settings back already; they are only forgotten.
    """
    restored: list[str] = []
    failed: list[str] = []
    same_boot = record.boot_id == _BOOT_ID.read_text().strip()
    for step in reversed(record.steps.copy()):
        name = step["name"]
        try:
            if same_boot or name not in LOST_AT_BOOT:
                STEPS[name].put_back(Place(record.root, state), step["before"])
        except (SettingError, OSError, KeyError, TypeError, ValueError) as error:
            # Stays noted, and is tried again at the next start.
            failed.append(f"{name}: {error}")
            continue
        restored.append(name)
        record.remove(step)
    return restored, failed


def main(argv: list[str]) -> int:
    """Serves one attempt, or with `--restore` puts back what a dead helper left."""
    state = Path(argv[0])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Nobody may be left to read the last answer.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        if "SUDO_UID" in os.environ:
            _check_state(state)
        lock = _lock(state)
    except (SettingError, OSError) as error:
        _answer({"ok": False, "problem": str(error), "hint": getattr(error, "hint", "")})
        return 1
    if lock is None:
        _answer({"ok": False, "problem": f"other settings are in force ({state / LOCK} is held)", "hint": ""})
        return IN_USE
    record = Record(state)
    restored, failed = put_back(state, record)
    if "--restore" in argv[1:]:
        _answer({"ok": not failed, "restored": restored, "failed": failed})
        return 1 if failed else 0
    if failed:
        # What was there before is known only as long as nothing new is set and noted.
        problem = f"what an earlier attempt set could not be put back: {'; '.join(failed)}"
        _answer({"ok": False, "problem": problem, "hint": "restart the device"})
        return 1
    return _serve(state, record)


def _serve(state: Path, record: Record) -> int:
    line = sys.stdin.readline(_MAX_LINE_BYTES)
    try:
        request = json.loads(line)
        if "stay_in" in request:
            _check_root(str(request["root"]))
            place = Place(str(request["root"]), state)
            stay_in(place, str(request["stay_in"]), restart=bool(request.get("restart")))
        applied = _apply(state, record, str(request["root"]), dict(request.get("settings", {})))
        _answer({"ok": True, "applied": applied})
    except (SettingError, OSError, ValueError, KeyError, TypeError) as error:
        needs_restart = isinstance(error, RestartNeededError)
        if needs_restart:
            # The mode was not changed: to put it back would only have nvpmodel ask again.
            for step in [step for step in record.steps if step["name"] == POWER_MODE]:
                record.remove(step)
        hint = getattr(error, "hint", "")
        _answer({"ok": False, "problem": str(error), "hint": hint, "needs_restart": needs_restart})
    # The end of the input is the signal; whatever is said before it is passed over.
    while sys.stdin.readline(_MAX_LINE_BYTES):
        pass
    restored, failed = put_back(state, record)
    _answer({"ok": not failed, "restored": restored, "failed": failed})
    return 1 if failed else 0


def _apply(state: Path, record: Record, root: str, settings: dict[str, Any]) -> list[dict[str, str]]:
    unknown = set(settings) - set(STEPS)
    if unknown:
        raise SettingError(f"there is no setting {', '.join(sorted(unknown))}")
    _check_root(root)
    place = Place(root, state)
    applied = []
    for name in ORDER:
        if name in settings:
            before = STEPS[name].before(place, settings[name])
            record.add(name, before, root)
            STEPS[name].apply(place, settings[name])
            step, asked = STEPS[name], settings[name]
            applied.append({"name": name, "before": step.words(before), "during": step.asked_words(asked)})
    return applied


def _check_root(root: str) -> None:
    if "SUDO_UID" in os.environ and root != "/":
        raise SettingError("with sudo only the device itself is set")


def _lock(state: Path) -> int | None:
    """Takes the lock for the life of this process; None when another helper lives."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _check_state(state: Path) -> None:
    found = state.lstat()
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & 0o022
    if not private:
        raise SettingError(
            f"{state} must be a folder that only root may write to",
            f"sudo install -d -m 755 -o root {state}",
        )


def _answer(document: dict[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
