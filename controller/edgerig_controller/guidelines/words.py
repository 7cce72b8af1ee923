"""One table of words: how selectors and metrics of a claim are said to a person.

`{method.kind: rag}` is "RAG", `{model: org/a, method.kind: lora, method.r: 8}` is
"LoRA with rank 8 on org/a". What the table lacks is said by its own name, so that a
new kind reads plainly and is never wrong. The exact selectors stay in the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METHODS = {
    "none": "no adaptation",
    "rag": "RAG",
    "lora": "LoRA",
    "prompt": "prompt tuning",
    "prefix": "prefix tuning",
    "ia3": "IA3",
    "full": "full fine-tuning",
    "last-k": "tuning of the last layers",
    "layer-norm": "tuning of the layer norms",
    "bitfit": "BitFit",
    "spin": "the load test",
}
COMPRESSIONS = {
    "none": "no compression",
    "magnitude": "magnitude pruning",
    "wanda": "Wanda pruning",
    "sparsegpt": "SparseGPT pruning",
    "distilled": "distillation",
    "bnb-nf4": "bitsandbytes NF4 quantisation",
}
# How the kinds of a family begin; the rest of the name goes into the words.
FAMILIES = {
    "rtn": "{} rounding to nearest",
    "gptq": "{} GPTQ",
    "awq": "{} AWQ",
    "bnb": "bitsandbytes {} quantisation",
    "torchao": "torchao {} quantisation",
    "distilled": "distillation ({})",
}
PARAMETERS = {
    "r": "rank {}",
    "alpha": "alpha {}",
    "k": "{} retrieved items",
    "retriever": "{} retrieval",
    "lr": "learning rate {}",
    "tokens": "{} virtual tokens",
    "gradient": "{} gradients",
    "optimiser": "{}",
    "count": "the last {} layers",
    "sparsity": "{} sparsity",
}
# What a metric is called, and what it is to have more of it: (name, more, less).
METRICS = {
    "accuracy": ("accuracy", "is better than", "is worse than"),
    "rating": ("rating score", "is better than", "is worse than"),
    "rouge1_f": ("ROUGE-1", "is better than", "is worse than"),
    "rougeL_f": ("ROUGE-L", "is better than", "is worse than"),
}
# Figures of runs: what is taken.
FIGURES = {
    "ttft_s": "time to the first token",
    "tpot_s": "time per further token",
    "e2e_s": "time per request",
    "j_per_request": "energy per request",
    "energy_j": "energy",
    "duration_s": "time",
    "train_j": "training energy",
    "train_s": "training time",
    "train_energy_j": "training energy",
    "train_duration_s": "training time",
    "rss_peak_bytes": "peak memory",
}
_PERCENTILES = {"p90": "90th percentile", "p95": "95th percentile", "p99": "99th percentile", "mean": "mean"}


def selector(given: Mapping[str, Any]) -> str:
    """Words a selector as a noun: what is done, with which settings, on which model, in which setting."""
    left = dict(given)
    method, compression, model = (
        left.pop(name, left.pop(f"{name}.kind", None)) for name in ("method", "compression", "model")
    )
    left.pop("model.kind", None)
    nouns = []
    if method is not None:
        nouns.append(_several(method, method_words))
    nouns += _settings(left, "method.")
    if compression is not None:
        nouns.append(_several(compression, compression_words))
    nouns += _settings(left, "compression.")
    others = [_other(name, value) for name, value in left.items()]
    if model is not None and not nouns:
        return " with ".join([_several(model, str), _listed(others)] if others else [_several(model, str)])
    nouns += others
    said = nouns[0] if len(nouns) == 1 else f"{nouns[0]} with {_listed(nouns[1:])}"
    return said if model is None else f"{said} on {_several(model, str)}"


def method_words(kind: str) -> str:
    """Words a learning method; `rag-lora` is RAG together with LoRA."""
    if kind in METHODS:
        return METHODS[kind]
    if kind.startswith("rag-"):
        return f"RAG together with {method_words(kind.removeprefix('rag-'))}"
    return kind


def compression_words(kind: str) -> str:
    """Words a compression."""
    if kind in COMPRESSIONS:
        return COMPRESSIONS[kind]
    family, _, rest = kind.partition("-")
    return FAMILIES[family].format(rest) if family in FAMILIES and rest else kind


def metric_name(metric: str) -> str:
    """Words the name of a metric or a measured figure."""
    if metric in METRICS:
        return METRICS[metric][0]
    if metric == "rmse":
        return "RMSE"
    if metric in FIGURES:
        return FIGURES[metric]
    body, _, unit = metric.rpartition("_")
    stem, _, statistic = body.rpartition("_")
    if statistic in _PERCENTILES and f"{stem}_{unit}" in FIGURES:
        return f"{_PERCENTILES[statistic]} of the {FIGURES[f'{stem}_{unit}']}"
    return metric


def comparison(better: Mapping[str, Any], than: Mapping[str, Any], metric: str, *, larger: bool) -> str:
    """Words "one side beats the other": `RAG is better than no adaptation in accuracy`.

    Args:
        better: selector of the side that is said to win.
        than: selector of the other.
        metric: what is compared.
        larger: the winning side has more of a measured figure; no matter for qualities.
    """
    a, b = selector(better), selector(than)
    if metric in METRICS:
        name, more, _ = METRICS[metric]
        return f"{a} {more} {b} in {name}"
    if metric == "rmse":
        return f"{a} has a lower RMSE than {b}"
    if metric in FIGURES:
        return f"{a} takes {'more' if larger else 'less'} {FIGURES[metric]} than {b}"
    return f"{a} has a {'larger' if larger else 'smaller'} {metric_name(metric)} than {b}"


def likeness(better: Mapping[str, Any], than: Mapping[str, Any], metric: str) -> str:
    """Words "no difference that matters"; `{margin}` is left to be filled in."""
    # A name from a study file may hold braces; the sentence is a pattern.
    sides = [selector(side).replace("{", "{{").replace("}", "}}") for side in (better, than)]
    return f"{sides[0]} and {sides[1]} differ by less than {{margin}} in {metric_name(metric)}"


def _several(value: Any, words: Any) -> str:
    values = value if isinstance(value, (list, tuple)) else [value]
    said = [words(str(entry)) for entry in values]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} or {said[-1]}"


def _settings(left: dict[str, Any], prefix: str) -> list[str]:
    """Takes the parameters of a factor out and words them."""
    names = [name for name in left if name.startswith(prefix)]
    found = []
    for name in names:
        value, parameter = left.pop(name), name.removeprefix(prefix)
        pattern = PARAMETERS.get(parameter, f"{parameter} {{}}")
        found.append(_several(value, pattern.format))
    return found


def _other(name: str, value: Any) -> str:
    if name == "history":
        whole = value in ("all", -1)
        return "all of the history" if whole else f"{_several(value, str)} items of history"
    if name == "train_samples":
        return f"{_several(value, str)} training samples"
    return f"{name.replace('_', ' ')} {_several(value, str)}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
