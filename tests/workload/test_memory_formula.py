"""The catalogue's memory formula against the peak of a process that really trains and infers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgerig_workload import catalog

pytest.importorskip("peft")

ROOT = Path(__file__).parents[2]
SHAPE = {
    "hidden": 512,
    "layers": 4,
    "heads": 8,
    "kv_heads": 4,
    "head_dim": 64,
    "intermediate": 1376,
    "vocabulary": 4000,
    "batch": 4,
    "sequence": 256,
    "new_tokens": 2,
    "element_bytes": 4,
}

# A process of its own, so that nothing of other tests is in its resident set.
PROGRAM = """
import json, sys
import torch, peft
from transformers import LlamaConfig, LlamaForCausalLM
from edgerig_workload.infer.steps import begin
from edgerig_workload.learn.trainables import lora
from edgerig_workload.models import Loaded
from edgerig_workload.phases import ProcResidentSet

shape = json.loads(sys.argv[1])
memory = ProcResidentSet()
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=shape["vocabulary"], hidden_size=shape["hidden"], intermediate_size=shape["intermediate"],
    num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"],
    num_key_value_heads=shape["kv_heads"], tie_word_embeddings=True))
count = sum(weight.numel() for weight in model.parameters())
loaded = Loaded(model, None, torch.device("cpu"), "float32", 2048, 0, frozenset(), False, count, 4 * count,
                shape["hidden"])
memory.reset()
steps = begin(loaded, [[5] * shape["sequence"]] * shape["batch"])
steps.prefill()
steps.decode()
del steps
inference = memory.peak_bytes()
trained = lora(loaded, rank=8, alpha=16.0, dropout=0.0, targets="all-linear")
adam = torch.optim.AdamW(trained.parameters)
ids = torch.zeros(shape["batch"], shape["sequence"], dtype=torch.long)
memory.reset()
for _ in range(2):
    model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids, use_cache=False).loss.backward()
    adam.step()
    adam.zero_grad()
print(json.dumps({"parameters": count, "trainable": trained.count, "method": memory.method,
                  "inference": inference, "train": memory.peak_bytes()}))
"""


@pytest.fixture(scope="module")
def measured() -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(SHAPE)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "agent")},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    if found["method"] != "vmhwm_reset":
        pytest.skip("this kernel does not let a process reset its high-water mark")
    return found


@pytest.mark.parametrize("phase", ["train", "inference"])
def test_prediction_is_near_the_peak(measured: dict[str, float], phase: str) -> None:
    memory = catalog.MEMORY
    names = {**SHAPE, **measured, "base_process_bytes": memory["base_process_bytes"], "bits_per_weight": 32}
    names |= {"min": min, "max": max}
    level = {"method.kind": "lora", "method.gradient": "backprop", "method.optimiser": "adamw"}
    applying = [
        term
        for name in memory["phases"][phase]
        for term in [memory["terms"][name]]
        if all(
            level.get(factor) in (wanted if isinstance(wanted, list) else [wanted])
            for factor, wanted in term["when"].items()
        )
    ]

    predicted = sum(eval(term["expression"], {"__builtins__": {}}, names) for term in applying)

    assert 1 - 2 * memory["relative_error"] < predicted / measured[phase] < 1 + 2 * memory["relative_error"]


def test_every_term_is_used_and_every_condition_names_a_level_of_the_catalogue() -> None:
    memory = catalog.MEMORY
    assert {name for terms in memory["phases"].values() for name in terms} == set(memory["terms"])
    for term in memory["terms"].values():
        for factor, wanted in term["when"].items():
            section, _, parameter = factor.partition(".")
            kinds = {"method": catalog.METHODS, "compression": catalog.COMPRESSIONS}[section]
            known = (
                set(kinds)
                if parameter == "kind"
                else {
                    choice
                    for entry in kinds.values()
                    for choice in entry["parameters"].get(parameter, {}).get("choices", ())
                }
            )
            assert set(wanted if isinstance(wanted, list) else [wanted]) <= known, factor


@pytest.mark.parametrize(("element_bytes", "masters", "kept_aside"), [(2, 400, 200), (4, 0, 0)])
def test_copies_of_parameters_are_counted_in_half_precision_alone(
    element_bytes: int, masters: int, kept_aside: int
) -> None:
    names = {"trainable": 100, "parameters": 100, "element_bytes": element_bytes, "max": max}

    def value(term: str) -> float:
        found: float = eval(catalog.MEMORY["terms"][term]["expression"], {"__builtins__": {}}, names)
        return found

    assert value("masters_bytes") == value("student_masters_bytes") == masters
    assert value("kept_aside_bytes") == kept_aside
