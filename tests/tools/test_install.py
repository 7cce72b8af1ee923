"""Which torch is installed: never CUDA packages where a CPU build is wanted."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "install.py"


@pytest.fixture
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_source_that_brings_cuda_packages_is_passed_over(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {(): ["torch", "nvidia-cublas"], ("--index-url", install.CPU_INDEX): ["torch", "sympy"]}
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(install, "resolve", lambda _, source: answers[tuple(source)])
    monkeypatch.setattr(install, "pip", lambda _, *arguments: ran.append(arguments) or True)
    assert install.install_torch(Path("python"), "cpu")
    assert ran == [("install", "--index-url", install.CPU_INDEX, install.TORCH)]


def test_no_cpu_build_anywhere_is_said_and_nothing_installed(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(install, "resolve", lambda _, source: [] if source else ["torch", "triton"])
    monkeypatch.setattr(install, "pip", lambda _, *arguments: ran.append(arguments) or True)
    assert not install.install_torch(Path("python"), "cpu")
    assert ran == []


def test_keep_never_asks_for_torch(
    install: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(sys, "argv", ["install.py", "--torch", "keep", "--venv", str(tmp_path / "venv")])
    monkeypatch.setattr(install, "make_venv", lambda *_, **__: tmp_path / "venv" / "bin" / "python")
    monkeypatch.setattr(install, "has_torch", lambda _: False)
    monkeypatch.setattr(install, "install_project", lambda _, extras: ran.append(tuple(extras)) or 0)
    monkeypatch.setattr(install, "install_torch", lambda *_: pytest.fail("torch must be left alone"))
    assert install.main() == 0
    assert ran == [("agent", "controller")]
