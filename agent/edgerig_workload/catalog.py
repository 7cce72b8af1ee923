"""What this worker can do, as data: methods, compressions, engines, tasks and memory formulas.

Printed by `python -m edgerig_workload catalog`; the planner and the trial check
read it, so that there is one list. Imports nothing heavy. Methods, compressions
and tasks have their entries in `learn.catalog`, `compress.catalog` and `tasks.catalog`.
"""

from __future__ import annotations

from typing import Any

from edgerig_workload.compress.catalog import COMPRESS_FIRST, DISTILLED, TUNE_FIRST
from edgerig_workload.compress.catalog import COMPRESSIONS as COMPRESSIONS
from edgerig_workload.engines.catalog import ENGINES as ENGINES
from edgerig_workload.engines.catalog import FROM_FILES, KV_CACHES
from edgerig_workload.learn.catalog import EXCLUSIONS as _LEARNING
from edgerig_workload.learn.catalog import METHODS as METHODS
from edgerig_workload.learn.catalog import PER_USER, both
from edgerig_workload.memory import MEMORY as MEMORY
from edgerig_workload.tasks.catalog import METRICS, TASKS

SCHEMA = 1

# Weights that are packed, or whose zeros are meant to stay.
_FROZEN_BASES = [kind for kind, entry in COMPRESSIONS.items() if not entry["trainable_base"]]

# What binds a method that learns on the compressed model; one that learnt before it is not bound.
_FIRST = {"compression.order": COMPRESS_FIRST}
_UNTUNED = [kind for kind, entry in METHODS.items() if not entry["trains"] or not entry["needs_model"]]

# Methods and compressions whose work is in the weights that the worker holds.
_IN_WORKER = [kind for kind, entry in METHODS.items() if entry["trains"]]
_PACKING = [kind for kind in COMPRESSIONS if kind != "none"]
_OWN_CACHES = [kind for kind in KV_CACHES if kind != "dynamic"]

# Combinations that cannot run; each with its reason.
EXCLUSIONS: list[dict[str, Any]] = [
    *_LEARNING,
    {
        "when": {"engine.kind": FROM_FILES, "method.kind": _IN_WORKER},
        "reason": "this engine loads the model's files itself and would not have what was learnt: "
        "use method none or rag",
    },
    {
        "when": {"engine.kind": FROM_FILES, "compression.kind": _PACKING},
        "reason": "this engine loads the model's files itself, in formats of its own: use compression none",
    },
    {
        "when": {"engine.kind": FROM_FILES, "kv_cache": _OWN_CACHES},
        "reason": "this engine keeps keys and values its own way: set it in its command",
    },
    {
        "when": {"method.kind": both("prefix"), "kv_cache": _OWN_CACHES},
        "reason": "a prefix is keys and values in a cache that grows, and would take the place of this one: "
        "use kv_cache dynamic, or prompt",
    },
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
        "when": {"method.scope": PER_USER, "compression.order": TUNE_FIRST},
        "reason": "what each user has of their own cannot be merged into one model: "
        f"use order {COMPRESS_FIRST}, or scope pooled",
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
        "kv_caches": KV_CACHES,
        "tasks": TASKS,
        "metrics": METRICS,
        "memory": MEMORY,
        "exclusions": EXCLUSIONS,
    }
