"""What this worker can do, as data: methods, compressions, engines, tasks and memory formulas.

Printed by `python -m edgerig_workload catalog`; the planner and the trial check
read it, so that there is one list. Imports nothing heavy. A new method is a
module in `learn`, a line in its registry, and an entry here.
"""

from __future__ import annotations

from typing import Any

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
