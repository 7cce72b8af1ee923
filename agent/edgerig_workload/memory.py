"""What memory a trial takes, as data: terms in bytes, and which of them add up in which phase.

The planner evaluates it before anything runs; `python -m bench.memory_model` holds it
against real peaks. Imports nothing heavy.
"""

from __future__ import annotations

from typing import Any

from edgerig_workload.compress.catalog import (
    COMPRESS_FIRST,
    COMPRESSIONS,
    DISTILLED,
    LOGITS,
    SEQUENCE,
    TUNE_FIRST,
)
from edgerig_workload.learn.catalog import METHODS, both

# Weights in the linear layers of a Llama-shaped model, which are the ones that compressions pack.
_LINEAR = "layers * (2 * hidden * head_dim * (heads + kv_heads) + 3 * hidden * intermediate)"
# What one Llama-shaped layer keeps for its backward pass: four vectors of the feed-forward
# block, queries, keys and values before and after rotation and repetition, and the vectors
# between the blocks.
_LAYER = (
    "batch * sequence * element_bytes"
    " * (14 * hidden + 4 * heads * head_dim + 10 * kv_heads * head_dim + 4 * intermediate)"
)
# The same of a teacher that generates: rows of a batch have so many tokens at most, with their cache.
_TEACHING = (
    "min(4096, 16 * max_tokens) * element_bytes * (14 * teacher_hidden + 4 * teacher_intermediate"
    " + 2 * teacher_layers * teacher_kv_heads * teacher_head_dim)"
)
_LORA, _INSIDE = both("lora"), both("full", "last-k", "layer-norm")
_ADAPTERS = [kind for kind, entry in METHODS.items() if entry["trains"] and kind not in _INSIDE]
# What learns in the model's own type, and may have to in half precision; peft's adapters are in float32.
_OWN_TYPE = _INSIDE + both("bitfit")
_SPARING = [kind for kind in _ADAPTERS if kind not in _LORA] + both("layer-norm")
_EXACT = ["backprop", "checkpointed"]
# Compressions that observe the Hessians of a block's layers.
_COMPENSATED = [kind for kind in COMPRESSIONS if kind.startswith(("gptq-", "sparsegpt"))]


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
        # Where the method learns on packed layers.
        "unpacked_training_bytes": _term(
            "3 * hidden * intermediate * element_bytes * min(1, max(0, 8 * element_bytes - bits_per_weight))",
            compression__order=COMPRESS_FIRST,
        ),
        # Besides `weights_bytes`, where the model is still dense while the method learns.
        "still_dense_bytes": _term(
            f"{_LINEAR} * max(0, element_bytes - bits_per_weight / 8)", compression__order=TUNE_FIRST
        ),
        # Those of a block and the factors of the widest, as twelve matrices of float32.
        "hessians_bytes": _term("48 * intermediate * intermediate", compression__kind=_COMPENSATED),
        # What a training leaves in the allocators' pools and does not give back.
        "left_by_training_bytes": _term("0.2 * parameters * element_bytes", compression__order=TUNE_FIRST),
        # Distillation: numbers of its own training stand for `batch` and `max_tokens` here.
        "teacher_beside_bytes": _term("teacher_parameters * element_bytes", compression__kind=LOGITS),
        "student_gradients_bytes": _term("parameters * 2", compression__kind=DISTILLED),
        "student_moments_bytes": _term("parameters * 8", compression__kind=DISTILLED),
        "student_masters_bytes": _term(
            "parameters * 2 * max(0, 4 - element_bytes)", compression__kind=DISTILLED
        ),
        "student_activations_bytes": _term(f"layers * {_LAYER}", compression__kind=DISTILLED),
        "student_logits_bytes": _term(
            "batch * sequence * vocabulary * (element_bytes + 8)", compression__kind=DISTILLED
        ),
        "soft_targets_bytes": _term(
            "4 * batch * sequence * vocabulary * element_bytes", compression__kind=LOGITS
        ),
        "teacher_weights_bytes": _term("teacher_parameters * element_bytes", compression__kind=SEQUENCE),
        "teaching_bytes": _term(_TEACHING, compression__kind=SEQUENCE),
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
        # Copies in float32 of what is in half precision; zero where nothing is.
        "masters_bytes": _term(
            "trainable * 2 * max(0, 4 - element_bytes)",
            method__kind=_OWN_TYPE,
            method__gradient=[*_EXACT, "forward"],
        ),
        # What mezo keeps aside in half precision.
        "kept_aside_bytes": _term(
            "trainable * max(0, 4 - element_bytes)", method__kind=_OWN_TYPE, method__gradient="mezo"
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
        # As if every token were of an answer; their gradient takes the place of the logits.
        "train_logits_bytes": _term("batch * sequence * vocabulary * element_bytes", method__gradient=_EXACT),
        "forward_logits_bytes": _term(
            "batch * sequence * vocabulary * (element_bytes + 8)", method__gradient="forward"
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
        "compress": [
            "base_bytes",
            "dense_weights_bytes",
            "packed_bytes",
            "hessians_bytes",
            "left_by_training_bytes",
            "teacher_beside_bytes",
            "student_gradients_bytes",
            "student_moments_bytes",
            "student_masters_bytes",
            "student_activations_bytes",
            "student_logits_bytes",
            "soft_targets_bytes",
        ],
        "teach": ["base_bytes", "dense_weights_bytes", "teacher_weights_bytes", "teaching_bytes"],
        "train": [
            "base_bytes",
            "weights_bytes",
            "still_dense_bytes",
            "unpacked_training_bytes",
            "adapter_bytes",
            "gradients_bytes",
            "own_gradients_bytes",
            "moments_bytes",
            "masters_bytes",
            "kept_aside_bytes",
            "directions_bytes",
            "activations_full_bytes",
            "activations_lora_bytes",
            "activations_frozen_bytes",
            "activations_last_bytes",
            "activations_recomputed_bytes",
            "activations_forward_bytes",
            "activations_passing_bytes",
            "train_logits_bytes",
            "forward_logits_bytes",
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
