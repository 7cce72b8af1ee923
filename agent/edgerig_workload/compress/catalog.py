"""What the compressions can do, as data: parameters with their bounds, and bits a weight.

`bits_per_weight` is that of the linear layers with the parameters' defaults; None =
the trial's number format. Imports nothing heavy. A new compression is a module in
this folder, a line in its registry, and an entry here.
"""

from __future__ import annotations

from typing import Any

from edgerig_workload.learn.catalog import TRAINING

# Values of the parameter `order`, which every kind but none has.
COMPRESS_FIRST = "compress-then-tune"
TUNE_FIRST = "tune-then-compress"
_ORDER: dict[str, dict[str, Any]] = {
    "order": {
        "type": "string",
        "default": COMPRESS_FIRST,
        "choices": [COMPRESS_FIRST, TUNE_FIRST],
        "summary": "whether the method learns on the compressed model, or on the dense one, which is "
        "compressed with what it learnt",
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


LOGITS, SEQUENCE = "distilled-logits", "distilled-sequence"
DISTILLED = [LOGITS, SEQUENCE]
_STRANGER = (
    "the teacher has another vocabulary, and the distributions of single tokens are compared: take a teacher "
    f"of the same family, or {SEQUENCE}"
)


def _distillation(
    summary: str, parameters: dict[str, dict[str, Any]], teacher: dict[str, Any]
) -> dict[str, Any]:
    return {
        "summary": summary,
        "requires": [],
        "parameters": {
            "teacher": {
                "type": "string",
                "default": "",
                "summary": "the model that is learnt from, named as models are",
            },
            **parameters,
            "steps": {
                "type": "int",
                "default": 200,
                "minimum": 1,
                "maximum": 10_000_000,
                "summary": "steps of the distillation; the budget of the study is that of the method",
            },
            **TRAINING,
            "held_out": {
                "type": "int",
                "default": 32,
                "minimum": 0,
                "maximum": 65_536,
                "summary": "questions on which the distance to the teacher is measured, before and after; "
                "0 = not measured",
            },
        },
        "bits_per_weight": None,
        "trainable_base": True,
        # What the planner must know of the second model; a cell that lacks it is left out for the reason.
        "teacher": teacher,
    }


def _ordered(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "parameters": {**entry["parameters"], **_ORDER}}


_KINDS: dict[str, dict[str, Any]] = {
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
                "choices": ["layer", "row", "model"],
                "summary": "the share is taken of each layer, of each row, or of all layers together",
            }
        },
    ),
    "wanda": _pruning("weights with small products of magnitude and input norm become zero", _CALIBRATION),
    "sparsegpt": _pruning(
        "weights that matter least become zero and the others make up for them", {**_DAMPING, **_CALIBRATION}
    ),
    LOGITS: _distillation(
        "all parameters learn the answers and a larger model's distribution of each of their tokens",
        {
            "alpha": {
                "type": "float",
                "default": 0.5,
                "minimum": 0.0,
                "maximum": 1.0,
                "summary": "share of the loss on the answers; the rest is that on the teacher's distribution",
            },
            "temperature": {
                "type": "float",
                "default": 2.0,
                "minimum": 0.01,
                "maximum": 100.0,
                "summary": "logits of both models are divided by it; the loss is multiplied by its square",
            },
        },
        {"same_vocabulary": True, "reason": _STRANGER},
    ),
    SEQUENCE: _distillation(
        "a larger model answers the prompts once, and all parameters learn its answers",
        {},
        {"same_vocabulary": False, "reason": ""},
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

COMPRESSIONS: dict[str, dict[str, Any]] = {
    kind: entry if kind == "none" else _ordered(entry) for kind, entry in _KINDS.items()
}
