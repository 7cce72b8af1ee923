"""The systemd units and the playbook: verified by their own tools, and by what they must say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
PLAYBOOK = ROOT / "deploy" / "ansible" / "agent.yml"


def directives(name: str) -> dict[str, list[str]]:
    """Returns the directives of a unit; systemd allows a name more than once."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for line in (UNITS / name).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


@pytest.mark.parametrize("name", ["edgerig-agent.service", "edgerig-controller.service"])
def test_systemd_itself_finds_no_fault(name: str, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    # The program named in the unit is not installed here; every other word is the shipped one.
    text = (UNITS / name).read_text().replace("/opt/edgerig/bin/edgerig-agent", "/bin/true")
    (tmp_path / name).write_text(text.replace("/opt/edgerig/bin/edgerig", "/bin/true"))
    done = subprocess.run(
        [program, "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, timeout=60
    )
    lines = [line for line in done.stderr.splitlines() if name in line]
    assert lines == []


def test_the_agent_is_unprivileged_watched_and_bounded() -> None:
    unit = directives("edgerig-agent.service")
    assert unit["User"] == ["edgerig"]
    assert unit["NoNewPrivileges"] == ["yes"]
    assert unit["CapabilityBoundingSet"] == [""]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["Type"] == ["notify"]
    assert int(unit["WatchdogSec"][0]) <= 120
    assert int(unit["OOMScoreAdjust"][0]) < 0
    assert unit["MemoryMax"] and unit["OOMPolicy"] == ["continue"]
    # Attempts survive a restart of the daemon.
    assert unit["KillMode"] == ["process"]


@pytest.mark.parametrize("name", ["edgerig-agent.service", "edgerig-controller.service"])
def test_the_commands_of_the_units_are_commands_that_there_are(name: str) -> None:
    (command,) = directives(name)["ExecStart"]
    words = command.split()
    options = [word for word in words[2:] if word.startswith("--")]
    for assignment in directives(name)["Environment"]:
        options += [word for word in assignment.strip('"').split() if word.startswith("--")]
    module = "edgerig_agent.cli" if "agent" in words[0] else "edgerig_controller.cli.main"
    done = subprocess.run(
        [sys.executable, "-m", module, words[1], "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert options and all(option in done.stdout for option in options)


def test_the_playbook_passes_ansibles_own_check() -> None:
    program = shutil.which("ansible-playbook")
    if program is None:
        pytest.skip("ansible-core is not installed: pip install ansible-core")
    done = subprocess.run(
        [program, "--syntax-check", "-i", str(ROOT / "inventory" / "lab.example.yaml"), str(PLAYBOOK)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def tasks(node: Any) -> list[dict[str, Any]]:
    """Lists the tasks of a playbook, those of blocks and handlers too."""
    found: list[dict[str, Any]] = []
    for task in node:
        found += tasks(task["block"]) if "block" in task else [task]
    return found


def test_no_secret_of_the_playbook_is_an_argument_or_a_log_line() -> None:
    (play,) = YAML(typ="safe").load(PLAYBOOK.read_text())
    everything = tasks(play["tasks"])
    secret = [task for task in everything if "token" in str(task) and "argv" in str(task)]
    assert len(secret) == 2
    for task in secret:
        assert task["no_log"] is True
        command = task["ansible.builtin.command"]
        assert ".token" not in str(command["argv"])
        assert ".token" not in str(task["vars"])


def test_every_file_that_the_playbook_copies_is_there() -> None:
    (play,) = YAML(typ="safe").load(PLAYBOOK.read_text())
    for task in tasks(play["tasks"]):
        for module in ("ansible.builtin.copy", "ansible.builtin.template"):
            source = task.get(module, {}).get("src")
            if source is not None:
                folder = PLAYBOOK.parent / ("templates" if module.endswith("template") else "")
                assert (folder / source).resolve().is_file(), source


def test_every_notified_handler_is_there() -> None:
    (play,) = YAML(typ="safe").load(PLAYBOOK.read_text())
    handlers = {handler["name"] for handler in play["handlers"]}
    assert {task["notify"] for task in tasks(play["tasks"]) if "notify" in task} <= handlers


def test_the_inventory_program_is_executable() -> None:
    assert (ROOT / "inventory" / "edgerig_inventory").stat().st_mode & 0o111
