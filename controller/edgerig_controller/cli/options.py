"""Options that many commands share, and what a command gets from them.

Every command takes `--json` and `-q`; commands that touch a data folder take
`--data`. The decorated function receives one `Context` instead of them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgerig_controller.cli.output import Output

if TYPE_CHECKING:
    from edgerig_controller.home import Home

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Context:
    """Where a command prints and which data folder it works on."""

    out: Output
    data: str | None

    @property
    def home(self) -> Home:
        """Resolves the data folder: `--data`, EDGERIG_HOME, XDG_DATA_HOME."""
        from edgerig_controller.home import resolve

        return resolve(self.data, os.environ)

    def again(self, command: str) -> str:
        """Words a command to type next, with the data folder if one was given here."""
        return f"{command} --data {self.data}" if self.data else command


def output_options(function: F) -> F:
    """Adds `--json` and `-q`, and passes a `Context` as the first argument."""
    return _decorate(function, with_data=False)


def common_options(function: F) -> F:
    """Adds `--data`, `--json` and `-q`, and passes a `Context` as the first argument."""
    return _decorate(function, with_data=True)


def _decorate(function: F, *, with_data: bool) -> F:
    @functools.wraps(function)
    def command(*args: Any, json_mode: bool, quiet: bool, data: str | None = None, **kwargs: Any) -> Any:
        return function(Context(Output(json_mode=json_mode, quiet=quiet), data), *args, **kwargs)

    decorated: Any = click.option(
        "-q", "--quiet", is_flag=True, help="No notes and no progress on standard error."
    )(command)
    decorated = click.option(
        "--json", "json_mode", is_flag=True, help="Print exactly one JSON document on standard output."
    )(decorated)
    if with_data:
        decorated = click.option(
            "--data",
            metavar="DIR",
            help="Data folder [default: $EDGERIG_HOME, else $XDG_DATA_HOME/edgerig].",
        )(decorated)
    result: F = decorated
    return result


yes_option = click.option("--yes", "-y", is_flag=True, help="Do it without asking.")
