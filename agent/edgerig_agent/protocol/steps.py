"""How each setting of a device is read, set and put back. Standard library only.

Runs in the settings helper, which may have rights that nothing else of edgerig
has. A step therefore takes validated words and numbers, never a path or a
command: which file or program they mean is decided here.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgerig_agent.probes.base import places, read_text
from edgerig_agent.protocol.clocks import clock_files, governor_files
from edgerig_agent.protocol.power_mode import NVPMODEL, PLATFORM, read_power_mode

POWER_MODE, JETSON_CLOCKS, GPU_CLOCKS, CPU_GOVERNOR = (
    "power_mode",
    "jetson_clocks",
    "gpu_clocks",
    "cpu_governor",
)
# The order of setting; put back in reverse. A power mode changes the limits that clocks are pinned in.
ORDER = (POWER_MODE, CPU_GOVERNOR, JETSON_CLOCKS, GPU_CLOCKS)
# What a restart of the device puts back by itself: nvpmodel alone remembers its mode.
LOST_AT_BOOT = frozenset({CPU_GOVERNOR, JETSON_CLOCKS, GPU_CLOCKS})

_PROGRAM_S = 60.0
# What nvpmodel says before it asks whether to restart now.
_RESTART_ASKED = b"Reboot required"
_MAX_CLOCK_MHZ = 10_000


class SettingError(Exception):
    """A setting cannot be set or put back; `hint` is the next command."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class RestartNeededError(SettingError):
    """The device takes the setting only with a restart."""


@dataclass(frozen=True)
class Place:
    """Where settings are applied: the folder that stands for `/`, and one to keep files in."""

    root: str
    state: Path


@dataclass(frozen=True)
class Step:
    """One setting: reads what is now, sets what is asked, puts back what was."""

    # Returns what `put_back` needs, as plain JSON. Changes nothing. Raises SettingError.
    before: Callable[[Place, Any], Any]
    # Raises SettingError where the setting did not take.
    apply: Callable[[Place, Any], None]
    put_back: Callable[[Place, Any], None]
    # Words for a person, of what `before` returned and of what is asked.
    words: Callable[[Any], str]
    asked_words: Callable[[Any], str] = str


def _power_before(place: Place, asked: str) -> dict[str, Any]:
    mode = read_power_mode(place.root)
    if not mode.kind:
        raise SettingError(
            "this device has no power modes", "remove power_mode from the study, or choose other devices"
        )
    if mode.find(asked) is None:
        known = ", ".join(mode.modes) or "none that edgerig can read"
        raise SettingError(
            f"there is no power mode {asked!r}; known are {known}", "sudo nvpmodel -p --verbose"
        )
    if not mode.name:
        raise SettingError("the present power mode cannot be read", "sudo nvpmodel -q")
    return {"mode": mode.name, "changes": mode.find(asked) != mode.name}


def _power_apply(place: Place, asked: str) -> None:
    mode = read_power_mode(place.root)
    if mode.find(asked) != mode.name:
        _set_power(place, asked)


def _set_power(place: Place, asked: str) -> None:
    mode = read_power_mode(place.root)
    wanted = mode.find(asked)
    if wanted is None:
        raise SettingError(f"there is no power mode {asked!r}", "sudo nvpmodel -p --verbose")
    if mode.kind == PLATFORM:
        _write(f"{place.root.rstrip('/')}/sys/firmware/acpi/platform_profile", wanted)
    else:
        _set_nvpmodel(mode.modes[wanted], wanted)
    now = read_power_mode(place.root).name
    if now != wanted:
        raise SettingError(
            f"the power mode is still {now} after it was set to {wanted}; it may need a restart",
            f"sudo nvpmodel -m {mode.modes[wanted]}" if mode.kind == NVPMODEL else "dmesg | tail",
        )


def _set_nvpmodel(number: int, name: str) -> None:
    """Sets a mode that holds at once; asked for a restart, nvpmodel gets no answer and changes nothing."""
    command = ["nvpmodel", "-m", str(number)]
    ended = _ended(command)
    if _RESTART_ASKED in ended.stdout + ended.stderr:
        raise RestartNeededError(
            f"the power mode {name} needs a restart of the device", f"sudo {' '.join(command)}"
        )
    _check_exit(command, ended)


def stay_in(place: Place, asked: str, *, restart: bool) -> None:
    """Sets a power mode that is not put back; with `restart` nvpmodel, which asks for one, is told yes.

    Returns before the device goes down.

    Raises:
        RestartNeededError: the mode needs a restart and none is wanted.
        SettingError: there is no such mode, or nvpmodel refuses.
    """
    mode = read_power_mode(place.root)
    wanted = mode.find(asked)
    if mode.kind != NVPMODEL or wanted is None or not restart:
        _set_power(place, asked)
        return
    command = ["nvpmodel", "-m", str(mode.modes[wanted])]
    _check_exit(command, _ended(command, b"yes\n"))


