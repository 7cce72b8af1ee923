"""Methods by which a model gets to know its users, one module a kind of the catalogue.

A method is a function `learn(context) -> Learned`: it indexes, trains or does
nothing, and says how an item's prompt is worded from then on. Its module is
imported when the kind is asked for, so that a missing library stops only what needs it.
A training method is put together from independent parts: which parameters are
trained (`trainables`), how gradients are estimated (`estimators`), how they are
applied (`optimisers`), under which budget (`budget`), by one loop (`loop`).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from edgerig_workload.learn.context import Context, Learned

MODULES = {
    "none": "edgerig_workload.learn.none",
    "rag": "edgerig_workload.learn.rag",
    "lora": "edgerig_workload.learn.lora",
}

Method: TypeAlias = "Callable[[Context], Learned]"


def method(kind: str) -> Method:
    """Return the method of a catalogue kind that needs a model; KeyError for an unknown one."""
    return cast("Method", import_module(MODULES[kind]).learn)
