"""The only place of the command line that prints.

Results go to stdout; progress, notes and errors to stderr. In JSON mode stdout
carries exactly one document, whatever happens, errors included. Nothing is
redrawn by a timer: on one machine with a running trial, drawing would disturb
what is measured.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from edgerig.errors import EdgerigError, StudyProblems

SCHEMA_VERSION = 1
STYLES = {"bold": "\x1b[1m", "dim": "\x1b[2m", "red": "\x1b[31m", "green": "\x1b[32m", "yellow": "\x1b[33m"}
_RESET = "\x1b[0m"
_UNLIMITED = 10_000


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, and whether its cells stand at the right."""

    heading: str
    right: bool = False


class ReaderLeftError(Exception):
    """Whoever read our standard output has left (`edgerig studies | head`): no fault, but no more to do."""


class Output:
    """Writes results, notes, progress and errors of one command."""

    def __init__(
        self,
        *,
        json_mode: bool = False,
        quiet: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        width: int | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.json_mode = json_mode
        self.quiet = quiet
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr
        self._environ = os.environ if environ is None else environ
        self._width = width
        self._progress_shown = ""
        self._document_written = False

    @property
    def interactive(self) -> bool:
        """Says whether a person can be asked: both ends are terminals and JSON was not wanted."""
        return not self.json_mode and sys.stdin.isatty() and self._stderr.isatty()

    @property
    def width(self) -> int:
        """Returns the columns that a line may have; a pipe has room for everything."""
        if self._width is None and not self._stdout.isatty() and "COLUMNS" not in self._environ:
            return _UNLIMITED
        return self._width or shutil.get_terminal_size((100, 24)).columns

    def text(self, text: str = "") -> None:
        """Prints a line of the result; nothing in JSON mode."""
        if not self.json_mode:
            self._end_progress()
            self._print(text)

    def raw(self, text: str) -> None:
        """Prints a document of another program's format, with or without JSON mode."""
        self._end_progress()
        self._document_written = True
        self._print(text)

    def heading(self, text: str) -> None:
        """Prints a heading of the result."""
        self.text()
        self.text(self.style(text, "bold"))

    def document(self, document: Mapping[str, Any]) -> None:
        """Prints the one JSON document of this command; nothing outside JSON mode."""
        if not self.json_mode:
            return
        if self._document_written:
            raise RuntimeError("a command prints one JSON document, this is a second one")
        self._document_written = True
        self._end_progress()
        whole = {"schema_version": SCHEMA_VERSION, **document}
        self._print(json.dumps(whole, ensure_ascii=False, indent=1))

    def _print(self, text: str) -> None:
        try:
            print(text, file=self._stdout, flush=True)
        except BrokenPipeError as error:
            raise ReaderLeftError from error

    def note(self, text: str) -> None:
        """Prints a line for the person beside the result; nothing when quiet."""
        if not self.quiet:
            self._end_progress()
            print(text, file=self._stderr, flush=True)

    def warn(self, text: str) -> None:
        """Prints a warning, also when quiet."""
        self._end_progress()
        print(
            f"{self.style('Warning:', 'yellow', stream=self._stderr)} {text}", file=self._stderr, flush=True
        )

    def progress(self, text: str) -> None:
        """Shows where the work stands: redrawn in place on a terminal, else a line per change."""
        if self.quiet or text == self._progress_shown:
            return
        if self._stderr.isatty():
            room = max(shutil.get_terminal_size((100, 24)).columns - 1, 10)
            cut = text if len(text) <= room else text[: room - 1] + "…"
            self._stderr.write(f"\r\x1b[2K{cut}")
            self._stderr.flush()
        else:
            print(text, file=self._stderr, flush=True)
        self._progress_shown = text

    def _end_progress(self) -> None:
        if self._progress_shown and self._stderr.isatty():
            self._stderr.write("\n")
            self._stderr.flush()
        self._progress_shown = ""

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Prints a table; where the terminal is too narrow, one block per row instead."""
        if self.json_mode or not rows:
            return
        # rich takes a while to import; commands without a table do not pay for it.
        from rich.console import Console
        from rich.measure import Measurement
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for column in columns:
            table.add_column(Text(column.heading), justify="right" if column.right else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        console = Console(
            file=self._stdout, width=self.width, no_color=not self._coloured(self._stdout), highlight=False
        )
        roomy = console.options.update(width=_UNLIMITED, max_width=_UNLIMITED)
        if Measurement.get(console, roomy, table).maximum > self.width:
            self._blocks(columns, rows)
            return
        with console.capture() as captured:
            console.print(table)
        for line in captured.get().splitlines():
            self.text(line.rstrip())

    def _blocks(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Prints the first column as a title and the others as `name  value` lines below it."""
        indent = max(len(column.heading) for column in columns[1:]) + 4
        for row in rows:
            self.text(self.style(row[0], "bold"))
            for column, cell in list(zip(columns, row, strict=True))[1:]:
                lines = textwrap.wrap(cell, max(self.width - indent, 12)) or [""]
                self.text(f"  {column.heading.ljust(indent - 2)}{lines[0]}".rstrip())
                for line in lines[1:]:
                    self.text(" " * indent + line)

    def confirm(self, question: str, *, yes: bool) -> bool:
        """Asks a person; without one only an explicit yes counts."""
        if yes:
            return True
        if not self.interactive:
            return False
        self._stderr.write(f"{question} [y/N] ")
        self._stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def error(self, error: BaseException, *, name: str, exit_code: int, hint: str = "") -> None:
        """Says what happened and what to type next; in JSON mode as the one document."""
        message = error.message if isinstance(error, EdgerigError) else str(error)
        hint = error.hint if isinstance(error, EdgerigError) and error.hint else hint
        if self.json_mode and not self._document_written:
            body: dict[str, Any] = {
                "class": name, "message": message, "hint": hint, "exit_code": exit_code,
            }  # fmt: skip
            if isinstance(error, StudyProblems):
                body["problems"] = [vars(problem) for problem in error.problems]
            self.document({"error": body})
            return
        self._end_progress()
        label = self.style("Error:", "red", stream=self._stderr)
        if isinstance(error, StudyProblems):
            print(f"{label} the study file has {_count(len(error.problems), 'problem')}", file=self._stderr)
            print(message, file=self._stderr)
        else:
            print(f"{label} {message}", file=self._stderr)
        if hint:
            print(f"Next: {hint}", file=self._stderr)
        self._stderr.flush()

    def crash(self, error: BaseException) -> None:
        """Prints the traceback of a fault of our own."""
        self._end_progress()
        traceback.print_exception(type(error), error, error.__traceback__, file=self._stderr)

    def style(self, text: str, style: str, *, stream: TextIO | None = None) -> str:
        """Colours text when its stream is a terminal and NO_COLOR is not set."""
        return f"{STYLES[style]}{text}{_RESET}" if self._coloured(stream or self._stdout) else text

    def _coloured(self, stream: TextIO) -> bool:
        return not (
            self._environ.get("NO_COLOR") or self._environ.get("TERM") == "dumb" or not stream.isatty()
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
