"""Where text goes, how wide it gets, and that JSON mode prints one document."""

from __future__ import annotations

import io
import json
from typing import TextIO

import pytest

from edgerig.errors import Problem, StudyProblems, UsageError
from edgerig_controller.cli.output import Column, Output

COLUMNS = [Column("cell"), Column("n", right=True), Column("quality [95 %]")]
ROWS = [("starter/small lora", "2", "52.5 [48.1, 56.9]"), ("b", "10", "–")]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def output(stdout: TextIO, *, width: int | None = None, **options: bool) -> Output:
    return Output(stdout=stdout, stderr=io.StringIO(), width=width, environ={}, **options)


def test_a_pipe_gets_a_table_of_any_width() -> None:
    stdout = io.StringIO()
    output(stdout).table(COLUMNS, [("x" * 300, "1", "y" * 300)])
    assert len(stdout.getvalue().splitlines()) == 2


@pytest.mark.parametrize("width", [40, 60, 80])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    stdout = Terminal()
    wide = [("starter/small lora", "2", "a long reason " * 12)]
    Output(stdout=stdout, stderr=io.StringIO(), width=width, environ={"NO_COLOR": "1"}).table(COLUMNS, wide)
    assert max(map(len, stdout.getvalue().splitlines())) <= width
    assert "a long reason" in stdout.getvalue()


def test_a_table_that_fits_has_one_line_per_row() -> None:
    stdout = io.StringIO()
    output(stdout, width=60).table(COLUMNS, ROWS)
    lines = stdout.getvalue().splitlines()
    assert len(lines) == 3
    assert "52.5 [48.1, 56.9]" in lines[1]
    assert lines[1].index("2  52") == lines[2].index("0  –")


def test_colour_is_for_terminals_without_no_color() -> None:
    def styled(stream: TextIO, environ: dict[str, str]) -> str:
        return Output(stdout=stream, stderr=io.StringIO(), environ=environ).style("x", "bold")

    assert styled(Terminal(), {}) == "\x1b[1mx\x1b[0m"
    assert styled(Terminal(), {"NO_COLOR": "1"}) == "x"
    assert styled(io.StringIO(), {}) == "x"


def test_json_mode_prints_the_document_alone() -> None:
    stdout = io.StringIO()
    out = output(stdout, json_mode=True)
    out.text("for people")
    out.table(COLUMNS, ROWS)
    out.document({"a": 1})
    assert json.loads(stdout.getvalue()) == {"schema_version": 1, "a": 1}


def test_a_second_document_is_a_bug() -> None:
    out = output(io.StringIO(), json_mode=True)
    out.document({})
    with pytest.raises(RuntimeError, match="second"):
        out.document({})


def test_an_error_in_json_mode_is_the_document() -> None:
    stdout = io.StringIO()
    error = StudyProblems([Problem("s.yaml:3:1", "unknown key", "did you mean seeds?")])
    output(stdout, json_mode=True).error(error, name="StudyProblems", exit_code=2)
    body = json.loads(stdout.getvalue())["error"]
    assert (body["class"], body["exit_code"]) == ("StudyProblems", 2)
    assert body["problems"] == [
        {"place": "s.yaml:3:1", "message": "unknown key", "hint": "did you mean seeds?"}
    ]


def test_an_error_names_the_next_command_on_stderr() -> None:
    stdout, stderr = io.StringIO(), io.StringIO()
    out = Output(stdout=stdout, stderr=stderr, environ={})
    out.error(UsageError("it exists", hint="edgerig init --force"), name="UsageError", exit_code=2)
    assert stderr.getvalue() == "Error: it exists\nNext: edgerig init --force\n"
    assert stdout.getvalue() == ""


def test_progress_is_a_line_per_change_where_nobody_watches() -> None:
    stderr = io.StringIO()
    out = Output(stdout=io.StringIO(), stderr=stderr, environ={})
    for text in ("1/2 done", "1/2 done", "2/2 done"):
        out.progress(text)
    assert stderr.getvalue() == "1/2 done\n2/2 done\n"


def test_progress_on_a_terminal_redraws_one_line_and_ends_it_before_other_text() -> None:
    stderr = Terminal()
    out = Output(stdout=io.StringIO(), stderr=stderr, environ={"NO_COLOR": "1"})
    out.progress("1/2 done")
    out.progress("2/2 done")
    out.note("report written")
    assert stderr.getvalue() == "\r\x1b[2K1/2 done\r\x1b[2K2/2 done\nreport written\n"


def test_quiet_silences_notes_and_progress_but_not_warnings() -> None:
    stderr = io.StringIO()
    out = Output(stdout=io.StringIO(), stderr=stderr, quiet=True, environ={})
    out.note("a note")
    out.progress("1/2 done")
    out.warn("the disk is nearly full")
    assert stderr.getvalue() == "Warning: the disk is nearly full\n"


def test_without_a_terminal_only_yes_confirms() -> None:
    out = Output(stdout=io.StringIO(), stderr=io.StringIO(), environ={})
    assert not out.confirm("Remove?", yes=False)
    assert out.confirm("Remove?", yes=True)
