"""Peaks of one case of `bench.memory_model`, in a process of its own.

`python -m bench.memory_arm CASE` with a case as JSON (shape of the model, method, gradient,
compression, order, batch, length, new tokens) loads, compresses, trains and infers with the
worker's own parts and prints the kernel's peak resident set of each phase, in bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import methods_arm, methods_model
from edgerig_workload.compress.catalog import DISTILLED, LOGITS, TUNE_FIRST
from edgerig_workload.phases import ProcResidentSet
from edgerig_workload.release import release

STEPS = 3
# Rows that a teacher answers together, and the tokens of an answer.
TAUGHT_ROWS, TAUGHT_TOKENS = 16, 12


@dataclass
class Peaks:
    """The kernel's high-water mark, phase by phase."""

    memory: ProcResidentSet
    found: dict[str, int | None]

    def close(self, phase: str) -> None:
        """Note the peak since the last phase as that of this one."""
        self.found[phase] = self.memory.peak_bytes()
        self.memory.reset()

    def idle(self) -> None:
        """Give memory back as a trial does between phases; what that took is no phase's."""
        release()
        self.memory.reset()


def main() -> None:
    """Runs the case on the command line."""
    case: dict[str, Any] = json.loads(sys.argv[1])
    peaks = Peaks(ProcResidentSet(), {})

    import peft  # noqa: F401 - a trial with an adapter has it in its resident set
    import torch

    torch.set_num_threads(1)
    peaks.close("import")
    loaded = methods_arm.loaded_as_worker(methods_model.load(Path(case["folder"])))
    # Calibration on random tokens asks the tokenizer for its size and nothing else.
    loaded = replace(loaded, tokenizer=range(loaded.model.config.vocab_size))
    peaks.close("load")
    count, trainable = loaded.parameter_count, 0
    if case["order"] == TUNE_FIRST:
        trainable = _learnt(loaded, case, peaks, merged=True)
        peaks.idle()
    loaded = _compressed(loaded, case, peaks)
    peaks.idle()
    if case["order"] != TUNE_FIRST:
        trainable = _learnt(loaded, case, peaks, merged=False)
        peaks.idle()
    loaded.model.eval()
    _infer(loaded, case)
    peaks.close("inference")
    document = {"peaks_bytes": peaks.found, "exact": peaks.memory.method == "vmhwm_reset"}
    print(json.dumps({**document, "parameters": count, "trainable": trainable}))


def _choice(kind: str, entries: dict[str, Any], **changes: Any) -> Any:
    """A kind of the catalogue with its defaults."""
    from edgerig_workload.trial import Choice

    defaults = {name: rule["default"] for name, rule in entries[kind]["parameters"].items()}
    return Choice(kind, {**defaults, **changes})


def _compressed(loaded: Any, case: dict[str, Any], peaks: Peaks) -> Any:
    from edgerig_workload.catalog import COMPRESSIONS
    from edgerig_workload.compress import Material, transform

    kind = case["compression"]
    if kind == "none":
        return loaded
    if kind in DISTILLED:
        return _distilled(loaded, case, peaks)
    choice = _choice(kind, COMPRESSIONS)
    if "calibration" in choice.parameters:
        choice = _choice(kind, COMPRESSIONS, calibration="random-tokens", samples=16, tokens=256)
    done = transform(kind)(loaded, choice, Material(None, 1)).loaded
    peaks.close("compress")
    return done


def _distilled(loaded: Any, case: dict[str, Any], peaks: Peaks) -> Any:
    """The student and a teacher of its own shape; every token but the first of a sample is an answer."""
    from edgerig_workload.catalog import COMPRESSIONS
    from edgerig_workload.compress import distil
    from edgerig_workload.compress.soft_targets import SoftTargets, mean_divergence
    from edgerig_workload.infer.generate import generate
    from edgerig_workload.learn.estimators import Backpropagation
    from edgerig_workload.learn.examples import Sample

    kind = case["compression"]
    teacher = methods_arm.loaded_as_worker(methods_model.load(Path(case["folder"])))
    rows = [row[: case["length"]] for row in methods_model.rows(TAUGHT_ROWS, loaded.model.config.vocab_size)]
    choice = _choice(kind, COMPRESSIONS, batch=case["batch"], steps=STEPS)
    if kind == LOGITS:
        estimator: Any = SoftTargets(loaded.model, teacher.model, 0.5, 2.0)
    else:
        # The distance is taken first: weights that nothing reads are not in the resident set.
        batch = methods_arm.batches(loaded, case["length"])(range(case["batch"]))
        mean_divergence(loaded.model, teacher.model, [batch])
        generate(teacher, rows, TAUGHT_TOKENS, _goes_on)
        peaks.close("teach")
        del teacher
        peaks.idle()
        estimator = Backpropagation(loaded.model)
    distil.drill(loaded, choice, estimator, [Sample(tuple(row[:1]), tuple(row[1:])) for row in rows], 1)
    peaks.close("compress")
    return loaded


def _goes_on(row: Sequence[int]) -> bool:
    """No answer ends before its last token."""
    del row
    return False


def _learnt(loaded: Any, case: dict[str, Any], peaks: Peaks, *, merged: bool) -> int:
    """Trains, and returns how many numbers learn. What training leaves behind is there during inference."""
    from edgerig_workload.catalog import METHODS
    from edgerig_workload.learn import engine

    kind, gradient = case["method"], case["gradient"]
    if kind == "none":
        return 0
    loaded.model.eval()
    trained = methods_arm.set_up(loaded, kind)
    peaks.close("set-up")
    assembled = engine.assemble(loaded, trained, _choice(kind, METHODS, gradient=gradient), seed=1)
    batch = methods_arm.batches(loaded, case["length"])(range(case["batch"]))
    with engine.running(gradient, loaded.model):
        for index in range(STEPS):
            assembled.estimator.estimate(batch)
            assembled.optimiser.step(index)
    peaks.close("train")
    if merged:
        trained.merge()
    return int(trained.count)


def _infer(loaded: Any, case: dict[str, Any]) -> None:
    from edgerig_workload.infer.steps import begin

    prompt = methods_model.rows(1, loaded.model.config.vocab_size)[0][: case["length"]]
    for _ in range(2):
        steps = begin(loaded, [prompt] * case["batch"])
        steps.prefill()
        for _ in range(case["new_tokens"] - 1):
            steps.decode()


if __name__ == "__main__":
    main()
