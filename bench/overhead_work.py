"""The work that `bench.overhead` times, as functions and as a process: `python -m bench.overhead_work`.

A training step and a decoded token of a small random Llama, on one thread. Needs torch and
transformers and nothing of ours, because another tool's environment runs it, too. As a process it
reads lines `KERNEL CALLS` and answers `{"median_s", "mean_s"}` of so many calls.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import IO, Any

Kernel = Callable[[], None]
# Times so many calls of a kernel, each by itself, in s.
Timer = Callable[[Kernel, int], list[float]]


def kernels() -> dict[str, Kernel]:
    """A training step and a decoded token of a small random Llama, on one thread."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch
    from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=1024,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
    )
    model: Any = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    batch = torch.randint(0, 1024, (2, 32))
    prompt = torch.randint(0, 1024, (1, 64))
    token = torch.randint(0, 1024, (1, 1))

    def train_step() -> None:
        model.train()
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    cache = DynamicCache(config=config)
    with torch.inference_mode():
        model(input_ids=prompt, past_key_values=cache, use_cache=True)

    def decode_token() -> None:
        with torch.inference_mode():
            model(input_ids=token, past_key_values=cache, use_cache=True)
            cache.crop(-1)

    return {"train_step": train_step, "decode_token": decode_token}


def step_times_s(kernel: Kernel, calls: int) -> list[float]:
    """Times each call, with nothing measured but that."""
    times_s = []
    for _ in range(calls):
        begin_s = time.perf_counter()
        kernel()
        times_s.append(time.perf_counter() - begin_s)
    return times_s


def serve(asked: IO[str], answers: IO[str], timer: Timer, *, until: str = "") -> None:
    """Answers every line until one says `until`, or there is no more."""
    found = kernels()
    _say(answers, {"ready": True, "pid": os.getpid()})
    gc.collect()
    gc.disable()
    for line in iter(asked.readline, ""):
        if line.strip() == until:
            return
        name, calls = line.split()
        times_s = timer(found[name], int(calls))
        _say(answers, {"median_s": statistics.median(times_s), "mean_s": statistics.fmean(times_s)})


def _say(answers: IO[str], found: dict[str, Any]) -> None:
    answers.write(json.dumps(found) + "\n")
    answers.flush()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout, step_times_s)
