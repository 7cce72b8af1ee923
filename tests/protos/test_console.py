"""Console scripts explain what is missing instead of showing a traceback."""

import sys

import pytest

from edgerig import console


def test_off_linux_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert console.controller() == 2
    assert capsys.readouterr().err == "edgerig runs on Linux only: it reads /proc and /sys; this is darwin.\n"


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(f"No module named 'click' ({name})", name="click")

    monkeypatch.setattr(console, "import_module", missing)
    assert console.controller() == 2
    assert "pip install 'edgerig[controller]'" in capsys.readouterr().err


def test_a_broken_module_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> object:
        raise ModuleNotFoundError(f"No module named '{name}'", name="edgerig_agent.gone")

    monkeypatch.setattr(console, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        console.agent()
