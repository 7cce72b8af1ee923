"""What the weights of a cell took once they were compressed, as its runs found it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgerig_controller.store.rows import AttemptRow


@dataclass(frozen=True)
class Weights:
    """The weights that inference ran with; `sparsity` is the share of zeros in pruned layers.

    `stored_bytes` is the size of a safetensors file of them. None is what a run did not say.
    """

    kernel: str
    memory_bytes: int
    stored_bytes: int | None
    sparsity: float | None


def weights(results: Iterable[AttemptRow]) -> tuple[Weights, ...]:
    """Lists what the runs that went well found; several where devices or number formats differ."""
    found = set()
    for row in results:
        facts = row.worker
        if row.status != "ok" or not facts.get("weights_bytes"):
            continue
        stored, sparsity = facts.get("stored_bytes"), facts.get("sparsity")
        found.add(
            Weights(
                str(facts.get("kernel") or ""),
                int(facts["weights_bytes"]),
                None if stored is None else int(stored),
                None if sparsity is None else float(sparsity),
            )
        )
    return tuple(sorted(found, key=lambda one: (one.memory_bytes, one.kernel, one.sparsity or 0.0)))
