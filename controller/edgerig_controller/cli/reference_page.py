"""Writes docs/reference/cli.md from the commands themselves.

    python -m edgerig_controller.cli.reference_page > docs/reference/cli.md

A test fails when the page and the commands differ.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from importlib import import_module

import click

from edgerig_controller.cli.main import COMMANDS, PROGRAM

_HEAD = """\
# The command line `edgerig`

<!-- Made by `python -m edgerig_controller.cli.reference_page`; do not edit. -->

Results go to standard output; progress, notes and errors to standard error. With `--json` standard output
carries exactly one JSON document, for errors too: `{"error": {"class", "message", "hint", "exit_code"}}`.
Exit codes: [exit-codes.md](exit-codes.md). Commands that read work without a running controller; commands
that change something start one when none runs. STUDY is the name of a study (the newest of that name), the
beginning of its id, or its file. The data folder is `--data`, else `$EDGERIG_HOME`, else
`$XDG_DATA_HOME/edgerig`, else `~/.local/share/edgerig`. `NO_COLOR` turns colours off.

Completion for bash: `eval "$(_EDGERIG_COMPLETE=bash_source edgerig)"`; likewise for zsh and fish.
"""


def page() -> str:
    """Returns the Markdown page of all commands."""
    parts = [_HEAD]
    for name, entry in COMMANDS.items():
        command = getattr(import_module(entry.module), entry.attribute)
        parts += [_section(path, leaf) for path, leaf in _leaves(command, f"{PROGRAM} {name}")]
    return "\n".join(parts)


def _leaves(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _leaves(child, f"{path} {name}")
    else:
        yield path, command


def _section(path: str, command: click.Command) -> str:
    arguments = [found for found in command.params if isinstance(found, click.Argument)]
    options = [found for found in command.params if isinstance(found, click.Option)]
    usage = " ".join([path, *(_argument(found) for found in arguments), "[OPTIONS]"])
    lines = [f"## `{path}`", "", "```", usage, "```", "", inspect.cleandoc(command.help or ""), ""]
    lines += ["| option | meaning |", "|---|---|"]
    lines += [f"| {_names(found)} | {_meaning(found)} |" for found in options]
    return "\n".join(lines) + "\n"


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _names(option: click.Option) -> str:
    value = "" if option.is_flag else f" {_metavar(option)}"
    return ", ".join(f"`{name}{value}`" for name in option.opts)


def _metavar(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "\\|".join(str(choice) for choice in option.type.choices)
    if isinstance(option.type, click.Path):
        return "DIR"
    return option.type.name.upper().removesuffix(" RANGE")


def _meaning(option: click.Option) -> str:
    text = " ".join((option.help or "").split()).replace("|", "\\|")
    if option.required:
        text += " Required."
    if option.multiple:
        return text
    shown = option.show_default and option.default not in (None, "", False)
    return f"{text} Default: {option.default}." if shown else text


if __name__ == "__main__":
    sys.stdout.write(page())
