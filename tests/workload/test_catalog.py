"""The catalogue says what the code does: every kind runs, light, and its formulas can be evaluated."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgerig_workload import catalog, compress, learn

TYPES = {"int": int, "float": float, "bool": bool, "string": str}
NUMBERS = {
    "parameters": 1e9,
    "element_bytes": 2,
    "trainable": 1e6,
    "hidden": 2048,
    "layers": 16,
    "heads": 32,
    "kv_heads": 8,
    "head_dim": 64,
    "vocabulary": 128_000,
    "intermediate": 8192,
    "batch": 1,
    "sequence": 512,
    "new_tokens": 128,
    "base_process_bytes": 4e8,
    "bits_per_weight": 16,
    "count": 2,
    "max_tokens": 512,
    "teacher_parameters": 2e9,
    "teacher_hidden": 4096,
    "teacher_layers": 32,
    "teacher_kv_heads": 8,
    "teacher_head_dim": 128,
    "teacher_intermediate": 14_336,
}
MODEL_METHODS = [kind for kind, entry in catalog.METHODS.items() if entry["needs_model"]]


def test_printing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from edgerig_workload.main import main; main(['catalog']);"
        "print(sorted({'torch', 'numpy', 'transformers', 'peft'} & set(sys.modules)), file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"
    assert json.loads(done.stdout)["schema"] == 1


def test_every_method_has_code_and_every_code_an_entry() -> None:
    assert sorted(learn.MODULES) == sorted(MODEL_METHODS)


def test_every_compression_has_code_and_every_code_an_entry() -> None:
    assert sorted(compress.MODULES) == sorted(catalog.COMPRESSIONS)


@pytest.mark.parametrize("kind", MODEL_METHODS)
def test_every_method_runs(
    kind: str,
    trial_document: dict[str, Any],
    llama_folder: Path,
    data_file: Path,
    recorder: Any,
    tmp_path: Path,
) -> None:
    """Through the whole frame, in this process and without its idles."""
    torch = pytest.importorskip("torch")
    from edgerig_workload import trial
    from edgerig_workload.frame import Attempt, Folders
    from edgerig_workload.phases import Marks, ProcResidentSet

    parsed = trial.parse({**trial_document, "method": {"kind": kind}})
    torch.set_num_threads(1)
    attempt = Attempt(
        parsed,
        Folders(llama_folder, data_file, tmp_path),
        recorder,
        Marks(recorder, ProcResidentSet()),
        began_mono_ns=0,
        sleep=lambda seconds: None,
    )

    attempt.run()

    begun = {event["phase"] for event in recorder.of("phase_begin")}
    assert len(recorder.of("score")) == 4
    assert ("PHASE_TRAIN" in begun) is catalog.METHODS[kind]["trains"]
    assert ("PHASE_RETRIEVE" in begun) is catalog.METHODS[kind]["retrieves"]


@pytest.mark.parametrize("entries", [catalog.METHODS, catalog.COMPRESSIONS])
def test_defaults_are_of_their_type_and_within_their_bounds(entries: dict[str, Any]) -> None:
    rules = [rule for entry in entries.values() for rule in entry["parameters"].values()]

    for rule in rules:
        assert isinstance(rule["default"], TYPES[rule["type"]])
        if "minimum" in rule:
            assert rule["minimum"] <= rule["default"] <= rule["maximum"]
        assert rule["default"] in rule.get("choices", [rule["default"]])


def test_memory_terms_are_arithmetic_over_the_named_numbers() -> None:
    for term in catalog.MEMORY["terms"].values():
        assert eval(term["expression"], {"__builtins__": {}, "max": max, "min": min}, NUMBERS) >= 0
