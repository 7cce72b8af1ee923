"""The base model as it is: dense weights in the trial's number format, or packed ones of its checkpoint."""

from __future__ import annotations

from edgerig_workload.compress import Compressed, Material
from edgerig_workload.compress.artefacts import is_packed
from edgerig_workload.compress.footprint import stored_bytes
from edgerig_workload.compress.packed import KERNEL
from edgerig_workload.models import Loaded
from edgerig_workload.trial import Choice


def transform(loaded: Loaded, choice: Choice, material: Material) -> Compressed:
    """Return the model unchanged; one that was quantised elsewhere runs on its packed layers."""
    del choice, material
    kernel = KERNEL if is_packed(loaded.model) else "dense"
    return Compressed(loaded, kernel, sparsity=0.0, stored_bytes=stored_bytes(loaded.model))
