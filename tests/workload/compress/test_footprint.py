"""Bytes in memory and on disk are those of the real thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from safetensors.torch import save_model

from edgerig_workload import compress
from edgerig_workload.compress.footprint import memory_bytes, stored_bytes


@pytest.mark.parametrize("kind", ["none", "rtn-int3"])
def test_stored_bytes_are_those_of_a_safetensors_file(
    kind: str, llama: Any, choose: Any, material: Any, tmp_path: Path
) -> None:
    done = compress.transform(kind)(llama, choose(kind), material)
    path = tmp_path / "model.safetensors"

    save_model(done.loaded.model, str(path))

    # The writer notes the names of shared tensors in the header, once each.
    assert 0 <= path.stat().st_size - stored_bytes(done.loaded.model) < 128
    assert done.stored_bytes == stored_bytes(done.loaded.model)


def test_shared_tensors_count_once(llama: Any) -> None:
    assert memory_bytes(llama.model) == llama.weights_bytes == 4 * llama.parameter_count


def test_report_names_what_was_done(llama: Any, choose: Any, material: Any, tmp_path: Path) -> None:
    import json

    choice = choose("rtn-int4")
    done = compress.transform("rtn-int4")(llama, choice, material)

    compress.report(done, choice, tmp_path / "new")

    assert json.loads((tmp_path / "new" / compress.REPORT).read_text()) == {
        "kind": "rtn-int4",
        "parameters": {
            "group": 128,
            "symmetric": True,
            "embeddings": False,
            "order": "compress-then-tune",
        },
        "kernel": "dequantised",
        "sparsity": 0.0,
        "weights_bytes": done.loaded.weights_bytes,
        "stored_bytes": done.stored_bytes,
    }
