"""A Jetson's settings as a tree of files, with programs on PATH that change it as NVIDIA's do.

`nvpmodel`, `jetson_clocks` and `nvidia-smi` are real processes: they may be made
to hang, to refuse or to be killed. Each of them notes its calls in `calls`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.fakes.sysfs_tree import write

POLICIES = ("policy0", "policy4")
MODES = {0: ("MAXN", 1510400), 1: ("15W", 1190400), 2: ("7W", 729600)}
LOWEST_KHZ = 115200
# To it and from it only through a restart, as where a mode changes the processors that are online.
REBOOT_MODE = 2

_NVPMODEL = """#!{python}
import os, sys, time
sys.path[:0] = {path!r}
from tests.fakes.jetson_settings import nvpmodel
nvpmodel({root!r}, sys.argv[1:])
"""
_JETSON_CLOCKS = _NVPMODEL.replace("nvpmodel", "jetson_clocks")
_NVIDIA_SMI = _NVPMODEL.replace("nvpmodel", "nvidia_smi")


def make_tree(root: Path, *, mode: int = 0, governor: str = "schedutil") -> Path:
    """Makes an Orin-like tree: two clusters, a GPU, nvpmodel's configuration and status."""
    lines = [f"< POWER_MODEL ID={number} NAME={name} >" for number, (name, _) in MODES.items()]
    write(root / "etc/nvpmodel.conf", "\n".join(["# a comment", *lines]))
    for policy in POLICIES:
        base = root / "sys/devices/system/cpu/cpufreq" / policy
        write(base / "scaling_governor", governor)
        write(base / "scaling_available_governors", "performance schedutil powersave")
        write(base / "scaling_min_freq", LOWEST_KHZ)
    gpu = root / "sys/class/devfreq/17000000.ga10b"
    write(gpu / "min_freq", 306_000_000)
    write(gpu / "max_freq", 918_000_000)
    _set_mode(root, mode)
    return root


def make_programs(folder: Path, root: Path) -> Path:
    """Makes the programs that work on a tree and returns the folder for PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    path = [str(Path(__file__).parents[2])]
    for name, text in (
        ("nvpmodel", _NVPMODEL),
        ("jetson_clocks", _JETSON_CLOCKS),
        ("nvidia-smi", _NVIDIA_SMI),
    ):
        program = folder / name
        program.write_text(text.format(python=sys.executable, path=path, root=str(root)))
        program.chmod(0o755)
    return folder


def use_programs(folder: Path) -> None:
    """Puts the programs first on PATH, for this process and those it starts."""
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"


def calls(root: Path) -> list[list[str]]:
    """Returns the calls of the programs, in order."""
    path = root / "calls"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def settings(root: Path) -> dict[str, str]:
    """Returns every setting of the tree as it is now."""
    files = [root / "var/lib/nvpmodel/status", *sorted(root.glob("sys/**/*freq"))]
    files += sorted(root.glob("sys/**/scaling_governor"))
    return {str(path.relative_to(root)): path.read_text().strip() for path in files if path.is_file()}


def nvpmodel(root_text: str, arguments: list[str]) -> None:
    """Sets a mode, as `nvpmodel -m N` does; where that takes a restart it asks, and needs a yes.

    Its words are those of L4T 36. The device that goes down is the file `restarts`, a line for each.
    """
    root = Path(root_text)
    _note(root, ["nvpmodel", *arguments])
    number = int(arguments[arguments.index("-m") + 1])
    now = int((root / "var/lib/nvpmodel/status").read_text().split()[0].removeprefix("pmode:"))
    if number != now and REBOOT_MODE in (number, now):
        print("NVPM WARN: Golden image context is already created")
        print(f"NVPM WARN: Reboot required for changing to this power mode: {number}")
        print("NVPM WARN: DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:")
        if sys.stdin.readline().strip().lower() != "yes":
            print("NVPM ERROR: bad input!", file=sys.stderr)
            print("NVPM ERROR: optMask is 1, no request for power mode", file=sys.stderr)
            sys.exit(1)
        print("NVPM WARN: rebooting")
        with (root / "restarts").open("a") as file:
            file.write(f"{number}\n")
    _set_mode(root, number)


def jetson_clocks(root_text: str, arguments: list[str]) -> None:
    """Stores, restores or pins the clocks; refuses to store over a file, as the real one asks."""
    root = Path(root_text)
    _note(root, ["jetson_clocks", *arguments])
    if arguments[:1] == ["--store"]:
        store = Path(arguments[1])
        if store.exists():
            print(f"File {store} already exists. Can I overwrite it? Y/N:")
            sys.exit(1)
        store.write_text("".join(f"{path}:{path.read_text()}" for path in _limits(root)))
    elif arguments[:1] == ["--restore"]:
        for line in Path(arguments[1]).read_text().splitlines():
            path, _, value = line.rpartition(":")
            Path(path).write_text(f"{value}\n")
    else:
        for low in (path for path in _limits(root) if "min" in path.name):
            low.write_text(low.with_name(low.name.replace("min", "max")).read_text())


def nvidia_smi(root_text: str, arguments: list[str]) -> None:
    """Notes that clocks were locked or let go."""
    _note(Path(root_text), ["nvidia-smi", *arguments])


def _limits(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("sys/**/*freq") if "min" in path.name or "max" in path.name)


def _set_mode(root: Path, number: int) -> None:
    for policy in POLICIES:
        write(root / "sys/devices/system/cpu/cpufreq" / policy / "scaling_max_freq", MODES[number][1])
    write(root / "var/lib/nvpmodel/status", f"pmode:{number:04d} fmode:fanNull")


def _note(root: Path, call: list[str]) -> None:
    with (root / "calls").open("a") as file:
        file.write(json.dumps(call) + "\n")
