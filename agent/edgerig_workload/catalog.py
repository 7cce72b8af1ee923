"""What this worker can do, as data: methods, compressions, engines, tasks and memory formulas.

Printed by `python -m edgerig_workload catalog`; the planner and the trial check
read it, so that there is one list. Imports nothing heavy. A new method is a
module in `learn`, a line in its registry, and an entry here.
"""

from __future__ import annotations

from typing import Any

from edgerig_workload.compress.catalog import COMPRESSIONS as COMPRESSIONS
from edgerig_workload.tasks.catalog import METRICS, TASKS

SCHEMA = 1

_TRAINING: dict[str, dict[str, Any]] = {
    "lr": {
        "type": "float",
        "default": 0.0,
        "minimum": 0.0,
        "maximum": 10.0,
        "summary": "peak learning rate; 0 = 2e-4 x 4096 / hidden size, at most 0.01",
    },
    "batch": {"type": "int", "default": 16, "minimum": 1, "maximum": 4096, "summary": "samples a step"},
    "warmup_steps": {
        "type": "int",
        "default": 6,
        "minimum": 0,
        "maximum": 100_000,
        "summary": "steps over which the rate rises from zero; it is constant afterwards",
    },
    "weight_decay": {
        "type": "float",
        "default": 0.0,
        "minimum": 0.0,
        "maximum": 1.0,
        "summary": "AdamW's decoupled weight decay",
    },
    "clip_norm": {
        "type": "float",
        "default": 1.0,
        "minimum": 0.0,
        "maximum": 1e6,
        "summary": "largest norm of the gradient; 0 = not clipped",
    },
    "max_tokens": {
        "type": "int",
        "default": 512,
        "minimum": 8,
        "maximum": 131_072,
        "summary": "longest training sample; a longer prompt loses its beginning",
    },
}

METHODS: dict[str, dict[str, Any]] = {
    "none": {
        "summary": "the model as it is: bare questions, nothing learnt",
        "trains": False,
        "retrieves": False,
        "needs_model": True,
        "requires": [],
        "parameters": {},
        "trainable": "0",
    },
    "rag": {
        "summary": "items of the user's history that resemble the question are put into the prompt",
        "trains": False,
        "retrieves": True,
        "needs_model": True,
        "requires": [],
        "parameters": {
            "retriever": {
                "type": "string",
                "default": "bm25",
                "choices": ["bm25"],
                "summary": "how the history is searched",
            },
            "k": {
                "type": "int",
                "default": 4,
                "minimum": 1,
                "maximum": 1000,
                "summary": "items put into the prompt at most",
            },
        },
        "trainable": "0",
    },
    "lora": {
        "summary": "low-rank adapters trained by backpropagation on the histories of all users",
        "trains": True,
        "retrieves": False,
        "needs_model": True,
        "requires": ["peft"],
        "parameters": {
            "r": {"type": "int", "default": 8, "minimum": 1, "maximum": 1024, "summary": "rank"},
            "alpha": {
                "type": "float",
                "default": 16.0,
                "minimum": 0.0,
                "maximum": 65_536.0,
                "summary": "the update is scaled by alpha / r",
            },
            "dropout": {
                "type": "float",
                "default": 0.0,
                "minimum": 0.0,
                "maximum": 0.95,
                "summary": "dropout before the adapters while training",
            },
            "targets": {
                "type": "string",
                "default": "all-linear",
                "summary": "all-linear, or module names separated by commas: q_proj,v_proj",
            },
            **_TRAINING,
        },
        # With targets all-linear on a Llama-shaped layer: q, o; k, v; gate, up, down.
        "trainable": (
            "r * layers * (2 * (hidden + heads * head_dim) + 2 * (hidden + kv_heads * head_dim)"
            " + 3 * (hidden + intermediate))"
        ),
    },
    "spin": {
        "summary": "processor work without a model, to try a device, a fleet and its meters",
        "trains": True,
        "retrieves": False,
        "needs_model": False,
        "requires": [],
        "parameters": {
            "duration_s": {
                "type": "float",
                "default": 1.0,
                "minimum": 0.0,
                "maximum": 86_400.0,
                "summary": "time to work",
            }
        },
        "trainable": "0",
    },
}

ENGINES: dict[str, dict[str, Any]] = {
    "transformers": {"summary": "PyTorch through transformers, prefill and decode with a key-value cache"},
}

# Byte counts. Activations are what a Llama-shaped layer keeps for its backward pass:
# four vectors of the feed-forward block, queries, keys and values before and after
# rotation and repetition, and the vectors between the blocks. The factors of the
# latter are fitted to peaks measured with torch 2.13 on a processor (eight shapes of
# 0.3 to 90 million parameters; sums within 15 %), and so include what its allocator wastes.
MEMORY: dict[str, Any] = {
    "formula": "peak = the largest, over the phases, of the sum of its terms",
    "terms": {
        "base_bytes": "base_process_bytes",
        "weights_bytes": "parameters * element_bytes",
        "trainables_bytes": "trainable * 4",
        "gradients_bytes": "trainable * 4",
        "optimiser_bytes": "trainable * 8",
        "activations_bytes": (
            "batch * sequence * layers * element_bytes"
            " * (14 * hidden + 4 * heads * head_dim + 10 * kv_heads * head_dim + 4 * intermediate)"
        ),
        "train_logits_bytes": "batch * sequence * vocabulary * (element_bytes + 8)",
        "prefill_bytes": "batch * sequence * element_bytes * (14 * hidden + 4 * intermediate)",
        "logits_bytes": "batch * vocabulary * (element_bytes + 4)",
        "kv_cache_bytes": (
            "2 * batch * (sequence + new_tokens) * layers * kv_heads * head_dim * element_bytes"
        ),
    },
    "phases": {
        "train": [
            "base_bytes",
            "weights_bytes",
            "trainables_bytes",
            "gradients_bytes",
            "optimiser_bytes",
            "activations_bytes",
            "train_logits_bytes",
        ],
        "inference": [
            "base_bytes",
            "weights_bytes",
            "trainables_bytes",
            "prefill_bytes",
            "logits_bytes",
            "kv_cache_bytes",
        ],
    },
    # Resident set of a Python process with torch, transformers and peft imported,
    # before a model is loaded (torch 2.13 for processors, x86-64).
    "base_process_bytes": 420_000_000,
}

# Combinations that cannot run; each with its reason. None are known of what is listed above.
EXCLUSIONS: list[dict[str, Any]] = []


def document() -> dict[str, Any]:
    """Return the catalogue as one JSON document."""
    return {
        "schema": SCHEMA,
        "methods": METHODS,
        "compressions": COMPRESSIONS,
        "engines": ENGINES,
        "tasks": TASKS,
        "metrics": METRICS,
        "memory": MEMORY,
        "exclusions": EXCLUSIONS,
    }
