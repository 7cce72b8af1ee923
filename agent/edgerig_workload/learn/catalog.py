"""What the methods can do, as data: parameters with their bounds, sizes, and what cannot be combined.

Imports nothing heavy. A trainable set has an entry, its parameters are followed by
those of gradients and training, and `rag-X` stands beside each X. A new method is a
set of parameters in this folder, a line in `tuning.build`, and an entry here.
"""

from __future__ import annotations

from typing import Any

Rule = dict[str, Any]

# Kinds of model that a method works with; tests hold every method against each of them.
ARCHITECTURES = ("causal", "encoder-decoder")

# What kinds begin with that put retrieved items into the prompts of a trained model.
RETRIEVING = "rag-"


def _int(default: int, minimum: int, maximum: int, summary: str) -> Rule:
    return {"type": "int", "default": default, "minimum": minimum, "maximum": maximum, "summary": summary}


def _float(default: float, minimum: float, maximum: float, summary: str) -> Rule:
    return {"type": "float", "default": default, "minimum": minimum, "maximum": maximum, "summary": summary}


def _bool(summary: str) -> Rule:
    return {"type": "bool", "default": False, "summary": summary}


def _word(choices: list[str], summary: str) -> Rule:
    """The first choice is the default."""
    return {"type": "string", "default": choices[0], "choices": choices, "summary": summary}


# Whether all users share what is learnt, or each has parameters of their own.
POOLED, PER_USER = "pooled", "per_user"
_SCOPE: dict[str, Rule] = {
    "scope": _word(
        [POOLED, PER_USER],
        "one training on the histories of all users; or one for each user on their own history, with the "
        "whole budget each, and their questions asked with what was learnt from it",
    ),
}
_GRADIENTS: dict[str, Rule] = {
    "gradient": _word(
        ["backprop", "checkpointed", "mezo", "forward"],
        "backpropagation; the same with layers computed twice to save memory; two losses along a random "
        "direction (MeZO); the exact slope along a random direction",
    ),
    "optimiser": _word(
        ["auto", "adamw", "sgd"], "auto: adamw, and sgd for mezo, which updates in place at a constant rate"
    ),
    "directions": _int(1, 1, 1024, "random directions a step, averaged; for mezo and forward"),
    "epsilon": _float(
        0.0, 0.0, 10.0, "how far mezo moves the parameters; 0 = 1e-3, adapters 1e-2, soft prompts 1e-1"
    ),
}
TRAINING: dict[str, Rule] = {
    "lr": _float(0.0, 0.0, 10.0, "peak learning rate; 0 = the default of this method and gradient"),
    "batch": _int(16, 1, 4096, "samples a step"),
    "warmup_steps": _int(
        6, 0, 100_000, "steps over which the rate rises from zero; it is constant afterwards, for mezo always"
    ),
    "weight_decay": _float(0.0, 0.0, 1.0, "decoupled weight decay; for mezo not of biases and norms"),
    "clip_norm": _float(1.0, 0.0, 1e6, "largest norm of the gradient; 0 = not clipped; not used by mezo"),
    "max_tokens": _int(512, 8, 131_072, "longest training sample; a longer prompt loses its beginning"),
}
_RETRIEVAL: dict[str, Rule] = {
    "retriever": _word(
        ["bm25", "dense", "recency", "random", "half"],
        "how the history is searched: shared words, meaning, newest first, by chance, or half by meaning and "
        "half newest",
    ),
    "k": _int(4, 1, 1000, "items put into the prompt at most"),
    "encoder": {
        "type": "string",
        "default": "",
        "summary": "for dense and half: a sentence encoder, named as models are; mean pooling",
    },
    "similarity": _word(
        ["cosine", "dot"], "how vectors are compared: MiniLM encoders by cosine, Contriever by dot"
    ),
}
# Weights of one Llama-shaped layer: q, o; k, v; gate, up, down.
_ATTENTION = "2 * hidden * head_dim * (heads + kv_heads)"
_FEED_FORWARD = "3 * hidden * intermediate"


def _method(summary: str, parameters: dict[str, Rule], *, retrieves: bool = False) -> dict[str, Any]:
    return {
        "summary": summary,
        "trains": False,
        "retrieves": retrieves,
        "needs_model": True,
        "requires": [],
        "architectures": list(ARCHITECTURES),
        "parameters": parameters,
        "trainable": "0",
    }


def _training(
    summary: str, parameters: dict[str, Rule], trainable: str, requires: list[str]
) -> dict[str, Any]:
    return {
        "summary": summary,
        "trains": True,
        "retrieves": False,
        "needs_model": True,
        "requires": requires,
        "architectures": list(ARCHITECTURES),
        "parameters": {**parameters, **_SCOPE, **_GRADIENTS, **TRAINING},
        # Exact for Llama-shaped models.
        "trainable": trainable,
    }


