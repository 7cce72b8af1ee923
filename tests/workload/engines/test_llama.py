"""llama.cpp in the worker: what is said where its library or its file is missing."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from edgerig_workload.faults import WorkerFault

torch = pytest.importorskip("torch")

from edgerig_workload import models, trial  # noqa: E402 - imports torch at its top
from edgerig_workload.engines import Setup, llama  # noqa: E402


def opened(folder: Path, document: dict[str, Any], longest_tokens: int = 0) -> llama.Llama:
    parsed = trial.parse({**document, "engine": {"kind": "llama-cpp"}})
    return llama.open_engine(Setup(parsed, folder, folder, None, models.reader(folder), longest_tokens))


@pytest.mark.parametrize("names", [[], ["a.gguf", "b.gguf"]])
def test_the_folder_has_exactly_one_file_of_weights(
    names: list[str], llama_folder: Path, trial_document: dict[str, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(llama_folder, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    for name in names:
        (folder / name).write_bytes(b"GGUF")

    with pytest.raises(WorkerFault, match=f"has {len(names)}") as caught:
        opened(folder, trial_document)
    assert caught.value.failure_class == "bad_model"


@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is not None, reason="llama-cpp-python is installed")
def test_a_missing_library_is_named_with_its_cure(
    llama_folder: Path, trial_document: dict[str, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(llama_folder, tmp_path / "model")
    (folder / "model.gguf").write_bytes(b"GGUF")

    with pytest.raises(WorkerFault, match="pip install llama-cpp-python") as caught:
        opened(folder, trial_document)
    assert caught.value.failure_class == "not_installed"


class StandIn:
    """In the place of llama_cpp's class: says what contexts were asked for, and counts characters."""

    contexts: list[int]
    open_count = 0

    def __init__(self, path: str, *, n_ctx: int, n_threads: int | None, verbose: bool) -> None:
        self.contexts.append(n_ctx)
        self.n_ctx, self.held = n_ctx, 0
        StandIn.open_count += 1

    def tokenize(self, text: bytes, *, add_bos: bool, special: bool) -> list[int]:
        return [1, *text]

    def reset(self) -> None:
        self.held = 0

    def eval(self, tokens: list[int]) -> None:
        self.held += len(tokens)
        assert self.held <= self.n_ctx, "beyond the context"

    def sample(self, *, temp: float) -> int:
        return 5

    def close(self) -> None:
        StandIn.open_count -= 1


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The library does not run here; what it is asked for does not need it."""
    found: list[int] = []
    monkeypatch.setattr(StandIn, "contexts", found, raising=False)
    monkeypatch.setattr(StandIn, "open_count", 0)
    library = types.ModuleType("llama_cpp")
    library.Llama, library.__version__ = StandIn, "0.3"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "llama_cpp", library)
    return found


@pytest.fixture
def gguf_folder(llama_folder: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(llama_folder, tmp_path / "model")
    (folder / "model.gguf").write_bytes(b"GGUF")
    return Path(folder)


# The profile has 12 tokens in and 4 out; the model's context holds 256.
@pytest.mark.parametrize(("longest_tokens", "expected"), [(0, 16), (90, 90), (9000, 256)])
def test_the_context_is_what_the_trial_needs(
    longest_tokens: int,
    expected: int,
    contexts: list[int],
    gguf_folder: Path,
    trial_document: dict[str, Any],
) -> None:
    opened(gguf_folder, trial_document, longest_tokens)

    assert contexts == [expected]


def test_a_longer_prompt_has_the_model_opened_again_once(
    contexts: list[int], gguf_folder: Path, trial_document: dict[str, Any]
) -> None:
    engine = opened(gguf_folder, trial_document, 30)

    rows = engine.answer(["short", "x" * 40, "y" * 50], 4, lambda row: False)

    assert rows == [[5] * 4] * 3
    assert contexts == [30, 256]
    assert StandIn.open_count == 1
