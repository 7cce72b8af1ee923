"""The planner's memory formula against real peaks: `python -m bench.memory_model --json [--shapes a,b]`.

Each case (a model's shape, a method, a way of finding gradients, a compression, a batch)
loads, compresses, trains three steps and infers in a process of its own with the worker's
parts; the truth is the kernel's peak resident set of each phase. A ratio is predicted /
measured. The catalogue promises that nine of ten lie within its error bar.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import report
from bench.report import CouldNotRunError, Figure
from edgerig_controller.data.models import find
from edgerig_controller.study import choices, predict
from edgerig_controller.study.catalog import Catalog, local_catalog, parse
from edgerig_controller.study.spec import Inference

SHARE_WITHIN = 0.9
NEW_TOKENS = 4
# hidden, layers, heads, key-value heads, intermediate, vocabulary: 4, 21 and 63 million parameters.
SHAPES = {
    "a": (256, 4, 4, 4, 704, 4000),
    "b": (512, 6, 8, 4, 1376, 8000),
    "c": (768, 8, 12, 4, 2048, 16000),
}
_TRAINED = ("lora", "full", "prompt", "prefix", "ia3", "bitfit", "layer-norm", "last-k")
CASES = (
    ("none", "backprop", "none"),
    *((method, "backprop", "none") for method in _TRAINED),
    ("lora", "checkpointed", "none"),
    ("full", "checkpointed", "none"),
    ("full", "mezo", "none"),
    ("lora", "mezo", "none"),
    ("lora", "forward", "none"),
    ("lora", "backprop", "rtn-int4"),
    ("none", "backprop", "rtn-int8"),
    ("none", "backprop", "gptq-int4"),
    ("none", "backprop", "wanda"),
    ("none", "backprop", "sparsegpt"),
    ("lora", "backprop", "magnitude"),
    ("none", "backprop", "distilled-logits"),
    ("none", "backprop", "distilled-sequence"),
)
# What learns on the dense model, which is compressed afterwards.
TUNED_FIRST = (
    ("lora", "backprop", "rtn-int4"),
    ("full", "backprop", "rtn-int4"),
    ("lora", "backprop", "gptq-int4"),
)
FIRST, AFTERWARDS = "compress-then-tune", "tune-then-compress"
ORDERS = {FIRST: CASES, AFTERWARDS: TUNED_FIRST}
BATCHES = {"a": ((4, 128),), "b": ((4, 128), (8, 256)), "c": ((4, 128),)}


def main() -> int:
    """Measures, prints one document or a table, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shapes", default=",".join(SHAPES), help="sizes of models, separated by commas")
    parser.add_argument("--only", default="", help="methods separated by commas")
    parser.add_argument("--compressions", default="", help="compressions separated by commas")
    return report.run("memory_model", measure, parser)


def measure(arguments: argparse.Namespace) -> Sequence[Figure]:
    """Return a figure for each case and phase, and the share within the error bar."""
    shapes = arguments.shapes.split(",")
    if unknown := set(shapes) - set(SHAPES):
        raise CouldNotRunError(f"there is no shape {min(unknown)!r}; there are {', '.join(SHAPES)}")
    only, packed = (
        {name for name in given.split(",") if name} for given in (arguments.only, arguments.compressions)
    )
    catalog = parse(local_catalog())
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="edgerig-memory-") as name:
        for shape in shapes:
            folder = Path(name) / shape
            _write_model(folder, shape)
            for case in _cases(folder, shape, only, packed):
                figures += _case(catalog, case, shape)
    bar = catalog.memory.relative_error
    ratios = [figure.value for figure in figures if figure.value is not None]
    if not ratios:
        raise CouldNotRunError("no case was asked for")
    within = sum(abs(1 / ratio - 1) <= bar for ratio in ratios) / len(ratios)
    return [
        *figures,
        Figure("cases", len(ratios), "phases"),
        Figure("ratio_median", statistics.median(ratios), "ratio"),
        Figure("error_bar", bar, "ratio"),
        Figure("within_error_bar", within, "share", goal=f">= {SHARE_WITHIN}", holds=within >= SHARE_WITHIN),
    ]


def _cases(folder: Path, shape: str, only: set[str], packed: set[str]) -> Iterator[dict[str, Any]]:
    ordered = [(*case, order) for order, cases in ORDERS.items() for case in cases]
    for method, gradient, compression, order in ordered:
        if (only and method not in only) or (packed and compression not in packed):
            continue
        for batch, length in BATCHES[shape]:
            yield {
                "folder": str(folder),
                "method": method,
                "gradient": gradient,
                "compression": compression,
                "order": order,
                "batch": batch,
                "length": length,
                "new_tokens": NEW_TOKENS,
            }


def _case(catalog: Catalog, case: dict[str, Any], shape: str) -> list[Figure]:
    words = [case["method"], case["gradient"], case["compression"], f"{case['batch']}x{case['length']}"]
    words += [case["order"]] if case["order"] != FIRST else []
    report.progress(f"{shape}: {' '.join(words)}")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "bench.memory_arm", json.dumps(case)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CouldNotRunError(f"{' '.join(words)} failed: {done.stderr.strip()[-500:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    if not found["exact"]:
        raise CouldNotRunError("this kernel does not let a process reset its high-water mark")
    peaks = found["peaks_bytes"]
    return [
        Figure(f"{shape} {' '.join(words)}: {phase}", value / peaks[phase], "ratio")
        for phase, value in _predicted(catalog, case).items()
        if peaks.get(phase) and (phase != "compress" or case["compression"] != "none")
    ]


def _predicted(catalog: Catalog, case: dict[str, Any]) -> dict[str, float]:
    method, compression = catalog.methods[case["method"]], catalog.compressions[case["compression"]]
    level = choices.complete(method, {"kind": case["method"]})
    level |= {"gradient": case["gradient"], "batch": case["batch"], "max_tokens": case["length"]}
    packing = choices.complete(compression, {"kind": case["compression"]})
    if compression.teacher is not None:
        packing |= {"batch": case["batch"], "max_tokens": case["length"]}
    if case["compression"] != "none":
        packing["order"] = case["order"]
    facts = find(case["folder"], folder=Path("/")).facts
    load = predict.Load(
        facts=facts,
        method=method,
        compression=compression,
        levels={
            "method": level,
            "compression": packing,
        },
        inference=Inference(
            prompt_tokens=case["length"], new_tokens=NEW_TOKENS, batch=case["batch"], requests=2
        ),
        dtype="float32",
        # Of the same shape as its student.
        teacher=None if compression.teacher is None else facts,
    )
    found = predict.phases_bytes(load, catalog.memory, 4)
    assert all(math.isfinite(value) for value in found.values())
    return found


def _write_model(folder: Path, shape: str) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    hidden, layers, heads, kv_heads, intermediate, vocabulary = SHAPES[shape]
    torch.manual_seed(1)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=hidden,
            intermediate_size=intermediate,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
        )
    ).save_pretrained(folder)
    # Only folders with a tokenizer are models; it is not read here.
    starter = find("starter/tiny", folder=Path("/"))
    for name, path in starter.files:
        if name.startswith("tokenizer"):
            shutil.copy(path, folder / name)


if __name__ == "__main__":
    sys.exit(main())
