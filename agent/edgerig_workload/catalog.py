"""What this worker can do, as data: methods, compressions, engines, tasks and memory formulas.

Printed by `python -m edgerig_workload catalog`; the planner and the trial check
read it, so that there is one list. Imports nothing heavy. Methods and tasks have
their entries in `learn.catalog` and `tasks.catalog`.
"""

from __future__ import annotations

from typing import Any

from edgerig_workload.learn.catalog import EXCLUSIONS as _LEARNING
from edgerig_workload.learn.catalog import METHODS, both
from edgerig_workload.tasks.catalog import METRICS, TASKS

SCHEMA = 1

_WRITTEN: dict[str, dict[str, Any]] = {
    "group": {
        "type": "int",
        "default": 128,
        "minimum": 0,
        "maximum": 65_536,
        "summary": "weights of a row that share a scale of 4 bytes; 0 = the whole row",
    },
    "symmetric": {
        "type": "bool",
        "default": True,
        "summary": "the grid has zero in its middle; false stores a zero point of one byte a group",
    },
}
# Bits of a packed weight with the parameters' defaults: a scale of 32 bits for each 128 weights.
_SCALE_BITS = 32 / 128


def _rounding(bits: int) -> dict[str, Any]:
    return {
        "summary": f"weights of the linear layers rounded to the nearest of {2**bits} values; needs no data",
        "requires": [],
        "parameters": {
            **_WRITTEN,
            "embeddings": {
                "type": "bool",
                "default": False,
                "summary": "token embeddings and output head are rounded too",
            },
        },
        "bits_per_weight": bits + _SCALE_BITS,
        "trainable_base": False,
    }


_CALIBRATION: dict[str, dict[str, Any]] = {
    "calibration": {
        "type": "string",
        "default": "histories",
        "choices": ["histories", "random-tokens"],
        "summary": "inputs that the layers are observed on: all users' histories, or tokens without sense",
    },
    "samples": {
        "type": "int",
        "default": 128,
        "minimum": 1,
        "maximum": 65_536,
        "summary": "samples to observe, at most what the histories have",
    },
    "tokens": {
        "type": "int",
        "default": 512,
        "minimum": 8,
        "maximum": 131_072,
        "summary": "longest sample; a longer one loses its beginning",
    },
}
_DAMPING: dict[str, dict[str, Any]] = {
    "damping": {
        "type": "float",
        "default": 0.01,
        "minimum": 0.0,
        "maximum": 10.0,
        "summary": "added to the diagonal of the layer's Hessian, as a share of its mean",
    },
}


def _compensated(bits: int) -> dict[str, Any]:
    return {
        "summary": f"GPTQ: weights of the linear layers in {bits} bits, later columns make up for roundings",
        "requires": [],
        "parameters": {
            **_WRITTEN,
            **_DAMPING,
            "act_order": {
                "type": "bool",
                "default": True,
                "summary": "columns with the largest inputs are rounded first",
            },
            **_CALIBRATION,
        },
        "bits_per_weight": bits + _SCALE_BITS,
        "trainable_base": False,
    }


def _pruning(summary: str, more: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "summary": f"{summary}; the zeros stay in dense weights and save neither memory nor time",
        "requires": [],
        "parameters": {
            "sparsity": {
                "type": "float",
                "default": 0.5,
                "minimum": 0.0,
                "maximum": 0.99,
                "summary": "share of the weights that become zero",
            },
            "pattern": {
                "type": "string",
                "default": "unstructured",
                "choices": ["unstructured", "2:4", "4:8"],
                "summary": "n:m = n zeros in each m neighbours of a row, for a sparsity of n / m",
            },
            **more,
        },
        "bits_per_weight": None,
        # Training or perturbing the weights would fill the zeros in.
        "trainable_base": False,
    }


COMPRESSIONS: dict[str, dict[str, Any]] = {
    "none": {
        "summary": "the weights as they are, in the trial's number format",
        "requires": [],
        "parameters": {},
        "bits_per_weight": None,
        "trainable_base": True,
    },
    **{f"rtn-int{bits}": _rounding(bits) for bits in (8, 6, 5, 4, 3)},
    **{f"gptq-int{bits}": _compensated(bits) for bits in (8, 4, 3)},
    "magnitude": _pruning(
        "the smallest weights of the linear layers become zero",
        {
            "scope": {
                "type": "string",
                "default": "layer",
                "choices": ["layer", "model"],
                "summary": "the share is taken of each layer, or of all layers together",
            }
        },
    ),
    "wanda": _pruning("weights with small products of magnitude and input norm become zero", _CALIBRATION),
    "sparsegpt": _pruning(
        "weights that matter least become zero and the others make up for them", {**_DAMPING, **_CALIBRATION}
    ),
    "bnb-int8": {
        "summary": "LLM.int8() by bitsandbytes: 8 bits a weight, large inputs in 16 bits",
        "requires": ["bitsandbytes"],
        "parameters": {},
        "bits_per_weight": 8.0,
        "trainable_base": False,
    },
    "bnb-nf4": {
        "summary": "NF4 by bitsandbytes: 16 levels spaced like a normal distribution, blocks of 64 weights",
        "requires": ["bitsandbytes"],
        "parameters": {
            "double_quant": {
                "type": "bool",
                "default": True,
                "summary": "scales are stored in 8 bits, in blocks of 256",
            }
        },
        "bits_per_weight": 4 + 8 / 64 + 32 / (64 * 256),
        "trainable_base": False,
    },
    "torchao-int8": {
        "summary": "int8 weights by torchao, one scale a row, inputs as they are",
        "requires": ["torchao"],
        "parameters": {},
        "bits_per_weight": 8.0,
        "trainable_base": False,
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
