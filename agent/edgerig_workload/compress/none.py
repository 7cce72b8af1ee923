"""The base model as it is: dense weights in the trial's number format."""

from __future__ import annotations

from edgerig_workload.compress import Compressed, Material
from edgerig_workload.compress.footprint import stored_bytes
from edgerig_workload.models import Loaded
from edgerig_workload.trial import Choice


def transform(loaded: Loaded, choice: Choice, material: Material) -> Compressed:
    """Return the model unchanged."""
    del choice, material
    return Compressed(loaded, "dense", sparsity=0.0, stored_bytes=stored_bytes(loaded.model))
