"""Transforms of the base model before a method learns on it, one module a kind.

`transform(kind)` gives the function of a catalogue kind; its module is imported
then and not before, so that an absent library matters only to who asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from edgerig_workload.models import Loaded
    from edgerig_workload.trial import Choice

MODULES = {"none": "edgerig_workload.compress.none"}


@dataclass(frozen=True)
class Compressed:
    """A model after its transform, and the kernel that runs its layers."""

    loaded: Loaded
    kernel: str


Transform: TypeAlias = "Callable[[Loaded, Choice], Compressed]"


def transform(kind: str) -> Transform:
    """Return the transform of a catalogue kind; KeyError for an unknown one."""
    return cast("Transform", import_module(MODULES[kind]).transform)