_TRAINED: dict[str, dict[str, Any]] = {
    "full": _training("all parameters learn", {}, "parameters", []),
    "last-k": _training(
        "the last layers learn",
        {"count": _int(1, 1, 1024, "layers that learn, counted from the last; those of the decoder")},
        f"min(count, layers) * ({_ATTENTION} + {_FEED_FORWARD} + 2 * hidden)",
        [],
    ),
    "layer-norm": _training("the scales and shifts of all norms learn", {}, "(2 * layers + 1) * hidden", []),
    "bitfit": _training(
        "biases learn; linear layers without one get one of zeros",
        {},
        "layers * ((heads + 2 * kv_heads) * head_dim + 2 * hidden + 2 * intermediate)",
        [],
    ),
    "lora": _training(
        "low-rank adapters learn beside the linear layers",
        {
            "r": _int(8, 1, 1024, "rank"),
            "alpha": _float(16.0, 0.0, 65_536.0, "the update is scaled by alpha / r"),
            "dropout": _float(0.0, 0.0, 0.95, "dropout before the adapters while training"),
            "targets": {
                "type": "string",
                "default": "all-linear",
                "summary": "all-linear, or module names separated by commas: q_proj,v_proj",
            },
            "rslora": _bool("the update is scaled by alpha / sqrt(r) instead"),
            "dora": _bool("a magnitude for each output learns besides (weight-decomposed)"),
            "init": _word(
                ["default", "gaussian", "pissa", "olora"],
                "adapters begin as nothing, or as principal or orthonormal part of the weights",
            ),
        },
        # With targets all-linear and without dora.
        "r * layers * (2 * (hidden + heads * head_dim) + 2 * (hidden + kv_heads * head_dim)"
        " + 3 * (hidden + intermediate))",
        ["peft"],
    ),
    "ia3": _training(
        "a factor for each number of keys, values and inner feed-forward inputs learns",
        {},
        "layers * (2 * kv_heads * head_dim + intermediate)",
        ["peft"],
    ),
    "prompt": _training(
        "embeddings before the input learn (prompt tuning)",
        {
            "tokens": _int(20, 1, 4096, "virtual tokens; they take room in the context"),
            "init": _word(
                ["vocabulary", "text", "random"], "begins as tokens drawn at random, as a text, or as noise"
            ),
            "init_text": {
                "type": "string",
                "default": "Answer the question as this user would.",
                "summary": "for init text; repeated or cut to fit",
            },
        },
        "tokens * hidden",
        ["peft"],
    ),
    "prefix": _training(
        "keys and values before those of every layer learn (prefix tuning)",
        {
            "tokens": _int(20, 1, 4096, "virtual tokens; they take room in the context"),
            "init": _word(
                ["activations", "random"], "begins as what random tokens leave in the cache, or as noise"
            ),
        },
        "2 * tokens * layers * kv_heads * head_dim",
        ["peft"],
    ),
}


def _with_retrieval(kind: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {
        **entry,
        "summary": f"trained like {kind} on bare questions; then retrieved items are put into the prompt",
        "retrieves": True,
        "parameters": {**_RETRIEVAL, **entry["parameters"]},
    }


METHODS: dict[str, dict[str, Any]] = {
    "none": _method("the model as it is: bare questions, nothing learnt", {}),
    "rag": _method(
        "items of the user's history that resemble the question are put into the prompt",
        _RETRIEVAL,
        retrieves=True,
    ),
    **_TRAINED,
    **{RETRIEVING + kind: _with_retrieval(kind, entry) for kind, entry in _TRAINED.items()},
    "spin": {
        **_method(
            "processor work without a model, to try a device, a fleet and its meters",
            {"duration_s": _float(1.0, 0.0, 86_400.0, "time to work")},
        ),
        "trains": True,
        "needs_model": False,
    },
}

TRAINED = tuple(_TRAINED)


def both(*kinds: str) -> list[str]:
    """List kinds with and without retrieval."""
    return [*kinds, *(RETRIEVING + kind for kind in kinds)]


# Of methods alone; what does not go with a compressed base is added beside the compressions.
EXCLUSIONS: list[dict[str, Any]] = [
    {
        "when": {"method.retriever": ["dense", "half"], "method.encoder": ""},
        "reason": "a search by meaning needs a sentence encoder: give `encoder`",
    },
    {
        "when": {"method.kind": both("prefix"), "method.gradient": "checkpointed"},
        "reason": "a layer that is computed twice drops the keys and values that stand before its input: "
        "use prompt, or gradient backprop",
    },
    {
        "when": {"method.gradient": "mezo", "method.optimiser": "adamw"},
        "reason": "mezo updates in place and keeps no moments: use optimiser auto or sgd",
    },
]
