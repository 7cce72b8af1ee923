"""Processor work without a model: tries a device, a fleet and its meters.

Imports no torch. Each step is the same fixed amount of hashing; a step is a
training step in the report, so that everything downstream is exercised too.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from edgerig_workload.learn.budget import Spent
from edgerig_workload.learn.training import Training

STEP_BYTES = 8 * 1024 * 1024


def spin(duration_s: float, clock: Callable[[], int] = time.monotonic_ns) -> Training:
    """Hash until `duration_s` seconds have passed; at least one step is done. There is no loss: it is 0."""
    block = bytes(STEP_BYTES)
    steps: list[dict[str, Any]] = []
    began_mono_ns = end_mono_ns = clock()
    while not steps or end_mono_ns - began_mono_ns < duration_s * 1e9:
        begin_mono_ns = end_mono_ns
        hashlib.sha256(block).digest()
        end_mono_ns = clock()
        steps.append(
            {"index": len(steps), "begin_mono_ns": begin_mono_ns, "end_mono_ns": end_mono_ns, "loss": 0.0}
        )
    spent = Spent(steps=len(steps), duration_s=(end_mono_ns - began_mono_ns) / 1e9)
    return Training(steps, spent, "duration_s")
