"""Small catalogues, model folders and task files for the tests of planning."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

from edgerig_controller.data.sink import HashOnly
from edgerig_controller.study.plan import prepare
from edgerig_controller.study.prepared import PreparedStudy

_CATALOG: dict[str, Any] = {
    "schema": 1,
    "methods": {
        "none": {"trains": False, "retrieves": False, "requires": [], "parameters": {}, "trainable": "0"},
        "rag": {
            "retrieves": True,
            "trainable": "0",
            "parameters": {
                "retriever": {"type": "string", "default": "bm25", "choices": ["bm25", "dense"]},
                "k": {"type": "int", "default": 4, "minimum": 1, "maximum": 1000},
            },
        },
        "lora": {
            "trains": True,
            "trainable": "2 * r * layers * hidden",
            "parameters": {
                "r": {"type": "int", "default": 8, "minimum": 1, "maximum": 1024},
                "alpha": {"type": "float", "default": 16.0, "minimum": 0.0},
                "merge": {"type": "bool", "default": False},
                "batch": {"type": "int", "default": 16, "minimum": 1},
                "max_tokens": {"type": "int", "default": 128, "minimum": 8},
            },
        },
    },
    "compressions": {
        "none": {"parameters": {}, "bits_per_weight": None},
        "rtn": {
            "parameters": {"bits": {"type": "int", "minimum": 2, "maximum": 8}},
            "bits_per_weight": None,
            "trainable_base": False,
        },
    },
    "engines": {"transformers": {"summary": "torch"}},
    "tasks": {
        "lamp-1": {
            "kind": "classification",
            "metric": "accuracy",
            "metrics": ["accuracy"],
            "answer_tokens": 12,
        },
        "lamp-2": {
            "kind": "classification",
            "metric": "accuracy",
            "metrics": ["accuracy"],
            "answer_tokens": 12,
        },
        "lamp-3": {
            "kind": "rating",
            "metric": "rating",
            "metrics": ["rating", "accuracy"],
            "answer_tokens": 4,
        },
        "lamp-4": {
            "kind": "generation",
            "metric": "rouge1_f",
            "metrics": ["rouge1_f", "rougeL_f"],
            "answer_tokens": 32,
        },
        "plain": {
            "kind": "generation",
            "metric": "rouge1_f",
            "metrics": ["accuracy", "rating"],
            "answer_tokens": 32,
        },
    },
    "metrics": {
        name: {"unit": "ratio", "larger_is_better": True}
        for name in ("accuracy", "rating", "rouge1_f", "rougeL_f")
    },
    "memory": {
        "formula": "peak = the largest sum of terms",
        "terms": {
            "base": {"expression": "base_process_bytes"},
            "weights": {"expression": "parameters * element_bytes"},
            "optimiser": {"expression": "trainable * 12"},
            "activations": {"expression": "batch * sequence * layers * hidden * element_bytes"},
            "kv": {
                "expression": "2 * batch * (sequence + new_tokens) * layers * kv_heads * head_dim"
                " * element_bytes"
            },
        },
        "phases": {
            "train": ["base", "weights", "optimiser", "activations"],
            "inference": ["base", "weights", "kv"],
        },
        "base_process_bytes": 1000,
        "relative_error": 0.1,
    },
    "exclusions": [
        {
            "when": {"method.kind": "lora", "compression.kind": "rtn"},
            "reason": "rounded weights have no gradient",
        }
    ],
}

# A study that is good; tests change a line of it.
STUDY = """\
edgerig: 1
name: trial-run
protocol: quick
seeds: [1, 2]
tasks: [{name: lamp-2, source: synthetic, users: 3, items_per_user: 2}]
factors:
  model: [./small]
  method: [none, {kind: rag, k: 4}, {kind: lora, r: 8}]
budgets: {train: {steps: 5}}
"""


def catalog() -> dict[str, Any]:
    """A catalogue of the documented shape, with an excluded combination."""
    return copy.deepcopy(_CATALOG)


def tensors(shapes: dict[str, list[int]], kind: str = "BF16") -> bytes:
    """A safetensors file of zeros."""
    width = {"BF16": 2, "F32": 4}[kind]
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * width
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def write_model(folder: Path, *, hidden: int = 8, kind: str = "BF16", **config: Any) -> Path:
    """A model folder with one tensor of 10 x `hidden` elements."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {"hidden_size": hidden, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 10}
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **numbers, **config}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(tensors({"embed": [10, hidden]}, kind))
    return folder


def row(number: int, **changes: Any) -> dict[str, Any]:
    """One good line of task data."""
    item = {"id": "p1", "text": "an old question", "output": "yes"}
    good = {"id": f"q{number}", "user": "u1", "input": "is it?", "output": "yes", "profile": [item]}
    return {**good, **changes}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A task file of one JSON object a line."""
    path.write_text("".join(json.dumps(line) + "\n" for line in rows))
    return path


def planned(folder: Path, text: str = STUDY, **options: Any) -> PreparedStudy:
    """Prepares a study in a folder that holds the model `small`."""
    if not (folder / "small").exists():
        write_model(folder / "small")
    options.setdefault("catalog", catalog())
    options.setdefault("blobs", HashOnly())
    return prepare(text, origin="study.yaml", folder=folder, **options)
