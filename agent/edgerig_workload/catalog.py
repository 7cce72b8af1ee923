"""What this worker can do, as data: methods, compressions, engines, tasks and memory formulas.

Printed by `python -m edgerig_workload catalog`; the planner and the trial check
read it, so that there is one list. Imports nothing heavy. Methods, compressions
and tasks have their entries in `learn.catalog`, `compress.catalog` and `tasks.catalog`.
"""

from __future__ import annotations

from typing import Any

from edgerig_workload.compress.catalog import COMPRESS_FIRST, DISTILLED, TUNE_FIRST
from edgerig_workload.compress.catalog import COMPRESSIONS as COMPRESSIONS
from edgerig_workload.learn.catalog import EXCLUSIONS as _LEARNING
from edgerig_workload.learn.catalog import METHODS as METHODS
from edgerig_workload.learn.catalog import both
from edgerig_workload.tasks.catalog import METRICS, TASKS

SCHEMA = 1

ENGINES: dict[str, dict[str, Any]] = {
    "transformers": {"summary": "PyTorch through transformers, prefill and decode with a key-value cache"},
}

# Weights in the linear layers of a Llama-shaped model, which are the ones that compressions pack.
_LINEAR = "layers * (2 * hidden * head_dim * (heads + kv_heads) + 3 * hidden * intermediate)"
# What one Llama-shaped layer keeps for its backward pass: four vectors of the feed-forward
# block, queries, keys and values before and after rotation and repetition, and the vectors
# between the blocks.
_LAYER = (
    "batch * sequence * element_bytes"
    " * (14 * hidden + 4 * heads * head_dim + 10 * kv_heads * head_dim + 4 * intermediate)"
)
_LORA, _INSIDE = both("lora"), both("full", "last-k", "layer-norm")
_ADAPTERS = [kind for kind, entry in METHODS.items() if entry["trains"] and kind not in _INSIDE]
_SPARING = [kind for kind in _ADAPTERS if kind not in _LORA] + both("layer-norm")
_EXACT = ["backprop", "checkpointed"]


def _term(expression: str, **when: Any) -> dict[str, Any]:
    """An expression in bytes, and where it counts: `method__kind` stands for the factor `method.kind`."""
    return {
        "expression": expression,
        "when": {name.replace("__", "."): value for name, value in when.items()},
    }


# Byte counts. Factors are fitted to peaks measured by `python -m bench.memory_model` (torch
# 2.13 on a processor, models of 4 to 63 million parameters), and so include what the
# allocators waste; `relative_error` holds nine of ten of its cases.
MEMORY: dict[str, Any] = {
    "formula": "peak = the largest, over the phases, of the sum of those of its terms that apply",
    "terms": {
        "base_bytes": _term("base_process_bytes"),
        "dense_weights_bytes": _term("parameters * element_bytes"),
        "weights_bytes": _term(f"(parameters - {_LINEAR}) * element_bytes + {_LINEAR} * bits_per_weight / 8"),
        # Packed layers are spelled out one at a time: zero where nothing is packed.
        "unpacked_bytes": _term(
            "3 * hidden * intermediate * element_bytes * min(1, max(0, 8 * element_bytes - bits_per_weight))"
        ),
        "packed_bytes": _term(
            f"{_LINEAR} * bits_per_weight / 8 * min(1, max(0, 8 * element_bytes - bits_per_weight))"
        ),
        # Besides `weights_bytes`, where the model is still dense while the method learns.
        "still_dense_bytes": _term(
            f"{_LINEAR} * max(0, element_bytes - bits_per_weight / 8)", compression__order=TUNE_FIRST
        ),
        "adapter_bytes": _term("trainable * 4", method__kind=_ADAPTERS),
        # While gradients of the model's own weights grow, its activations go.
        "gradients_bytes": _term(
            "trainable * 4", method__kind=_ADAPTERS, method__gradient=[*_EXACT, "forward"]
        ),
        "own_gradients_bytes": _term(
            "trainable * 2", method__kind=_INSIDE, method__gradient=[*_EXACT, "forward"]
        ),
        "moments_bytes": _term(
            "trainable * 8",
            method__optimiser=["auto", "adamw"],
            method__gradient=[*_EXACT, "forward"],
        ),
        "directions_bytes": _term("trainable * 4", method__gradient="forward"),
        # Frozen layers keep no inputs; those with low-rank adapters keep more than their own.
        "activations_full_bytes": _term(
            f"layers * {_LAYER}", method__gradient="backprop", method__kind=both("full")
        ),
        "activations_lora_bytes": _term(
            f"1.2 * layers * {_LAYER}", method__gradient="backprop", method__kind=_LORA
        ),
        "activations_frozen_bytes": _term(
            f"0.85 * layers * {_LAYER}", method__gradient="backprop", method__kind=_SPARING
        ),
        "activations_last_bytes": _term(
            f"min(count, layers) * {_LAYER}", method__gradient="backprop", method__kind=both("last-k")
        ),
        "activations_recomputed_bytes": _term(
            f"batch * sequence * hidden * layers * element_bytes + 2.5 * {_LAYER}",
            method__gradient="checkpointed",
        ),
        "activations_forward_bytes": _term(
            "2 * batch * sequence * element_bytes * (14 * hidden + 4 * intermediate + heads * sequence)",
            method__gradient="forward",
        ),
        "activations_passing_bytes": _term(
            "batch * sequence * element_bytes * (14 * hidden + 4 * intermediate)", method__gradient="mezo"
        ),
        "train_logits_bytes": _term(
            "batch * sequence * vocabulary * (element_bytes + 8)", method__gradient=[*_EXACT, "forward"]
        ),
        "compared_logits_bytes": _term(
            "batch * sequence * vocabulary * element_bytes", method__gradient="mezo"
        ),
        "prefill_bytes": _term("batch * sequence * element_bytes * (14 * hidden + 4 * intermediate)"),
        "logits_bytes": _term("batch * vocabulary * (element_bytes + 4)"),
        "kv_cache_bytes": _term(
            "2 * batch * (sequence + new_tokens) * layers * kv_heads * head_dim * element_bytes"
        ),
    },
    "phases": {
        "compress": ["base_bytes", "dense_weights_bytes", "packed_bytes"],
        "train": [
            "base_bytes",
            "weights_bytes",
            "still_dense_bytes",
            "unpacked_bytes",
            "adapter_bytes",
            "gradients_bytes",
            "own_gradients_bytes",
            "moments_bytes",
            "directions_bytes",
            "activations_full_bytes",
            "activations_lora_bytes",
            "activations_frozen_bytes",
            "activations_last_bytes",
            "activations_recomputed_bytes",
            "activations_forward_bytes",
            "activations_passing_bytes",
            "train_logits_bytes",
            "compared_logits_bytes",
        ],
        "inference": [
            "base_bytes",
            "weights_bytes",
            "unpacked_bytes",
            "adapter_bytes",
            "prefill_bytes",
            "logits_bytes",
            "kv_cache_bytes",
        ],
    },
    "relative_error": 0.15,
    # Resident set of a Python process with torch, transformers and peft imported,
    # before a model is loaded (torch 2.13 for processors, x86-64).
    "base_process_bytes": 420_000_000,
}

