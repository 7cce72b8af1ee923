"""The committed page of commands says what the commands say."""

from __future__ import annotations

from pathlib import Path

from edgerig import errors
from edgerig_controller.cli.main import COMMANDS
from edgerig_controller.cli.reference_page import page

DOCS = Path(__file__).parents[3] / "docs" / "reference"


def test_the_page_is_current() -> None:
    assert (DOCS / "cli.md").read_text() == page()


def test_the_page_holds_every_command() -> None:
    assert all(f"## `edgerig {name}" in page() for name in COMMANDS)


def test_every_error_class_has_its_row_in_the_page_of_exit_codes() -> None:
    text = (DOCS / "exit-codes.md").read_text()
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    for name, found in vars(errors).items():
        if isinstance(found, type) and issubclass(found, errors.EdgerigError) and name != "EdgerigError":
            assert f"`{name}`" in rows[str(found.exit_code)], name
