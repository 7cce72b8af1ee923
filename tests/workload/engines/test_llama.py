"""llama.cpp in the worker: what is said where its library or its file is missing."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgerig_workload.faults import WorkerFault

torch = pytest.importorskip("torch")

from edgerig_workload import models, trial  # noqa: E402 - imports torch at its top
from edgerig_workload.engines import Setup, llama  # noqa: E402


def opened(folder: Path, document: dict[str, Any]) -> llama.Llama:
    parsed = trial.parse({**document, "engine": {"kind": "llama-cpp"}})
    return llama.open_engine(Setup(parsed, folder, folder, None, models.reader(folder)))


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
