"""Peaks of one case of `bench.memory_model`, in a process of its own.

`python -m bench.memory_arm CASE` with a case as JSON (shape of the model, method, gradient,
compression, batch, length, new tokens) loads, compresses, infers and trains with the
worker's own parts and prints the kernel's peak resident set of each phase, in bytes.
"""

from __future__ import annotations

import json
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import methods_arm, methods_model
from edgerig_workload.phases import ProcResidentSet
from edgerig_workload.release import release


def main() -> None:
    """Runs the case on the command line."""
    case: dict[str, Any] = json.loads(sys.argv[1])
    memory = ProcResidentSet()
    peaks: dict[str, int | None] = {}

    def close(phase: str) -> None:
        peaks[phase] = memory.peak_bytes()
        memory.reset()

    import peft  # noqa: F401 - a trial with an adapter has it in its resident set
    import torch

    torch.set_num_threads(1)
    close("import")
    loaded = methods_arm.loaded_as_worker(methods_model.load(Path(case["folder"])))
    # Calibration on random tokens asks the tokenizer for its size and nothing else.
    loaded = replace(loaded, tokenizer=range(loaded.model.config.vocab_size))
    close("load")
    loaded = _compressed(loaded, case["compression"])
    if case["compression"] != "none":
        close("compress")
    loaded.model.eval()
    trained = methods_arm.set_up(loaded, case["method"]) if case["method"] != "none" else None
    count = loaded.parameter_count
    close("set-up")
    # In the order of a trial: what training leaves behind is there during inference.
    if trained is not None:
        _train(loaded, trained, case)
        close("train")
        loaded.model.eval()
        release()
        memory.reset()
    _infer(loaded, case)
    close("inference")
    print(
        json.dumps(
            {
                "peaks_bytes": peaks,
                "exact": memory.method == "vmhwm_reset",
                "parameters": count,
                "trainable": 0 if trained is None else trained.count,
            }
        )
    )


def _compressed(loaded: Any, kind: str) -> Any:
    from edgerig_workload.catalog import COMPRESSIONS
    from edgerig_workload.compress import Material, transform
    from edgerig_workload.trial import Choice

    given = {name: rule["default"] for name, rule in COMPRESSIONS[kind]["parameters"].items()}
    if "calibration" in given:
        given |= {"calibration": "random-tokens", "samples": 16, "tokens": 256}
    return transform(kind)(loaded, Choice(kind, given), Material(None, 1)).loaded


def _infer(loaded: Any, case: dict[str, Any]) -> None:
    from edgerig_workload.infer.steps import begin

    prompt = methods_model.rows(1, loaded.model.config.vocab_size)[0][: case["length"]]
    for _ in range(2):
        steps = begin(loaded, [prompt] * case["batch"])
        steps.prefill()
        for _ in range(case["new_tokens"] - 1):
            steps.decode()


def _train(loaded: Any, trained: Any, case: dict[str, Any]) -> None:
    from edgerig_workload.learn import losses
    from edgerig_workload.learn.estimators import (
        Backpropagation,
        ForwardGradient,
        checkpointing,
        eager_attention,
    )
    from edgerig_workload.learn.optimisers import AdamW
    from edgerig_workload.learn.zeroth import Displaced, InPlaceSgd, ZerothOrder

    model, gradient = loaded.model, case["gradient"]
    batch = methods_arm.batches(loaded, case["length"])(range(case["batch"]))
    estimator: Any = Backpropagation(model)
    optimiser: Any = AdamW(trained.parameters, rate=1e-4, weight_decay=0.0, clip_norm=1.0, warmup_steps=0)
    manner: AbstractContextManager[None] = nullcontext()
    if gradient == "mezo":
        estimator = ZerothOrder(
            partial(losses.answer_loss, model), Displaced(trained.named, snapshot=False), 1, 1e-3
        )
        optimiser = InPlaceSgd(estimator, 1e-7)
    elif gradient == "forward":
        estimator, manner = ForwardGradient(model, trained.named, 1), eager_attention(model)
    else:
        model.train()
        manner = checkpointing(model) if gradient == "checkpointed" else manner
    with manner:
        for index in range(3):
            estimator.estimate(batch)
            optimiser.step(index)


if __name__ == "__main__":
    main()
