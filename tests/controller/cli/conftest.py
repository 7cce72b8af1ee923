"""Runs the command line in this process and reads both of its streams."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgerig_controller.cli.main import main
from edgerig_controller.home import Home


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """Parses stdout, which must be exactly one JSON document."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document


Edgerig = Callable[..., Ran]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data")


@pytest.fixture
def edgerig(capsys: pytest.CaptureFixture[str], home: Home, monkeypatch: pytest.MonkeyPatch) -> Edgerig:
    """Runs `edgerig ...` on the data folder of the test."""
    monkeypatch.setenv("EDGERIG_HOME", str(home.root))
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*words: str) -> Ran:
        capsys.readouterr()
        code = main(list(words))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
