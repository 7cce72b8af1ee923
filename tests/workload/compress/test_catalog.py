"""The compressions' entries: each runs through the whole frame, and the documents say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from edgerig_workload import compress, trial
from edgerig_workload.compress.catalog import COMPRESSIONS, DISTILLED
from edgerig_workload.frame import Attempt, Folders
from edgerig_workload.phases import Marks, ProcResidentSet

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "compressions.md"
# The tiny model is narrower than NF4's blocks; test_libraries runs that kind.
OWN = [kind for kind, entry in COMPRESSIONS.items() if kind != "none" and not entry["requires"]]
# What a distillation cannot do without; few steps, for speed.
TAUGHT = {"teacher": "another", "steps": 2}


@pytest.mark.parametrize("kind", OWN)
def test_every_own_kind_runs_with_adapters_through_the_frame(
    kind: str,
    trial_document: dict[str, Any],
    llama_folder: Path,
    data_file: Path,
    recorder: Any,
    tmp_path: Path,
) -> None:
    compression = {"kind": kind, "parameters": TAUGHT if kind in DISTILLED else {}}
    document = {**trial_document, "method": {"kind": "lora"}, "compression": compression, "inference": {}}
    attempt = Attempt(
        trial.parse(document),
        Folders(llama_folder, data_file, tmp_path, teacher=llama_folder if kind in DISTILLED else None),
        recorder,
        Marks(recorder, ProcResidentSet()),
        began_mono_ns=0,
        sleep=lambda seconds: None,
    )

    attempt.run()

    assert len(recorder.of("score")) == 4
    assert "PHASE_COMPRESS" in {event["phase"] for event in recorder.of("phase_begin")}
    report = json.loads((tmp_path / compress.REPORT).read_text())
    assert attempt.facts["kernel"] == report["kernel"]
    for name in ("weights_bytes", "sparsity", "stored_bytes"):
        assert attempt.facts[name] == report[name]
    dense_bytes = 4 * attempt.facts["parameter_count"]
    if kind in DISTILLED:
        assert (report["sparsity"], report["kernel"], report["weights_bytes"]) == (0.0, "dense", dense_bytes)
    elif COMPRESSIONS[kind]["bits_per_weight"] is None:
        assert (report["sparsity"], report["weights_bytes"]) == (0.5, dense_bytes)
    else:
        assert (report["sparsity"], report["kernel"]) == (0.0, "dequantised")
        assert report["weights_bytes"] < dense_bytes


def rows() -> dict[str, tuple[dict[str, str], str]]:
    """Reads parameters and bits of each kind out of the document's table."""
    found = {}
    for line in DOCUMENT.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("`"):
            parameters = dict(re.findall(r"`(\w+): ([^`]+)`", cells[1]))
            found.update(dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), (parameters, cells[2])))
    return found


def test_document_lists_every_kind_with_its_parameters_and_bits() -> None:
    listed = rows()

    assert list(listed) == list(COMPRESSIONS)
    for kind, (parameters, bits) in listed.items():
        entry = COMPRESSIONS[kind]
        defaults = {name: rule["default"] for name, rule in entry["parameters"].items()}
        assert parameters == {
            name: str(value).lower() if isinstance(value, bool) else f"{value}" or '""'
            for name, value in defaults.items()
        }
        if entry["bits_per_weight"] is None:
            assert bits == "of the number format"
        elif bits == "bits + 32 / 128":
            assert entry["bits_per_weight"] == int(kind[-1]) + 32 / 128
        else:
            assert float(bits) == round(entry["bits_per_weight"], 3)
