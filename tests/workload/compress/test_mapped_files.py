"""Packed layers leave the mapped weights file; a process of its own, so that its mappings are known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from pathlib import Path
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from edgerig_workload.compress import Material, transform
from edgerig_workload.catalog import COMPRESSIONS
from edgerig_workload.models import Loaded
from edgerig_workload.trial import Choice

folder = sys.argv[1]
LlamaForCausalLM(LlamaConfig(
    vocab_size=300, hidden_size=512, intermediate_size=1376, num_hidden_layers=2, num_attention_heads=8,
    num_key_value_heads=8, tie_word_embeddings=True)).save_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
mapped = lambda: sum(folder in line for line in Path("/proc/self/maps").read_text().splitlines())
before = mapped()
kind = "rtn-int8"
given = {name: rule["default"] for name, rule in COMPRESSIONS[kind]["parameters"].items()}
count = sum(w.numel() for w in model.parameters())
loaded = Loaded(
    model, None, torch.device("cpu"), "float32", 512, 0, frozenset(), False, count, 4 * count, 512)
transform(kind)(loaded, Choice(kind, given), Material(None, 1))
shared = model.get_input_embeddings().weight is model.get_output_embeddings().weight
print(before, mapped(), shared)
"""


def test_no_page_of_the_dense_weights_stays_mapped(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "agent")},
        capture_output=True,
        text=True,
        check=True,
    )
    before, after, shared = done.stdout.split()
    assert int(before) > 0
    assert int(after) == 0
    assert shared == "True"
