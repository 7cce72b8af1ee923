"""Checkpoints in the layouts of GPTQ and AWQ, packed here the way their authors' code does it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from edgerig_workload import models
from edgerig_workload.compress import artefacts
from edgerig_workload.compress.artefacts import Layout, layout_of, unpacked
from edgerig_workload.faults import WorkerFault
from tests.workload.conftest import save

ROOT = Path(__file__).parents[3]
GROUP = 16
# In a process of its own, which is left without addresses for the file.
SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
from edgerig_workload.compress import artefacts
from edgerig_workload.faults import classify

taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    artefacts._tensors(Path(sys.argv[1]))
except Exception as error:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(classify(error).failure_class)
"""
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def gptq_columns(codes: np.ndarray, bits: int) -> np.ndarray:
    """Pack (inputs, outputs) along the inputs as AutoGPTQ's `pack` does, loops and all."""
    rows = codes.astype(np.uint32)
    out = np.zeros((rows.shape[0] * bits // 32, rows.shape[1]), np.uint32)
    i = row = 0
    while row < len(out):
        if bits in (2, 4, 8):
            for j in range(i, i + 32 // bits):
                out[row] |= rows[j] << (bits * (j - i))
            i, row = i + 32 // bits, row + 1
            continue
        for j in range(i, i + 10):
            out[row] |= rows[j] << (3 * (j - i))
        i += 10
        out[row] |= rows[i] << 30
        row += 1
        out[row] |= (rows[i] >> 2) & 1
        i += 1
        for j in range(i, i + 10):
            out[row] |= rows[j] << (3 * (j - i) + 1)
        i += 10
        out[row] |= rows[i] << 31
        row += 1
        out[row] |= (rows[i] >> 1) & 3
        i += 1
        for j in range(i, i + 10):
            out[row] |= rows[j] << (3 * (j - i) + 2)
        i, row = i + 10, row + 1
    return out.astype(np.int32)


def awq_rows(codes: np.ndarray) -> np.ndarray:
    """Pack (rows, outputs) along the outputs as AutoAWQ's `from_linear` does."""
    wide = codes.astype(np.uint32)
    out = np.zeros((wide.shape[0], wide.shape[1] // 8), np.uint32)
    for column in range(out.shape[1]):
        for i in range(8):
            out[:, column] |= wide[:, column * 8 + AWQ_ORDER[i]] << (i * 4)
    return out.astype(np.int32)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_codes_come_back_from_gptqs_packing(bits: int) -> None:
    codes = np.random.default_rng(bits).integers(0, 2**bits, (64, 5))
    packed = torch.from_numpy(gptq_columns(codes, bits))
    assert torch.equal(unpacked(packed.T, bits).T, torch.from_numpy(codes).to(torch.int32))


@pytest.fixture(scope="module")
def dense_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama whose layers are multiples of 32 wide, which 3-bit codes need."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return save(LlamaForCausalLM(config), tmp_path_factory.mktemp("dense") / "model")


def make(dense: Path, folder: Path, layout: Layout, *, act_order: bool = False) -> dict[str, torch.Tensor]:
    """Write a quantised copy of a dense checkpoint; returns the weights that its layers stand for."""
    shutil.copytree(dense, folder)
    draw = np.random.default_rng(1)
    tensors = load_file(folder / "model.safetensors")
    expected = {}
    for name in [name for name in tensors if name.endswith("proj.weight")]:
        outputs, inputs = tensors.pop(name).shape
        width = layout.group or inputs
        groups = -(-inputs // width)
        codes = draw.integers(0, 2**layout.bits, (inputs, outputs))
        zeros = draw.integers(1, 2**layout.bits, (groups, outputs))
        scales = torch.from_numpy(draw.uniform(0.001, 0.01, (groups, outputs))).half()
        group_of = np.arange(inputs) // width
        if act_order:
            group_of = draw.permutation(group_of)
        value = (codes - zeros[group_of]) * scales.float().numpy()[group_of]
        expected[name] = torch.from_numpy(value.T.copy()).float()
        part = name.removesuffix("weight")
        if layout.method == "gptq":
            tensors[part + "qweight"] = torch.from_numpy(gptq_columns(codes, layout.bits))
            stored = zeros - int(layout.zeros_less_one)
            tensors[part + "qzeros"] = torch.from_numpy(gptq_columns(stored.T, layout.bits).T.copy())
            tensors[part + "g_idx"] = torch.from_numpy(group_of).to(torch.int32)
        else:
            tensors[part + "qweight"] = torch.from_numpy(awq_rows(codes))
            tensors[part + "qzeros"] = torch.from_numpy(awq_rows(zeros))
        tensors[part + "scales"] = scales
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    said: dict[str, Any] = {
        "quant_method": layout.method,
        "bits": layout.bits,
        "group_size": layout.group or -1,
        "checkpoint_format": "gptq" if layout.zeros_less_one else "gptq_v2",
        "version": "gemm",
    }
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": said}))
    return expected


LAYOUTS = [
    Layout("gptq", 4, GROUP, zeros_less_one=True),
    Layout("gptq", 4, GROUP, zeros_less_one=False),
    Layout("gptq", 8, 0, zeros_less_one=True),
    Layout("gptq", 3, 32, zeros_less_one=True),
    Layout("awq", 4, GROUP, zeros_less_one=False),
]


# Only GPTQ with groups orders its inputs.
CASES = [
    (layout, act_order)
    for layout in LAYOUTS
    for act_order in (False, True)
    if not act_order or (layout.method == "gptq" and layout.group)
]


@pytest.mark.parametrize(("layout", "act_order"), CASES)
def test_a_quantised_checkpoint_is_the_dense_model_of_its_values(
    dense_folder: Path, tmp_path: Path, layout: Layout, act_order: bool
) -> None:
    expected = make(dense_folder, tmp_path / "model", layout, act_order=act_order)
    loaded = models.load(tmp_path / "model", "float32", torch.device("cpu"))
    dense = models.load(dense_folder, "float32", torch.device("cpu"))
    ids = torch.randint(3, 300, (2, 9))
    for name, value in expected.items():
        module = loaded.model.get_submodule(name.removesuffix(".weight"))
        assert torch.equal(module.weight, value), name
        dense.model.get_submodule(name.removesuffix(".weight")).weight.data = value
    with torch.inference_mode():
        assert torch.allclose(loaded.model(ids).logits, dense.model(ids).logits, atol=1e-5)
    assert loaded.parameter_count == dense.parameter_count
    assert loaded.weights_bytes < dense.weights_bytes
    assert artefacts.is_packed(loaded.model)


def test_an_adapter_learns_on_a_packed_checkpoint(dense_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from edgerig_workload.learn.trainables import lora

    make(dense_folder, tmp_path / "model", LAYOUTS[0])
    loaded = models.load(tmp_path / "model", "float32", torch.device("cpu"))
    trained = lora(loaded, rank=2, alpha=4.0, dropout=0.0, targets="all-linear")
    ids = torch.randint(3, 300, (2, 9))
    loaded.model(input_ids=ids, labels=ids).loss.backward()
    assert trained.count > 0
    assert all(weight.grad is not None for weight in trained.parameters)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda said: said.update(quant_method="hqq"), "quantised as hqq"),
        (lambda said: said.update(bits=5), "5 bits"),
        (lambda said: said.update(group_size=48), "in groups of 48"),
    ],
)
def test_a_layout_that_is_not_read_is_refused(
    dense_folder: Path, tmp_path: Path, change: Any, expected: str
) -> None:
    make(dense_folder, tmp_path / "model", LAYOUTS[0])
    path = tmp_path / "model/config.json"
    config = json.loads(path.read_text())
    change(config["quantization_config"])
    path.write_text(json.dumps(config))
    with pytest.raises(WorkerFault, match=expected) as caught:
        models.load(tmp_path / "model", "float32", torch.device("cpu"))
    assert caught.value.failure_class == "bad_model"


def test_code_beside_a_quantised_checkpoint_is_not_run(
    dense_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(dense_folder, tmp_path / "model", LAYOUTS[0])
    path = tmp_path / "model/config.json"
    # Transformers has this configuration, and no model of it that answers.
    told = {"model_type": "clip_vision_model", "auto_map": {"AutoModelForCausalLM": "own.Own"}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **told}))
    (tmp_path / "model/own.py").write_text(f"open({str(tmp_path / 'it-ran')!r}, 'w')\nclass Own: ...\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")

    with pytest.raises(WorkerFault) as caught:
        models.load(tmp_path / "model", "float32", torch.device("cpu"))

    assert caught.value.failure_class == "bad_model"
    assert not (tmp_path / "it-ran").exists()


def test_a_layer_without_its_scales_is_refused(dense_folder: Path, tmp_path: Path) -> None:
    make(dense_folder, tmp_path / "model", LAYOUTS[0])
    tensors = load_file(tmp_path / "model/model.safetensors")
    del tensors["model.layers.0.mlp.up_proj.scales"]
    save_file(tensors, tmp_path / "model/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WorkerFault, match="up_proj of the checkpoint lacks"):
        models.load(tmp_path / "model", "float32", torch.device("cpu"))


def test_a_dense_checkpoint_has_no_layout(dense_folder: Path) -> None:
    assert layout_of(models.read_config(dense_folder)) is None


# Room for none of the two mappings of the file, and for one.
@pytest.mark.parametrize("room_bytes", [50_000_000, 120_000_000])
def test_a_file_for_which_there_is_no_memory_is_no_bad_model(tmp_path: Path, room_bytes: int) -> None:
    save_file({"layer.qweight": torch.zeros(25_000_000)}, tmp_path / "model.safetensors")

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SHORT_OF_MEMORY, str(tmp_path), str(room_bytes)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "agent")},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "oom_host"