def _power_back(place: Place, before: Any) -> None:
    # Also where the old mode still shows: nvpmodel may have been killed with half of its work done.
    if before["changes"]:
        _set_power(place, str(before["mode"]))


def _governor_before(place: Place, asked: str) -> dict[str, str]:
    files = governor_files(places(place.root))
    if not files:
        raise SettingError(
            "this device shows no frequency governor", "remove cpu_governor from the settings of the study"
        )
    for name, path in files.items():
        known = read_text(path.replace("scaling_governor", "scaling_available_governors")).split()
        if known and asked not in known:
            raise SettingError(f"{name} has no governor {asked!r}; known are {', '.join(known)}", "")
    return {name: read_text(path) for name, path in files.items()}


def _governor_apply(place: Place, asked: str) -> None:
    _set_governors(place, dict.fromkeys(governor_files(places(place.root)), asked))


def _set_governors(place: Place, wanted: dict[str, str]) -> None:
    files = governor_files(places(place.root))
    for name, governor in wanted.items():
        # Names come from the record; only those that this device shows are written to.
        if name in files and read_text(files[name]) != governor:
            _write(files[name], governor)
            if read_text(files[name]) != governor:
                raise SettingError(f"{name} did not take the governor {governor!r}", "dmesg | tail")


def _governor_back(place: Place, before: Any) -> None:
    _set_governors(place, {str(name): str(governor) for name, governor in dict(before).items()})


def _clocks_before(place: Place, _asked: bool) -> dict[str, str]:
    store = _clock_store(place)
    # It asks before it replaces a file, and nobody is there to answer.
    store.unlink(missing_ok=True)
    _run(["jetson_clocks", "--store", str(store)])
    if not store.is_file():
        raise SettingError("jetson_clocks stored nothing", "sudo jetson_clocks --show")
    return {"stored": store.name}


def _clocks_apply(place: Place, _asked: bool) -> None:
    _run(["jetson_clocks"])
    at = places(place.root)
    moving = [name for name, low, high in clock_files(at) if read_text(low) != read_text(high)]
    if moving:
        raise SettingError(f"jetson_clocks left {', '.join(moving)} unpinned", "sudo jetson_clocks --show")


def _clocks_back(place: Place, _before: Any) -> None:
    store = _clock_store(place)
    if not store.is_file():
        raise SettingError(f"the stored clocks {store} are gone", "restart the device")
    _run(["jetson_clocks", "--restore", str(store)])
    store.unlink(missing_ok=True)


def _clock_store(place: Place) -> Path:
    return place.state / "jetson_clocks.store"


def _gpu_before(_place: Place, asked: int) -> dict[str, str]:
    if not 0 < asked <= _MAX_CLOCK_MHZ:
        raise SettingError(f"{asked} MHz is no clock of a GPU", "nvidia-smi -q -d SUPPORTED_CLOCKS")
    # No interface tells which clocks are locked; what a person locked before is not known.
    return {"locked": "unknown"}


def _gpu_apply(_place: Place, asked: int) -> None:
    _run(["nvidia-smi", f"--lock-gpu-clocks={asked},{asked}"])


def _gpu_back(_place: Place, _before: Any) -> None:
    _run(["nvidia-smi", "--reset-gpu-clocks"])


STEPS: dict[str, Step] = {
    POWER_MODE: Step(_power_before, _power_apply, _power_back, lambda before: str(before["mode"])),
    CPU_GOVERNOR: Step(
        _governor_before,
        _governor_apply,
        _governor_back,
        lambda before: ",".join(sorted(set(before.values()))),
    ),
    JETSON_CLOCKS: Step(
        _clocks_before, _clocks_apply, _clocks_back, lambda _before: "as stored", lambda _asked: "pinned"
    ),
    GPU_CLOCKS: Step(
        _gpu_before, _gpu_apply, _gpu_back, lambda _before: "unknown", lambda asked: f"{asked} MHz"
    ),
}


def _run(command: list[str]) -> None:
    _check_exit(command, _ended(command))


def _ended(command: list[str], told: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs a program to its end; it reads `told` and then the end of its input."""
    try:
        return subprocess.run(command, input=told, capture_output=True, timeout=_PROGRAM_S, check=False)
    except FileNotFoundError as error:
        raise SettingError(f"{command[0]} is not on this device", f"which {command[0]}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise SettingError(f"{' '.join(command)} did not end well: {error}", " ".join(command)) from error


def _check_exit(command: list[str], ended: subprocess.CompletedProcess[bytes]) -> None:
    if ended.returncode != 0:
        said = (ended.stderr or ended.stdout).decode("utf-8", "replace").strip().splitlines()[-1:]
        reason = said[0][:300] if said else "it gave no reason"
        raise SettingError(
            f"{' '.join(command)} ended with {ended.returncode}: {reason}", f"sudo {' '.join(command)}"
        )


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise SettingError(f"{path} cannot be written: {error.strerror}", f"ls -l {path}") from error
