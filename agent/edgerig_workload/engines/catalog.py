"""Engines and kinds of key-value caches, as data. Imports nothing heavy."""

from __future__ import annotations

from typing import Any

# Kinds that load the model themselves, from files: what the worker learnt or compressed is not theirs.
FROM_FILES = ["llama-cpp", "server"]

ENGINES: dict[str, dict[str, Any]] = {
    "transformers": {
        "summary": "PyTorch through transformers, prefill and decode with a key-value cache",
        "requires": ["torch", "transformers"],
    },
    "llama-cpp": {
        "summary": "llama.cpp in the worker's process, from the one *.gguf file of the model's folder",
        "requires": ["llama_cpp"],
    },
    "server": {
        "summary": "an OpenAI-compatible streaming server that the worker starts from a command of the study",
        "requires": [],
    },
}

# Bits of one stored number; None = those of the model's own format.
KV_CACHES: dict[str, dict[str, Any]] = {
    "dynamic": {"summary": "grows with the sequence", "requires": [], "bits": None},
    "static": {"summary": "made at its full length before the request", "requires": [], "bits": None},
    "fp8": {
        "summary": "8-bit floats with one scale a tensor",
        "requires": [],
        "bits": 8,
    },
    "quanto-int4": {
        "summary": "4 bits by optimum-quanto, the last 128 tokens in full",
        "requires": ["optimum.quanto"],
        "bits": 4,
    },
    "quanto-int2": {
        "summary": "2 bits by optimum-quanto, the last 128 tokens in full",
        "requires": ["optimum.quanto"],
        "bits": 2,
    },
    "hqq-int8": {"summary": "8 bits by hqq, the last 128 tokens in full", "requires": ["hqq"], "bits": 8},
    "hqq-int4": {"summary": "4 bits by hqq, the last 128 tokens in full", "requires": ["hqq"], "bits": 4},
    "offloaded": {
        "summary": "in the memory of the host but for the layer at work; CUDA only",
        "requires": [],
        "bits": None,
    },
}

PAGE_CACHES = ("cold", "warm")
