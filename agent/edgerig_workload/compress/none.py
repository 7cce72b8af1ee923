"""The base model as it is: dense weights in the trial's number format."""

from __future__ import annotations

from edgerig_workload.compress import Compressed
from edgerig_workload.models import Loaded
from edgerig_workload.trial import Choice


def transform(loaded: Loaded, choice: Choice) -> Compressed:
    """Return the model unchanged."""
    del choice
    return Compressed(loaded, "dense")
