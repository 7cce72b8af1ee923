"""The program `edgerig`: finds the command, runs it, turns errors into exit codes.

A command's module is imported when the command is used, so that `--help` and
completion answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

from edgerig.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, EdgerigError
from edgerig.version import VERSION
from edgerig_controller.cli.output import Output, ReaderLeftError

PROGRAM = "edgerig"
HELP = """Measures language models on edge devices and derives guidelines.

\b
First steps:
  edgerig init my-study        write a commented study file
  edgerig run study.yaml       run it on this machine
  edgerig results NAME         see what came out
"""


@dataclass(frozen=True)
class Entry:
    """Where a command lives, and its one line in the list of commands."""

    module: str
    attribute: str
    summary: str


def _entry(module: str, attribute: str, summary: str) -> Entry:
    return Entry(f"edgerig_controller.cli.{module}", attribute, summary)


COMMANDS: dict[str, Entry] = {
    "init": _entry("study_file", "init", "Write a commented study file."),
    "check": _entry("study_file", "check", "Check a study file and list all its problems."),
    "schema": _entry("study_file", "schema", "Print the JSON Schema of study files."),
    "presets": _entry("study_file", "presets", "List published settings that a study can name."),
    "run": _entry("run", "run", "Run a study and write its report."),
    "studies": _entry("studies", "studies", "List the studies of the data folder."),
    "watch": _entry("run", "watch", "Follow a running study."),
    "advise": _entry("advise", "advise", "List what to deploy on a device, under limits."),
    "plan": _entry("plan", "plan", "Name what to run next to settle open claims."),
    "results": _entry("results", "results", "Show the results of a study."),
    "report": _entry("report", "report", "Write the report of studies again."),
    "guide": _entry("guide", "guide", "Judge the claims of studies: verdicts, report, guidelines."),
    "replay": _entry("replay", "replay", "Recompute guidelines and say whether they are the same."),
    "token-energy": _entry(
        "token_energy", "token_energy", "Fit joules per token over studies of many lengths."
    ),
    "export": _entry("results", "export", "Write the results as tables for other programs."),
    "cancel": _entry("studies", "cancel", "Stop a study and its running trials."),
    "rm": _entry("studies", "rm", "Remove a study and what only it needs."),
    "gc": _entry("studies", "gc", "Remove blobs and attempts that no study needs."),
    "serve": _entry("controller", "serve", "Run the controller in the foreground."),
    "stop": _entry("controller", "stop", "Stop the controller of the data folder."),
    "controllers": _entry("controller", "controllers", "List the controllers of a shared store."),
    "device": _entry("device", "device", "Enroll devices and revoke them."),
    "devices": _entry("devices", "devices", "List the devices and why some get no work."),
    "hold": _entry("devices", "hold", "Take a device into your hands for a time."),
    "drain": _entry("devices", "drain", "Let a device end what it runs, and give it nothing more."),
    "maintenance": _entry("devices", "maintenance", "Mark a device as under maintenance."),
    "release": _entry("devices", "release", "Give a device work again."),
    "health": _entry("health", "health", "Check whether devices are still what they were."),
    "inventory": _entry("inventory", "inventory", "Compare declared devices with what they are."),
    "batch": _entry("batch", "batch", "Carry trials to a device without a network, and results back."),
    "logs": _entry("logs", "logs", "Show the events and the log of an attempt."),
    "person": _entry("person", "person", "Let people in, with a role."),
    "join": _entry("person", "join", "Use a controller on another machine."),
    "audit": _entry("audit", "audit", "Show who changed what, and who was refused."),
    "simulate": _entry("simulate", "simulate", "Run simulated devices, to try and to test a fleet."),
    "model": _entry("model", "model", "Convert models."),
    "task": _entry("task", "task", "Check and make task data."),
    "version": _entry("version", "version", "Print the versions."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Lists the commands in the order in which a person meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Imports the module of a command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(import_module(entry.module), entry.attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Writes the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggests the nearest command for a misspelt one."""
        from difflib import get_close_matches

        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            close = get_close_matches(name, COMMANDS, n=1)
            tail = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"there is no command {name!r}.{tail}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    name=PROGRAM,
    help=HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(VERSION, "-V", "--version", prog_name=PROGRAM)
def cli() -> None:
    """Holds the commands."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code (docs/reference/exit-codes.md)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Errors before a command has its options must honour --json as well.
    out = Output(json_mode="--json" in words)
    try:
        code = cli.main(words, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else EXIT_OK
    except EdgerigError as error:
        out.error(error, name=type(error).__name__, exit_code=error.exit_code)
        return error.exit_code
    except click.ClickException as error:
        out.error(
            click.ClickException(error.format_message()),
            name="UsageError",
            exit_code=EXIT_USAGE,
            hint=_help_hint(error),
        )
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        out.note("Interrupted.")
        return EXIT_INTERRUPTED
    except (ReaderLeftError, BrokenPipeError):
        # What is still buffered must not fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except Exception as error:  # noqa: BLE001 - the boundary of the process
        out.crash(error)
        out.error(
            error,
            name="BugError",
            exit_code=EXIT_FAILED,
            hint="report this with the traceback above and the output of 'edgerig version'",
        )
        return EXIT_FAILED


def _help_hint(error: click.ClickException) -> str:
    context: Any = getattr(error, "ctx", None)
    return f"{context.command_path if context is not None else PROGRAM} --help"


if __name__ == "__main__":
    sys.exit(main())
