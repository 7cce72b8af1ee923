"""The one model of `bench.methods`, and what an arm of a pair needs of it.

A Llama made from a configuration with random weights: step times and memory do
not depend on the values. Written once into a folder, loaded by every arm in its
own way.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BATCH, LENGTH = 4, 256
VOCABULARY = 16_000
# 97.2 million parameters with tied embeddings.
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
}
# A tenth of a second a step instead of seconds: for trying the benchmark itself.
SMALL_SHAPE = {
    **SHAPE,
    "vocab_size": 1000,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}


def write(folder: Path, *, small: bool) -> int:
    """Make the model, save it as safetensors and return its number of parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    model: Any = LlamaForCausalLM(LlamaConfig(**(SMALL_SHAPE if small else SHAPE)))
    model.save_pretrained(folder, safe_serialization=True)
    return sum(weight.numel() for weight in model.parameters())


def load(folder: Path) -> Any:
    """Load the model in float32, as every arm does."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


def rows(count: int, vocabulary: int) -> Sequence[list[int]]:
    """Return random token ids, the same for both arms: `count` rows of `LENGTH`."""
    draw = random.Random(7)
    return [[draw.randrange(3, vocabulary) for _ in range(LENGTH)] for _ in range(count)]
