"""What this worker can do, as data: methods, compressions, engines, tasks and memory formulas.

Printed by `python -m edgerig_workload catalog`; the planner and the trial check
read it, so that there is one list. Imports nothing heavy. Methods, compressions
and tasks have their entries in `learn.catalog`, `compress.catalog` and `tasks.catalog`.
"""

from __future__ import annotations

from typing import Any

from edgerig_workload.compress.catalog import COMPRESSIONS as COMPRESSIONS
from edgerig_workload.learn.catalog import EXCLUSIONS as _LEARNING
from edgerig_workload.learn.catalog import METHODS as METHODS
from edgerig_workload.learn.catalog import both
from edgerig_workload.tasks.catalog import METRICS, TASKS

SCHEMA = 1

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

# Weights that are packed, or whose zeros are meant to stay.
_FROZEN_BASES = [kind for kind, entry in COMPRESSIONS.items() if not entry["trainable_base"]]

# Combinations that cannot run; each with its reason.
EXCLUSIONS: list[dict[str, Any]] = [
    *_LEARNING,
    {
        "when": {"method.kind": both("full", "last-k"), "compression.kind": _FROZEN_BASES},
        "reason": "weights that are packed or pruned cannot be trained or perturbed: use an adapter",
    },
    {
        "when": {"method.init": ["pissa", "olora"], "compression.kind": _FROZEN_BASES},
        "reason": "this initialisation moves a part of each weight, and these are packed or pruned: "
        "use init default",
    },
    {
        "when": {"method.kind": both("prompt"), "compression.embeddings": True},
        "reason": "prompt tuning takes its tokens from the table of embeddings, which is packed: "
        "use embeddings false",
    },
    {
        "when": {"method.kind": both("bitfit"), "compression.kind": ["bnb-int8", "bnb-nf4"]},
        "reason": "a new bias would take the number format of bitsandbytes's packed weights, which cannot "
        "learn: use rtn-int8, rtn-int4 or torchao-int8",
    },
    {
        "when": {"method.gradient": "forward", "compression.kind": ["bnb-int8", "bnb-nf4"]},
        "reason": "bitsandbytes has no forward derivative of its products: use gradient backprop or mezo",
    },
    {
        "when": {"method.dora": True, "compression.kind": "bnb-int8"},
        "reason": "the norms that dora needs cannot be read from bitsandbytes's int8 weights while it "
        "trains: use dora false",
    },
]


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
