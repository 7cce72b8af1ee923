"""Published settings by name: `{preset: mezo-lora}` stands for a kind and its parameters.

What a preset sets can be overridden beside it. Each names where its settings come
from; what its source does not say keeps the default of the catalogue. Data only:
whether a kind exists is checked like that of any other level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEY = "preset"


@dataclass(frozen=True)
class Preset:
    """A level of `factor` under a name. `source` says where its settings are published."""

    factor: str
    level: Mapping[str, Any]
    source: str


_MEZO = "arXiv 2305.17333, appendix E"
_LORA = {"kind": "lora", "targets": "q_proj,v_proj"}

PRESETS: dict[str, Preset] = {
    "lora-qv": Preset(
        "method",
        {**_LORA, "r": 8, "alpha": 16, "dropout": 0.05, "lr": 2e-4},
        "rank 8 on queries and values as in arXiv 2305.17333; dropout and rate are common practice",
    ),
    "lora-shepherd": Preset(
        "method",
        {"kind": "lora", "targets": "q_proj", "r": 16, "alpha": 16, "dropout": 0.05, "lr": 3e-4},
        "FedIT (arXiv 2305.05644), its repository's defaults",
    ),
    "lora-openfedllm": Preset(
        "method", {**_LORA, "r": 32, "alpha": 64, "lr": 5e-5}, "OpenFedLLM (arXiv 2402.06954), its recipe"
    ),
    "lora-lamp": Preset(
        "method",
        {
            "kind": "lora",
            "targets": "q,k,v",
            "r": 8,
            "alpha": 32,
            "dropout": 0.1,
            "lr": 5e-5,
            "scope": "per_user",
        },
        "personal adapters on LaMP (arXiv 2409.09510): T5's names of queries, keys and values",
    ),
    "prefix-20": Preset(
        "method",
        {"kind": "prefix", "tokens": 20},
        "arXiv 2101.00190; 20 virtual tokens as in FederatedScope-LLM",
    ),
    "prompt-20": Preset(
        "method",
        {"kind": "prompt", "tokens": 20},
        "arXiv 2104.08691; 20 virtual tokens as in FederatedScope-LLM",
    ),
    "mezo-full": Preset(
        "method", {"kind": "full", "gradient": "mezo", "lr": 1e-7, "epsilon": 1e-3, "batch": 16}, _MEZO
    ),
    "mezo-lora": Preset(
        "method",
        {**_LORA, "r": 8, "alpha": 16, "gradient": "mezo", "lr": 5e-5, "epsilon": 1e-2, "batch": 16},
        _MEZO,
    ),
    "mezo-prefix": Preset(
        "method",
        {
            "kind": "prefix",
            "tokens": 5,
            "init": "activations",
            "gradient": "mezo",
            "lr": 1e-3,
            "epsilon": 1e-1,
            "batch": 16,
        },
        _MEZO,
    ),
    "gptq-4bit": Preset(
        "compression",
        {"kind": "gptq-int4", "group": 128, "damping": 0.01, "act_order": True, "samples": 128},
        "arXiv 2210.17323; groups of 128, columns in the order of their activations",
    ),
    "wanda-50": Preset(
        "compression",
        {"kind": "wanda", "sparsity": 0.5, "samples": 128},
        "arXiv 2306.11695; half of each row, 128 samples",
    ),
    "wanda-2:4": Preset(
        "compression",
        {"kind": "wanda", "sparsity": 0.5, "pattern": "2:4", "samples": 128},
        "arXiv 2306.11695; two of each four",
    ),
    "sparsegpt-50": Preset(
        "compression",
        {"kind": "sparsegpt", "sparsity": 0.5, "damping": 0.01, "samples": 128},
        "arXiv 2301.00774; 128 samples",
    ),
}


def spelled_out(level: Any) -> Any:
    """Return a level of a study file as a mapping with a kind; anything else is returned as it is.

    A text alone is a kind. The settings of a preset are put under those that stand beside it; an
    unknown preset becomes a kind that there is not, so that the level keeps its shape.
    """
    if isinstance(level, str):
        return {"kind": level}
    name = level.get(KEY) if isinstance(level, dict) else None
    if not isinstance(name, str):
        return level
    own = {key: value for key, value in level.items() if key != KEY}
    known = PRESETS.get(name)
    return {"kind": f"preset {name}", **own} if known is None else {**known.level, **own}


def names(factor: str) -> list[str]:
    """List the presets of a factor."""
    return [name for name, preset in PRESETS.items() if preset.factor == factor]
