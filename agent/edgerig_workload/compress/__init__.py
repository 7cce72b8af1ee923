"""Transforms of the base model before a method learns on it, one module a family of kinds.

`transform(kind)` gives the function of a catalogue kind; its module is imported
then and not before, so that an absent library matters only to who asks for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from edgerig_workload.compress.catalog import TUNE_FIRST

if TYPE_CHECKING:
    from edgerig_workload.learn.context import Questions
    from edgerig_workload.models import Loaded
    from edgerig_workload.phases import Marks
    from edgerig_workload.trial import Choice

MODULES = {
    "none": "edgerig_workload.compress.none",
    **{f"rtn-int{bits}": "edgerig_workload.compress.rtn" for bits in (8, 6, 5, 4, 3)},
    **{f"gptq-int{bits}": "edgerig_workload.compress.gptq" for bits in (8, 4, 3)},
    "magnitude": "edgerig_workload.compress.magnitude",
    "wanda": "edgerig_workload.compress.wanda",
    "sparsegpt": "edgerig_workload.compress.sparsegpt",
    "distilled-logits": "edgerig_workload.compress.distil",
    "distilled-sequence": "edgerig_workload.compress.distil",
    "bnb-int8": "edgerig_workload.compress.bnb",
    "bnb-nf4": "edgerig_workload.compress.bnb",
    "torchao-int8": "edgerig_workload.compress.ao",
}
REPORT = "compression.json"


@dataclass(frozen=True)
class Material:
    """What a transform may learn from: the trial's task, None where it has none, its seed and a teacher.

    `teacher` is the folder of a second model; phases inside of `compress` are marked on `marks`.
    """

    questions: Questions | None
    seed: int
    teacher: Path | None = None
    marks: Marks | None = None

    def phase(self, word: str) -> AbstractContextManager[None]:
        """Mark a block as a phase, where phases are marked."""
        return nullcontext() if self.marks is None else self.marks.phase(word)


@dataclass(frozen=True)
class Compressed:
    """A model after its transform, and what the transform came to.

    `kernel` runs the layers. `sparsity` is the share of exact zeros in the layers
    that were pruned, 0 where none were. `stored_bytes` is what the weights take on
    disk as safetensors; `loaded.weights_bytes` is what they take in memory. `facts` are
    further fields of the worker's facts.
    """

    loaded: Loaded
    kernel: str
    sparsity: float
    stored_bytes: int
    facts: Mapping[str, Any] = field(default_factory=dict)


Transform: TypeAlias = "Callable[[Loaded, Choice, Material], Compressed]"


def transform(kind: str) -> Transform:
    """Return the transform of a catalogue kind; KeyError for an unknown one."""
    return cast("Transform", import_module(MODULES[kind]).transform)


def tunes_first(choice: Choice) -> bool:
    """Tell whether the method learns on the dense model, which is compressed afterwards."""
    return choice.kind != "none" and choice.text("order") == TUNE_FIRST


def report(compressed: Compressed, choice: Choice, folder: Path) -> None:
    """Write `compression.json` into a folder: the choice and what it came to; nothing for kind none."""
    if choice.kind == "none":
        return
    content = {
        "kind": choice.kind,
        "parameters": dict(choice.parameters),
        "kernel": compressed.kernel,
        "sparsity": compressed.sparsity,
        "weights_bytes": compressed.loaded.weights_bytes,
        "stored_bytes": compressed.stored_bytes,
        **compressed.facts,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT).write_text(json.dumps(content, indent=1) + "\n", "utf-8")