# Weights that are packed, or whose zeros are meant to stay.
_FROZEN_BASES = [kind for kind, entry in COMPRESSIONS.items() if not entry["trainable_base"]]

# What binds a method that learns on the compressed model; one that learnt before it is not bound.
_FIRST = {"compression.order": COMPRESS_FIRST}
_UNTUNED = [kind for kind, entry in METHODS.items() if not entry["trains"] or not entry["needs_model"]]

# Combinations that cannot run; each with its reason.
EXCLUSIONS: list[dict[str, Any]] = [
    *_LEARNING,
    {
        "when": {"method.kind": _UNTUNED, "compression.order": TUNE_FIRST},
        "reason": f"this method changes no weights, so that both orders are one: use order {COMPRESS_FIRST}",
    },
    {
        "when": {"method.kind": both("prompt", "prefix"), "compression.order": TUNE_FIRST},
        "reason": "what stands before the input cannot be merged into the weights: "
        f"use order {COMPRESS_FIRST}",
    },
    {
        "when": {**_FIRST, "method.kind": both("full", "last-k"), "compression.kind": _FROZEN_BASES},
        "reason": "weights that are packed or pruned cannot be trained or perturbed: use an adapter",
    },
    {
        "when": {**_FIRST, "method.init": ["pissa", "olora"], "compression.kind": _FROZEN_BASES},
        "reason": "this initialisation moves a part of each weight, and these are packed or pruned: "
        "use init default",
    },
    {
        "when": {"compression.kind": DISTILLED, "compression.teacher": ""},
        "reason": "a distillation needs a second model to learn from: give `teacher`",
    },
    {
        "when": {"method.kind": both("prompt"), "compression.embeddings": True},
        "reason": "prompt tuning takes its tokens from the table of embeddings, which is packed: "
        "use embeddings false",
    },
    {
        "when": {**_FIRST, "method.kind": both("bitfit"), "compression.kind": ["bnb-int8", "bnb-nf4"]},
        "reason": "a new bias would take the number format of bitsandbytes's packed weights, which cannot "
        "learn: use rtn-int8, rtn-int4 or torchao-int8",
    },
    {
        "when": {**_FIRST, "method.gradient": "forward", "compression.kind": ["bnb-int8", "bnb-nf4"]},
        "reason": "bitsandbytes has no forward derivative of its products: use gradient backprop or mezo",
    },
    {
        "when": {**_FIRST, "method.dora": True, "compression.kind": "bnb-int8"},
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
