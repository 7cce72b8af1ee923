"""Exit codes, lazy commands, and one JSON document whatever happens."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from edgerig_controller.cli import main as program
from edgerig_controller.cli.main import COMMANDS
from tests.controller.cli.conftest import Edgerig


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from edgerig_controller.cli.main import main; main(['--help'])\n"
        "heavy = {'rich', 'grpc', 'sqlalchemy', 'scipy', 'numpy', 'pydantic', 'pyarrow', 'jinja2'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Write a commented study file." in done.stdout
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_command_says(name: str) -> None:
    command = getattr(import_module(COMMANDS[name].module), COMMANDS[name].attribute)
    assert isinstance(command, click.Command)
    assert command.get_short_help_str(200).split(":")[0].rstrip(".")
    assert command.help


def leaves(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    return [found for name, child in command.commands.items() for found in leaves(child, f"{path} {name}")]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_json(name: str) -> None:
    command = getattr(import_module(COMMANDS[name].module), COMMANDS[name].attribute)
    for path, leaf in leaves(command, name):
        assert "--json" in [option for found in leaf.params for option in found.opts], path


def test_version_prints_the_versions(edgerig: Edgerig) -> None:
    ran = edgerig("version")
    assert ran.code == 0
    assert "edgerig 0." in ran.stdout


def test_a_misspelt_command_is_a_usage_error_with_a_suggestion(edgerig: Edgerig) -> None:
    ran = edgerig("rnu")
    assert ran.code == 2
    assert "Did you mean 'run'?" in ran.stderr
    assert ran.stdout == ""


def test_a_usage_error_with_json_is_one_document(edgerig: Edgerig) -> None:
    ran = edgerig("run", "--json")
    assert ran.code == 2
    assert ran.document["error"]["exit_code"] == 2
    assert "Missing argument" in ran.document["error"]["message"]


def test_an_unknown_study_has_the_exit_code_of_not_found(edgerig: Edgerig) -> None:
    ran = edgerig("results", "nothing", "--json")
    assert ran.code == 5
    assert ran.document["error"]["class"] == "NotFoundError"


def test_a_fault_of_ours_shows_its_traceback_and_exits_with_1(
    edgerig: Edgerig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr(program.cli, "main", explode)
    ran = edgerig("version", "--json")
    assert ran.code == 1
    assert "Traceback" in ran.stderr
    assert ran.document["error"]["class"] == "BugError"


def test_ctrl_c_has_its_own_exit_code(edgerig: Edgerig, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program.cli, "main", interrupt)
    assert edgerig("studies").code == 130


def test_a_reader_that_leaves_a_pipe_is_no_fault(tmp_path: Path) -> None:
    command = f"{sys.executable} -m edgerig_controller.cli.main schema | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["{", "0"]
    assert done.stderr == ""
