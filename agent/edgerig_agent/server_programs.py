"""Which programs a trial may have started as its server: those that this device's agent.json lists.

A study comes from elsewhere and may name any command. Nothing of it runs unless the
person who looks after the device has allowed the program, by its absolute path, and each
environment variable that the study wants to set. Knows nothing of what the programs do.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerig.errors import UsageError
from edgerig.v1.trial_pb2 import Trial

KIND = "server"
PROGRAMS = "server_programs"
ENVIRONMENT = "server_environment"
_MAX_SETTINGS_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Allowed:
    """Absolute paths of programs, and names of environment variables."""

    programs: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()


def allowed_programs(home: Path) -> Allowed:
    """Returns what the home's agent.json allows, nothing without such a file.

    Raises:
        UsageError: the file cannot be understood, or a list holds something else than texts.
    """
    path = home / "agent.json"
    hint = f"python -m json.tool {path}"
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_SETTINGS_BYTES))
    except FileNotFoundError:
        return Allowed()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}", hint=hint) from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} is no JSON object", hint=hint)
    programs = _texts(document, PROGRAMS, path, hint)
    relative = [program for program in programs if not os.path.isabs(program)]  # noqa: PTH117 - texts
    if relative:
        raise UsageError(f"{PROGRAMS} in {path}: {relative[0]!r} is no absolute path", hint=hint)
    return Allowed(programs, _texts(document, ENVIRONMENT, path, hint))


def permitted_program(trial: Trial, home: Path) -> Path | None:
    """Returns the program that stands for the first word of the trial's command; None where it starts none.

    The word is the path of an allowed program, or the name of exactly one of them.

    Raises:
        UsageError: the device does not allow it, or a variable that the command is to be given.
    """
    engine = trial.engine
    if engine.kind != KIND:
        return None
    if not engine.command or not engine.command[0]:
        raise UsageError(f"engine {engine.name!r} has no command", hint="give it one in the study file")
    wanted, allowed = engine.command[0], allowed_programs(home)
    found = [one for one in allowed.programs if wanted in (one, Path(one).name)]
    if len(found) != 1:
        listed = ", ".join(allowed.programs) or "none"
        why = "is that of several programs" if found else "is not among the programs"
        raise UsageError(
            f"the study wants to start {wanted!r} on this device, which {why} that it allows ({listed})",
            hint=f'add its absolute path to "{PROGRAMS}" in {home / "agent.json"}',
        )
    strange = sorted(set(engine.environment) - set(allowed.environment))
    if strange:
        raise UsageError(
            f"the study wants to set {', '.join(strange)} for {wanted!r}, which this device does not allow",
            hint=f'add them to "{ENVIRONMENT}" in {home / "agent.json"}',
        )
    return Path(found[0])


def _texts(document: dict[str, Any], key: str, path: Path, hint: str) -> tuple[str, ...]:
    values = document.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise UsageError(f"{key} in {path} is no list of texts", hint=hint)
    return tuple(values)
